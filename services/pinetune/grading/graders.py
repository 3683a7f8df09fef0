"""The graders as Python sees them: bytes in, bytes and counts out. The only file that opens the Rust core.

The bytes are the messages of `grading.proto`; nothing here reads them, so that a batch of thousands of texts passes
through Python without one object a text.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pinetune.grading import _core
from pinetune.pod.errors import InvalidInput

SCORE_BOUNDS = tuple(_core.score_bounds())
"""Upper bounds of the buckets that scores are counted in."""


@dataclass(frozen=True)
class GradedBatch:
    """The reply to a batch, and how the batch went."""

    reply: bytes
    """`GradeResponse` in wire format, without `grading_seconds`: the core knows no clock."""
    kind: str
    """Kind of the grader."""
    score_counts: Sequence[int]
    """[len(SCORE_BOUNDS) + 1] grades with a score, by bucket; the last one is for scores above the last bound."""
    score_sum: float
    """Sum of all scores."""
    error_counts: Mapping[str, int]
    """Grades without a score, by error class."""


def grade(request: bytes) -> GradedBatch:
    """Grade a `GradeRequest`; the interpreter's lock is free meanwhile.

    Raises InvalidInput with reason and field where the grader or the batch's shape is wrong. A sample that cannot be
    graded is a grade with an error instead.
    """
    with _refusals():
        graded = _core.grade(request)
    return GradedBatch(graded.reply, graded.kind, graded.score_counts, graded.score_sum, graded.error_counts)


def validate(request: bytes) -> bytes:
    """Answer a `ValidateGraderRequest` with a `ValidateGraderResponse`; raises InvalidInput with reason and field."""
    with _refusals():
        return _core.validate(request)


def encode_grade_request(
    grader: bytes,
    items_json: Sequence[str],
    output_texts: Sequence[str],
    item_indexes: Sequence[int],
    samples_json: Sequence[str] = (),
    finish_reasons: Sequence[int] = (),
) -> bytes:
    """Return the `GradeRequest` of these columns, `grader` being a `GraderSpec`, without a Python message for it."""
    return _core.encode_grade_request(grader, items_json, output_texts, item_indexes, samples_json, finish_reasons)


def use_threads(count: int) -> None:
    """Let `count` threads grade large batches, 0 for one a core; once in a process, before the first batch."""
    _core.set_threads(count)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except _core.GraderError as error:
        raise InvalidInput(str(error), reason=error.reason, field=error.field, detail=error.detail) from None
