"""Labelled rows: what is known of the grade of a sample, or of the order of two.

{"sample": "It is 4", "item": {"answer": "4"}, "score": 1}
{"sample": "4, maybe", "item": {"answer": "4"}, "score": {"min": 0.5, "max": 1}}
{"sample": "It is 4", "item": {"answer": "four"}, "error": "INVALID_REFERENCE"}
{"better": "NF1, BRCA1", "worse": "BRCA1, NF1", "item": {"answer": "NF1"}}
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from pydantic import JsonValue

from pinetune.client.grader_samples import BAD_ROW, Sample, sample_of, shown
from pinetune.client.rollout import ERROR_CLASSES, Grade
from pinetune.pod.errors import InvalidInput

LABELS = ("score", "error", "better")


@dataclass(frozen=True)
class Label:
    """A sample whose grade is known."""

    line: int
    """1-based line of the row."""
    sample: Sample
    """What to grade."""
    low: float = -math.inf
    """Lowest right score."""
    high: float = math.inf
    """Highest right score."""
    error_class: str = ""
    """The class of the error that is expected; empty where a score is."""

    @property
    def samples(self) -> tuple[Sample, ...]:
        """What to grade."""
        return (self.sample,)

    @property
    def expected(self) -> str:
        """What the row says, for people."""
        if self.error_class:
            return f"error {self.error_class}"
        if self.low == self.high:
            return f"{self.low:g}"
        if self.high == math.inf:
            return f"{self.low:g} or more"
        return f"{self.high:g} or less" if self.low == -math.inf else f"{self.low:g} to {self.high:g}"

    def holds(self, grades: Sequence[Grade], tolerance: float) -> bool:
        """Return whether the grade is the expected one."""
        (grade,) = grades
        if grade.error is not None:
            return grade.error.error_class == self.error_class
        assert grade.score is not None, "a grade has a score or an error"
        return not self.error_class and self.low - tolerance <= grade.score <= self.high + tolerance


@dataclass(frozen=True)
class Ordering:
    """Two samples of which one is better."""

    line: int
    """1-based line of the row."""
    better: Sample
    """The one that must score higher."""
    worse: Sample
    """The other one."""

    @property
    def samples(self) -> tuple[Sample, ...]:
        """What to grade."""
        return (self.better, self.worse)

    @property
    def expected(self) -> str:
        """What the row says, for people."""
        return "better above worse"

    def holds(self, grades: Sequence[Grade], tolerance: float) -> bool:
        """Return whether the better one's score is higher by more than the tolerance; an error is no score."""
        better, worse = grades
        return better.score is not None and worse.score is not None and better.score - worse.score > tolerance


Case = Label | Ordering


def read_case(row: Mapping[str, JsonValue], line: int) -> Case:
    """Read a labelled row; raises InvalidInput BAD_ROW that names the field."""
    labels = [key for key in LABELS if row.get(key) is not None]
    if len(labels) != 1:
        raise InvalidInput(
            f"needs exactly one of score, error, and better with worse; it has {' and '.join(labels) or 'none'}",
            reason=BAD_ROW,
            field=labels[-1] if labels else "",
        )
    if labels == ["better"]:
        return Ordering(line, sample_of(row, "better"), sample_of(row, "worse"))
    sample = sample_of(row)
    if labels == ["score"]:
        low, high = _bounds(row["score"])
        return Label(line, sample, low, high)
    name = row["error"]
    if not isinstance(name, str) or name.upper() not in ERROR_CLASSES:
        raise InvalidInput(
            f"error: must be one of {', '.join(ERROR_CLASSES)}; it is {name!r}", reason=BAD_ROW, field="error"
        )
    return Label(line, sample, error_class=name.upper())


def _bounds(score: JsonValue) -> tuple[float, float]:
    if _is_number(score):
        return float(score), float(score)
    if isinstance(score, dict) and score and not score.keys() - {"min", "max"}:
        low, high = score.get("min", -math.inf), score.get("max", math.inf)
        if _is_number(low) and _is_number(high) and low <= high:
            return float(low), float(high)
    raise InvalidInput(
        f"score: must be a number, or an object with min, max or both, min not above max; it is {shown(score)}",
        reason=BAD_ROW,
        field="score",
    )


def _is_number(value: JsonValue) -> TypeGuard[int | float]:
    """Say whether a value is a number that a score can be; a whole number may be above every double."""
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return isinstance(value, float)
