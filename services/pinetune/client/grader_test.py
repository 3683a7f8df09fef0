"""Tests a grader against a labelled set: does it hold to what is known, always, and in time?

A case holds where it holds in every repeat. Nothing here does I/O: the caller says how samples are graded.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pinetune.client.grader_labels import Case, Label, Ordering
from pinetune.client.grader_samples import Sample
from pinetune.client.rollout import Grade
from pinetune.pod.errors import InvalidInput


@dataclass(frozen=True)
class Limits:
    """When a grader passes."""

    repeats: int = 3
    """How often every case is graded."""
    tolerance: float = 1e-6
    """How far a score may be from a label, or from the same sample's in another repeat."""
    min_agreement: float = 1.0
    """Smallest share of cases that hold."""
    max_seconds: float | None = None
    """Longest time of one grade; None for no limit."""


class Graded(Protocol):
    """The grades of one call."""

    @property
    def grades(self) -> Sequence[Grade]:
        """[N] in the order of the samples."""

    @property
    def grading_seconds(self) -> float:
        """Time that the grading service took, transport not counted."""


GradeSamples = Callable[[Sequence[Sample]], Graded]


@dataclass(frozen=True)
class Miss:
    """A case that does not hold, or is graded differently from one repeat to the next."""

    line: int
    """1-based line of the row."""
    expected: str
    """What the row says."""
    got: str
    """What the grader says."""
    text: str
    """The beginning of the sample's text; of the better one's for an order."""

    def __str__(self) -> str:
        return f"expected {self.expected}, got {self.got}: {self.text}"


@dataclass(frozen=True)
class Report:
    """How a grader did on a labelled set."""

    limits: Limits
    """What was asked of it."""
    case_count: int
    """Number of rows."""
    disagreements: tuple[Miss, ...]
    """Labels that do not hold."""
    order_violations: tuple[Miss, ...]
    """Orders that do not hold."""
    unstable: tuple[Miss, ...]
    """Cases graded differently from one repeat to the next."""
    worst_seconds: float | None = None
    """Longest time that the service took for one sample in a call of its own; None where it was not measured."""
    worst_line: int = 0
    """1-based line of that sample's row."""

    @property
    def agreed_count(self) -> int:
        """Cases that hold."""
        return self.case_count - len(self.disagreements) - len(self.order_violations)

    @property
    def agreement(self) -> float:
        """Share of cases that hold."""
        return self.agreed_count / self.case_count

    @property
    def passed(self) -> bool:
        """True where nothing asked is missed."""
        return not self.failures

    @property
    def failures(self) -> tuple[str, ...]:
        """What is missed, a sentence each."""
        return tuple(self._failures())

    def _failures(self) -> Iterator[str]:
        if self.agreement < self.limits.min_agreement:
            yield (
                f"{self.agreed_count} of {self.case_count} cases hold, a share of {self.agreement:.4g}; min_agreement "
                f"is {self.limits.min_agreement:g}"
            )
        if self.unstable:
            yield (
                f"{len(self.unstable)} of {self.case_count} cases are graded differently from one repeat to the next, "
                f"by more than the tolerance of {self.limits.tolerance:g}"
            )
        most = self.limits.max_seconds
        if most is not None and self.worst_seconds is not None and self.worst_seconds > most:
            yield f"the slowest grade, line {self.worst_line}, took {self.worst_seconds:.3g} s; max_seconds is {most:g}"


def run_test(cases: Sequence[Case], grade: GradeSamples, limits: Limits, *, one_by_one: bool = True) -> Report:
    """Grade every case `limits.repeats` times; raises InvalidInput where there is none, and what `grade` raises.

    With `one_by_one` every sample of the last repeat has a call of its own, whose longest time is reported. The other
    repeats send all samples together, so that a grader which depends on its company is found out as well.
    """
    if not cases:
        raise InvalidInput("there are no cases to test the grader with", reason="NO_CASES")
    samples = [sample for case in cases for sample in case.samples]
    runs = [list(grade(samples).grades) for _ in range(limits.repeats - one_by_one)]
    seconds: list[float] = []
    if one_by_one:
        alone = [grade([sample]) for sample in samples]
        runs.append([graded.grades[0] for graded in alone])
        seconds = [graded.grading_seconds for graded in alone]
    lines = [case.line for case in cases for _ in case.samples]
    worst = max(range(len(seconds)), key=seconds.__getitem__, default=None)
    return Report(
        limits=limits,
        case_count=len(cases),
        disagreements=tuple(_misses([(c, g) for c, g in _by_case(cases, runs) if isinstance(c, Label)], limits)),
        order_violations=tuple(_misses([(c, g) for c, g in _by_case(cases, runs) if isinstance(c, Ordering)], limits)),
        unstable=tuple(_unstable(cases, runs, limits.tolerance)),
        worst_seconds=None if worst is None else seconds[worst],
        worst_line=0 if worst is None else lines[worst],
    )


def _by_case(cases: Sequence[Case], runs: Sequence[Sequence[Grade]]) -> Iterator[tuple[Case, list[Sequence[Grade]]]]:
    """Yield every case with its grades of each repeat."""
    start = 0
    for case in cases:
        end = start + len(case.samples)
        yield case, [run[start:end] for run in runs]
        start = end


def _misses(graded: Sequence[tuple[Case, list[Sequence[Grade]]]], limits: Limits) -> Iterator[Miss]:
    for case, repeats in graded:
        wrong = next((grades for grades in repeats if not case.holds(grades, limits.tolerance)), None)
        if wrong is not None:
            yield Miss(case.line, case.expected, " and ".join(map(_said, wrong)), case.samples[0].excerpt)


def _unstable(cases: Sequence[Case], runs: Sequence[Sequence[Grade]], tolerance: float) -> Iterator[Miss]:
    for case, repeats in _by_case(cases, runs):
        for sample, grades in zip(case.samples, zip(*repeats, strict=True), strict=True):
            if _differ(grades, tolerance):
                got = " and ".join(dict.fromkeys(map(_said, grades)))
                yield Miss(case.line, "the same grade each time", got, sample.excerpt)
                break


def _differ(grades: Sequence[Grade], tolerance: float) -> bool:
    if len({grade.error and grade.error.error_class for grade in grades}) > 1:
        return True
    scores = [grade.score for grade in grades if grade.score is not None]
    return bool(scores) and max(scores) - min(scores) > tolerance


def _said(grade: Grade) -> str:
    return f"{grade.score:.10g}" if grade.error is None else f"error {grade.error.error_class} ({grade.error.detail})"
