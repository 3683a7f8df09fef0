"""Graders are tried without `pinetune up`, by a grading service that the command starts and ends."""

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from pinetune.cli.local_grading import grading_of_its_own
from pinetune.client.grader_samples import Sample
from pinetune.pod.errors import Unavailable

NUMBER = {"type": "number", "reference": "{{item.answer}}"}
SOON_SECONDS = 60.0
MARK = "LOCAL_GRADING_TEST_MARK"


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """A text that stands in the environment of every process which the test starts from here on."""
    text = uuid.uuid4().hex
    monkeypatch.setenv(MARK, text)
    return text


def marked(mark: str) -> list[str]:
    """Return the commands of the processes that were started with this mark and have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue  # It ended meanwhile, or is another user's.
    return found


def test_a_command_grades_by_itself_and_leaves_no_process(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "grader.json"
    path.write_text(json.dumps(NUMBER))
    command = [sys.executable, "-m", "pinetune.cli.main", "graders", "run", "--grader", str(path)]
    item = ["--sample", "it is 4", "--item", '{"answer": "4"}', "--local", "--json"]
    ended = subprocess.run([*command, *item], capture_output=True, text=True, timeout=SOON_SECONDS, check=True)
    assert json.loads(ended.stdout)["reward"] == 1.0
    assert marked(mark) == []


def test_the_service_ends_with_the_block_whatever_happens_in_it(mark: str) -> None:
    def interrupted() -> None:
        with grading_of_its_own() as client:
            assert client.grade_samples(json.dumps(NUMBER), [Sample("4", '{"answer": 4}')]).grades[0].score == 1.0
            assert any("pinetune.grading" in command for command in marked(mark))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert marked(mark) == []


def test_a_service_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINETUNE_GRADING_THREADS", "-1")
    with pytest.raises(Unavailable, match="THREADS"), grading_of_its_own():
        pass
