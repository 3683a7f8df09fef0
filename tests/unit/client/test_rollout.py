"""Grades as messages: what is neither score nor error is never a number."""

from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.rollout import Grade


def test_a_grade_without_outcome_is_an_error() -> None:
    grade = Grade.from_wire(rollout_pb2.Grade())
    assert grade.score is None
    assert grade.error is not None
    assert "neither score nor error" in grade.error.detail


def test_a_score_of_zero_is_a_score() -> None:
    grade = Grade.from_wire(rollout_pb2.Grade(score=0.0))
    assert (grade.score, grade.error) == (0.0, None)
