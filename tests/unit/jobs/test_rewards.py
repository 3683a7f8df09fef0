"""A failed grade becomes what the job's policy says, and is counted whatever that is."""

import pytest

from pinetune.client.rollout import Grade, GradeError, RewardSource
from pinetune.jobs.rewards import RewardPolicy, count_grades, refuse_too_many_ungraded, reward_of
from pinetune.pod.errors import Conflict

FAILED = Grade(error=GradeError("INVALID_VARIABLE", "item.answer is not there"))
RIGHT = Grade(score=1.0)


def policy(ungraded: str = "exclude") -> RewardPolicy:
    return RewardPolicy(ungraded=ungraded, penalty=-1.0, max_ungraded_share=0.5)


@pytest.mark.parametrize(
    ("ungraded", "value", "source"),
    [
        ("exclude", None, RewardSource.EXCLUDED),
        ("penalise", -1.0, RewardSource.PENALTY),
        ("zero", 0.0, RewardSource.ZERO),
    ],
)
def test_a_failed_grade_becomes_what_the_policy_names(ungraded: str, value: float | None, source: RewardSource) -> None:
    reward = reward_of(FAILED, policy(ungraded))
    assert (reward.value, reward.source) == (value, source)


def test_a_score_is_the_reward_under_every_policy() -> None:
    for ungraded in ("exclude", "penalise", "zero"):
        assert reward_of(RIGHT, policy(ungraded)).value == 1.0


def test_sampled_graded_ungraded_and_penalised_are_four_numbers() -> None:
    excluded = count_grades([RIGHT, FAILED, RIGHT], policy())
    assert (excluded.sampled, excluded.graded, excluded.ungraded, excluded.penalised) == (3, 2, 1, 0)
    assert count_grades([RIGHT, FAILED], policy("zero")).penalised == 1
    assert excluded.common_errors == (("INVALID_VARIABLE: item.answer is not there", 1),)


def test_a_step_with_too_many_failures_stops_the_job_and_says_why() -> None:
    with pytest.raises(Conflict, match=r"2 of 3 .* 2x INVALID_VARIABLE: item.answer is not there") as caught:
        refuse_too_many_ungraded(count_grades([RIGHT, FAILED, FAILED], policy()), policy(), rollouts_uri="/r.parquet")
    assert caught.value.reason == "TOO_MANY_UNGRADED"


def test_a_step_with_few_failures_goes_on() -> None:
    refuse_too_many_ungraded(count_grades([RIGHT, FAILED], policy()), policy(), rollouts_uri="/r.parquet")
