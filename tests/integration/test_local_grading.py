"""Graders are tried without `pinetune up`, by a grading service that the command starts and ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pinetune.cli.local_grading import grading_of_its_own
from pinetune.client.grader_samples import Sample
from pinetune.pod.errors import Unavailable

NUMBER = {"type": "number", "reference": "{{item.answer}}"}
SOON_SECONDS = 60.0


def test_a_command_grades_by_itself_and_leaves_no_process(tmp_path: Path) -> None:
    path = tmp_path / "grader.json"
    path.write_text(json.dumps(NUMBER))
    command = [sys.executable, "-m", "pinetune.cli.main", "graders", "run", "--grader", str(path)]
    item = ["--sample", "it is 4", "--item", '{"answer": "4"}', "--local", "--json"]
    ended = subprocess.run([*command, *item], capture_output=True, text=True, timeout=SOON_SECONDS, check=True)
    # A service that was still there would hold the pipe of stderr, and the call would not have returned.
    assert json.loads(ended.stdout)["reward"] == 1.0


def test_the_service_ends_with_the_block_whatever_happens_in_it() -> None:
    def fail_inside() -> None:
        with grading_of_its_own() as client:
            assert client.grade_samples(json.dumps(NUMBER), [Sample("4", '{"answer": 4}')]).grades[0].score == 1.0
            ended.append(client)
            raise KeyboardInterrupt

    ended: list[object] = []
    with pytest.raises(KeyboardInterrupt):
        fail_inside()
    assert len(ended) == 1


def test_a_service_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINETUNE_GRADING_THREADS", "-1")
    with pytest.raises(Unavailable, match="THREADS"), grading_of_its_own():
        pass
