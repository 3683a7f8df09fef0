"""From grades to rewards: what a failed grade becomes is the job's named policy, never a number by accident.

    exclude   the completion is left out of the update and of every baseline
    penalise  it gets the job's penalty
    zero      it gets 0

Whatever the policy, sampled, graded, ungraded and penalised are counted apart, and a step whose share of ungraded
completions passes the job's limit stops the job with the commonest error texts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pinetune.client.rollout import Grade, RewardSource
from pinetune.pod.errors import Conflict

COMMON_ERRORS_MAX = 5


@dataclass(frozen=True)
class RewardPolicy:
    """What becomes of an ungraded completion."""

    ungraded: str
    """exclude, penalise or zero."""
    penalty: float
    """The reward under penalise."""
    max_ungraded_share: float
    """Share of ungraded completions beyond which the job stops."""


@dataclass(frozen=True)
class GradeCounts:
    """Four different numbers, and the commonest error texts."""

    sampled: int
    """Completions sampled."""
    graded: int
    """Completions with a score."""
    ungraded: int
    """Completions with an error."""
    penalised: int
    """Ungraded completions that a penalty or zero was given to."""
    common_errors: tuple[tuple[str, int], ...]
    """The commonest error texts with their counts."""


@dataclass(frozen=True)
class Reward:
    """What the learner sees of one completion."""

    value: float | None
    """The reward; None where the completion is left out."""
    source: RewardSource
    """Where it came from."""


def reward_of(grade: Grade, policy: RewardPolicy) -> Reward:
    """Return the reward of one grade under the job's policy."""
    if grade.score is not None:
        return Reward(grade.score, RewardSource.GRADE)
    if policy.ungraded == "penalise":
        return Reward(policy.penalty, RewardSource.PENALTY)
    if policy.ungraded == "zero":
        return Reward(0.0, RewardSource.ZERO)
    return Reward(None, RewardSource.EXCLUDED)


def count_grades(grades: Sequence[Grade], policy: RewardPolicy) -> GradeCounts:
    """Count outcomes of the grades."""
    errors = [grade.error for grade in grades if grade.error is not None]
    texts = Counter(f"{error.error_class}: {error.detail}" for error in errors)
    return GradeCounts(
        sampled=len(grades),
        graded=len(grades) - len(errors),
        ungraded=len(errors),
        penalised=0 if policy.ungraded == "exclude" else len(errors),
        common_errors=tuple(texts.most_common(COMMON_ERRORS_MAX)),
    )


def too_many_ungraded(counts: GradeCounts, policy: RewardPolicy) -> bool:
    """Return whether the share of ungraded completions passes the limit, or none is graded."""
    return counts.graded == 0 or counts.ungraded / counts.sampled > policy.max_ungraded_share


def ungraded_sentence(counts: GradeCounts, policy: RewardPolicy) -> str:
    """Return how many could not be graded, the limit, and the commonest errors."""
    texts = "; ".join(f"{count}x {text}" for text, count in counts.common_errors)
    limit = f", above the limit pinetune.policies.max_ungraded_share of {policy.max_ungraded_share:g}"
    above = limit if counts.graded else ""
    return f"{counts.ungraded} of {counts.sampled} completions could not be graded{above}: {texts}"


def refuse_too_many_ungraded(counts: GradeCounts, policy: RewardPolicy, *, rollouts_uri: str) -> None:
    """Raise Conflict TOO_MANY_UNGRADED where too few of a step's completions have a grade; it says where they are."""
    if too_many_ungraded(counts, policy):
        raise Conflict(
            f"{ungraded_sentence(counts, policy)}; the step's rollouts with their grades are in {rollouts_uri}",
            reason="TOO_MANY_UNGRADED",
            ungraded=counts.ungraded,
            sampled=counts.sampled,
        )
