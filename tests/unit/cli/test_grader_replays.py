"""`pinetune graders replay`: a job's stored rollouts, graded again."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import history
from tests.fakes.jobs_service import FakeJobs
from tests.unit.cli.conftest import Run

from pinetune.api.rollout.v1 import rollout_pb2

TRAINING, VALIDATION = rollout_pb2.ROLLOUT_PURPOSE_TRAINING, rollout_pb2.ROLLOUT_PURPOSE_VALIDATION
REFUSED = rollout_pb2.GradeError(error_class=rollout_pb2.GRADE_ERROR_CLASS_MODEL_REFUSAL)


def rollout(
    step: int,
    item: str,
    index: int,
    text: str,
    score: float | None,
    purpose: rollout_pb2.RolloutPurpose = TRAINING,
) -> rollout_pb2.Rollout:
    """Return a rollout whose item's answer is 4."""
    return rollout_pb2.Rollout(
        item=rollout_pb2.Item(item_id=item, fields_json='{"answer": "4"}'),
        completion=rollout_pb2.Completion(
            completion_id=f"s{step}-{item}-{index}",
            index=index,
            text=f"<think>4</think>{text}",
            reasoning_content="4",
            content=text,
            parts_format="think",
            finish_reason=rollout_pb2.FINISH_REASON_STOP,
        ),
        grade=rollout_pb2.Grade(score=score) if score is not None else rollout_pb2.Grade(error=REFUSED),
        step=step,
        purpose=purpose,
    )


ROLLOUTS = [
    rollout(1, "a", 0, "so 4", 1.0),
    rollout(1, "a", 1, "so 5", 0.0),
    rollout(1, "b", 0, "so 4", 0.0),
    rollout(1, "b", 1, "so 6", 1.0),
    rollout(1, "v", 0, "so 4", 0.0, VALIDATION),
    rollout(1, "w", 0, "so 5", 1.0, VALIDATION),
    rollout(2, "a", 0, "so 4", 0.5),
    rollout(2, "a", 1, "so 5", 0.5),
    rollout(2, "a", 2, "so 4", None),
    rollout(3, "c", 0, "so 4", 1.0),
    rollout(3, "c", 1, "so 4", 0.0),
]


@pytest.fixture
def grader(tmp_path: Path) -> Path:
    path = tmp_path / "grader.yaml"
    path.write_text("type: number\n")
    return path


@pytest.fixture
def replayed(jobs: FakeJobs) -> FakeJobs:
    past = history.reinforcement("ftjob-old", step_count=3)
    jobs.add(replace(past, rollouts=ROLLOUTS))
    return jobs


def found(run: Run, grader: Path, *options: str) -> dict[str, Any]:
    outcome = run("graders", "replay", grader, "--job", "ftjob-old", "--json", *options)
    assert outcome.code == 0, outcome.err
    content: dict[str, Any] = json.loads(outcome.out)
    return content


def test_flipped_groups_are_found_over_all_pages_and_steps(pinetune: Run, replayed: FakeJobs, grader: Path) -> None:
    report = found(pinetune, grader)
    assert (report["completions"], report["groups"], report["single_completions"]) == (9, 4, 0)
    assert report["flips"] == {
        "count": 3,
        "by_reason": {"gained_spread": 1, "lost_spread": 1, "order": 1, "sign": 1},
    }
    first = report["worst_flips"][0]
    assert (first["step"], first["item_id"], first["reasons"], first["swing"]) == (1, "b", ["sign", "order"], 1.0)
    assert [change["completion_id"] for change in first["completions"]] == ["s1-b-0", "s1-b-1"]
    assert report["mean_grade"] == {"old": pytest.approx(4 / 8), "new": pytest.approx(6 / 9)}
    assert report["ungraded"] == {"old": 1, "new": 0}
    assert -1 < report["kendall_tau_b"] < 1


@pytest.mark.parametrize(
    ("steps", "completions"), [("1:2", 7), ("2:", 5), (":1", 4), ("3", 2), ("2:99", 5)], ids=lambda each: str(each)
)
def test_steps_are_chosen_with_both_ends(
    pinetune: Run, replayed: FakeJobs, grader: Path, steps: str, completions: int
) -> None:
    assert found(pinetune, grader, "--step", steps)["completions"] == completions


def test_validation_is_compared_item_by_item(pinetune: Run, replayed: FakeJobs, grader: Path) -> None:
    report = found(pinetune, grader, "--purpose", "validation")
    assert (report["completions"], report["groups"], report["single_completions"]) == (2, 0, 2)
    assert {flip["item_id"] for flip in report["worst_flips"]} == {"v", "w"}


def test_a_person_sees_means_and_the_completions_to_look_at(pinetune: Run, replayed: FakeJobs, grader: Path) -> None:
    outcome = pinetune("graders", "replay", grader, "--job", "ftjob-old", "--limit", "1")
    assert outcome.code == 0
    assert "0.500 → 0.667" in outcome.out
    assert "s1-b-0" in outcome.out
    assert "s1-a-0" not in outcome.out
    assert outcome.err.startswith("1 of 3 flips shown")
    assert pinetune("rollouts", "get", "ftjob-old", "s1-b-0").code == 0


def test_why_the_other_grader_grades_nothing_is_said_with_how_often(
    pinetune: Run, replayed: FakeJobs, tmp_path: Path
) -> None:
    path = tmp_path / "grader.yaml"
    path.write_text('type: number\nreference: "{{item.missing}}"\n')
    content = found(pinetune, path)
    assert content["ungraded"]["new"] == 9
    assert content["errors"] == [{"error": "INVALID_VARIABLE: item.missing has no value in this sample", "count": 9}]
    outcome = pinetune("graders", "replay", path, "--job", "ftjob-old")
    assert "9x INVALID_VARIABLE: item.missing has no value in this sample" in " ".join(outcome.out.split())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--step", "3:2"), "names no step"),
        (("--step", "x"), "must be A:B"),
        (("--step", "0"), "no rollouts"),
        (("--purpose", "evaluation"), "none of training, validation"),
        (("--job", "ftjob-none"), "no job"),
    ],
    ids=["no step", "no range", "nothing there", "purpose", "job"],
)
def test_what_cannot_be_replayed_is_said(
    pinetune: Run, replayed: FakeJobs, grader: Path, options: tuple[str, ...], word: str
) -> None:
    outcome = pinetune("graders", "replay", grader, "--job", "ftjob-old", *options)
    assert (outcome.code, word in outcome.err) == (2, True), outcome.err


def test_a_wrong_grader_is_refused_before_anything_is_read(pinetune: Run, replayed: FakeJobs, tmp_path: Path) -> None:
    path = tmp_path / "grader.yaml"
    path.write_text("type: nuber\n")
    outcome = pinetune("graders", "replay", path, "--job", "ftjob-old")
    assert (outcome.code, "did you mean number?" in outcome.err) == (2, True)
    assert "ListRollouts" not in replayed.calls
