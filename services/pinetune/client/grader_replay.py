"""What another grader would have changed: the grades of a job's rollouts, old and new, set side by side.

What a job learns from a group (the completions of one prompt in one step) is which of them are better than the others.
So a group *flips* where

    sign           a completion's advantage against its group's mean is no longer below, at or above zero as it was
    order          of two completions the other one is now the better
    gained_spread  all scores were the same and are no longer
    lost_spread    the scores differed and are all the same now

Ungraded completions are left out of means and pairs, as they are of an update under `exclude`. A completion that is its
group's only one is compared with the mean of all such completions of its step and purpose, which is the baseline that
whitening over the batch leaves it; only `sign` can flip there, as different prompts are no contest.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pinetune.client.rank_correlation import inversions, kendall_tau_b

ERRORS_SHOWN = 5
AT_MEAN = 1e-9
"""Distance from the mean below which an advantage counts as zero: far above a mean's rounding."""


@dataclass(frozen=True)
class Regrade:
    """One completion with both graders' scores."""

    completion_id: str
    """The completion."""
    item_id: str
    """Its item."""
    step: int
    """Its step."""
    purpose: str
    """training or validation."""
    old: float | None
    """The job's score; None where it has none."""
    new: float | None
    """The other grader's score; None where it has none."""
    new_error: str = ""
    """Class and detail of the other grader's error, empty where it has a score."""


@dataclass(frozen=True)
class Change:
    """What becomes of one completion of a flipped group."""

    completion_id: str
    """The completion."""
    old: float | None
    """The job's score."""
    new: float | None
    """The other grader's score."""
    old_advantage: float | None
    """The job's score less its baseline; None where it has no score."""
    new_advantage: float | None
    """The other grader's score less its baseline; None where it has no score."""

    @property
    def swing(self) -> float:
        """How far the advantage moves; 0 where only one grader graded the completion."""
        if self.old_advantage is None or self.new_advantage is None:
            return 0.0
        return abs(self.new_advantage - self.old_advantage)


@dataclass(frozen=True)
class Flip:
    """A group that would teach something else."""

    item_id: str
    """The item."""
    step: int
    """The step."""
    purpose: str
    """training or validation."""
    reasons: tuple[str, ...]
    """sign, order, gained_spread, lost_spread."""
    changes: tuple[Change, ...]
    """Its completions, the widest swing first."""

    @property
    def swing(self) -> float:
        """The widest swing of an advantage."""
        return self.changes[0].swing


@dataclass(frozen=True)
class Replay:
    """What the other grader changes."""

    completion_count: int
    """Completions compared."""
    group_count: int
    """Groups of two completions and more."""
    single_count: int
    """Completions that are their group's only one."""
    flips: tuple[Flip, ...]
    """Flipped groups and single completions, the widest swing first."""
    old_mean: float | None
    """Mean score of the job's grader, over what it graded; None where that is nothing."""
    new_mean: float | None
    """Mean score of the other grader, over what it graded."""
    old_ungraded: int
    """Completions without a score of the job's grader."""
    new_ungraded: int
    """Completions without a score of the other grader."""
    tau_b: float | None
    """Kendall's rank correlation over all completions that both graded; None where one of them gave a single score."""
    new_errors: tuple[tuple[str, int], ...]
    """The commonest errors of the other grader with their counts."""

    @property
    def reason_counts(self) -> Mapping[str, int]:
        """Flips by reason; a flip may have several."""
        return Counter(reason for flip in self.flips for reason in flip.reasons)


def compare(regrades: Sequence[Regrade]) -> Replay:
    """Return what the new scores change."""
    groups: dict[tuple[str, int, str], list[Regrade]] = defaultdict(list)
    for one in regrades:
        groups[one.purpose, one.step, one.item_id].append(one)
    real = [group for group in groups.values() if len(group) > 1]
    singles: dict[tuple[str, int], list[Regrade]] = defaultdict(list)
    for group in groups.values():
        if len(group) == 1:
            singles[group[0].purpose, group[0].step].append(group[0])
    flips = [flip for group in real if (flip := _group_flip(group))]
    flips += [flip for step in singles.values() for flip in _single_flips(step)]
    flips.sort(key=lambda flip: (-flip.swing, flip.step, flip.item_id))
    old = [one.old for one in regrades if one.old is not None]
    new = [one.new for one in regrades if one.new is not None]
    both = [(one.old, one.new) for one in regrades if one.old is not None and one.new is not None]
    return Replay(
        completion_count=len(regrades),
        group_count=len(real),
        single_count=len(groups) - len(real),
        flips=tuple(flips),
        old_mean=_mean(old),
        new_mean=_mean(new),
        old_ungraded=len(regrades) - len(old),
        new_ungraded=len(regrades) - len(new),
        tau_b=kendall_tau_b([x for x, _ in both], [y for _, y in both]),
        new_errors=tuple(Counter(one.new_error for one in regrades if one.new is None).most_common(ERRORS_SHOWN)),
    )


def _group_flip(group: Sequence[Regrade]) -> Flip | None:
    old, new = [one.old for one in group], [one.new for one in group]
    had, has = _spread(old), _spread(new)
    if not had and not has:
        return None
    changes = _changes(group, old, new)
    reasons = ("gained_spread",) if not had else ("lost_spread",) if not has else tuple(_reasons(group, changes))
    return _flip(group[0], reasons, changes) if reasons else None


def _reasons(group: Sequence[Regrade], changes: Sequence[Change]) -> Iterator[str]:
    if any(_sign(one.old_advantage) != _sign(one.new_advantage) for one in changes if _graded_twice(one)):
        yield "sign"
    both = sorted((one.old, one.new) for one in group if one.old is not None and one.new is not None)
    # Sorted by old, then new: an inversion of the new ones is a pair that has changed places.
    if inversions([new for _, new in both]):
        yield "order"


def _single_flips(step: Sequence[Regrade]) -> Iterator[Flip]:
    """Yield the only completions of their groups, in one step, that change sides of their common mean."""
    changes = _changes(step, [one.old for one in step], [one.new for one in step])
    for one, change in zip(step, changes, strict=True):
        if _graded_twice(change) and _sign(change.old_advantage) != _sign(change.new_advantage):
            yield _flip(one, ("sign",), [change])


def _changes(completions: Sequence[Regrade], old: Sequence[float | None], new: Sequence[float | None]) -> list[Change]:
    advantages = zip(completions, _advantages(old), _advantages(new), strict=True)
    return [Change(one.completion_id, one.old, one.new, before, after) for one, before, after in advantages]


def _flip(one: Regrade, reasons: tuple[str, ...], changes: Sequence[Change]) -> Flip:
    ordered = sorted(changes, key=lambda change: -change.swing)
    return Flip(one.item_id, one.step, one.purpose, reasons, tuple(ordered))


def _advantages(scores: Sequence[float | None]) -> list[float | None]:
    mean = _mean([score for score in scores if score is not None])
    return [None if score is None or mean is None else score - mean for score in scores]


def _spread(scores: Sequence[float | None]) -> bool:
    return len({score for score in scores if score is not None}) > 1


def _graded_twice(change: Change) -> bool:
    return change.old_advantage is not None and change.new_advantage is not None


def _sign(advantage: float | None) -> int:
    assert advantage is not None, "asked of completions that both graded"
    return 0 if abs(advantage) <= AT_MEAN else int(math.copysign(1, advantage))


def _mean(scores: Sequence[float]) -> float | None:
    return math.fsum(scores) / len(scores) if scores else None
