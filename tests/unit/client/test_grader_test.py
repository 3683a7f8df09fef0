"""A labelled set against graders that are right, wrong, moody and slow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from pydantic import JsonValue

from pinetune.client.grader_labels import read_case
from pinetune.client.grader_samples import Sample
from pinetune.client.grader_test import Limits, run_test
from pinetune.client.grading import GradedBatch
from pinetune.client.rollout import Grade, GradeError
from pinetune.pod.errors import InvalidInput

ROWS: list[dict[str, JsonValue]] = [
    {"sample": "1", "score": 1},
    {"sample": "0.5", "score": {"min": 0.4, "max": 0.6}},
    {"sample": "none", "error": "SAMPLE_PARSE"},
    {"better": "0.8", "worse": "0.3"},
]
CASES = [read_case(row, line) for line, row in enumerate(ROWS, 1)]


@dataclass
class Reader:
    """Grades a text by the number that it is; `change` may have another mind."""

    change: Callable[[str, int], float | None] = lambda text, call: None
    seconds: dict[str, float] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)

    def __call__(self, samples: Sequence[Sample]) -> GradedBatch:
        self.sizes.append(len(samples))
        grades = tuple(self._grade(sample.text) for sample in samples)
        return GradedBatch(grades, {}, max(self.seconds.get(sample.text, 0.001) for sample in samples))

    def _grade(self, text: str) -> Grade:
        changed = self.change(text, len(self.sizes))
        if changed is not None:
            return Grade(score=changed)
        try:
            return Grade(score=float(text))
        except ValueError:
            return Grade(error=GradeError("SAMPLE_PARSE", f"{text} is no number"))


def test_a_grader_that_holds_passes() -> None:
    report = run_test(CASES, Reader(), Limits())
    assert (report.agreed_count, report.case_count, report.agreement) == (4, 4, 1.0)
    assert (report.passed, report.failures) == (True, ())


def test_the_last_repeat_sends_each_sample_by_itself() -> None:
    reader = Reader()
    run_test(CASES, reader, Limits(repeats=3))
    assert reader.sizes == [5, 5, 1, 1, 1, 1, 1]
    reader = Reader()
    report = run_test(CASES, reader, Limits(repeats=2), one_by_one=False)
    assert (reader.sizes, report.worst_seconds) == ([5, 5], None)


def test_what_does_not_hold_is_listed_with_expectation_and_grade() -> None:
    report = run_test(CASES, Reader(lambda text, _: {"1": 0.25, "none": 0.0, "0.3": 0.9}.get(text)), Limits())
    assert [(miss.line, miss.expected, miss.got, miss.text) for miss in report.disagreements] == [
        (1, "1", "0.25", "1"),
        (3, "error SAMPLE_PARSE", "0", "none"),
    ]
    assert [(miss.line, miss.got) for miss in report.order_violations] == [(4, "0.8 and 0.9")]
    assert (report.agreed_count, report.passed) == (1, False)
    assert report.failures == ("1 of 4 cases hold, a share of 0.25; min_agreement is 1",)


def test_a_share_of_misses_may_be_allowed() -> None:
    wrong_once = Reader(lambda text, _: 0.0 if text == "1" else None)
    assert run_test(CASES, wrong_once, Limits(min_agreement=0.75)).passed
    assert not run_test(CASES, wrong_once, Limits(min_agreement=0.76)).passed


@pytest.mark.parametrize("changed", [0.55, 0.0], ids=["still in its bounds", "and wrong"])
def test_a_grade_that_differs_between_repeats_fails_the_test(changed: float) -> None:
    moody = Reader(lambda text, call: changed if text == "0.5" and call == 2 else None)
    report = run_test(CASES, moody, Limits(repeats=3))
    assert [(miss.line, miss.got) for miss in report.unstable] == [(2, f"0.5 and {changed:g}")]
    assert any("graded differently" in sentence for sentence in report.failures)
    assert len(report.disagreements) == (changed == 0.0)


def test_a_grade_that_is_a_score_once_and_an_error_then_is_unstable() -> None:
    moody = Reader(lambda text, call: 1.0 if text == "none" and call == 1 else None)
    assert [miss.line for miss in run_test(CASES, moody, Limits(repeats=2)).unstable] == [3]


def test_small_differences_between_repeats_are_within_the_tolerance() -> None:
    moody = Reader(lambda text, call: 0.55 if text == "0.5" and call == 2 else None)
    assert run_test(CASES, moody, Limits(tolerance=0.06)).passed


def test_the_slowest_sample_is_named_and_may_be_too_slow() -> None:
    slow = Reader(seconds={"0.3": 2.5, "1": 1.0})
    report = run_test(CASES, slow, Limits(max_seconds=2.0))
    assert (report.worst_seconds, report.worst_line) == (2.5, 4)
    assert report.failures == ("the slowest grade, line 4, took 2.5 s; max_seconds is 2",)
    assert run_test(CASES, slow, Limits(max_seconds=2.5)).passed


def test_no_cases_are_no_test() -> None:
    with pytest.raises(InvalidInput, match="no cases"):
        run_test([], Reader(), Limits())
