"""The graders as Python sees them: bytes in, bytes and counts out.

Only this file and the writer of requests, `pinetune.client.grade_requests`, open the Rust core.

The bytes are the messages of `grading.proto`; nothing here reads them, so that a batch of thousands of texts passes
through Python without one object a text.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pinetune import _core
from pinetune.client.rollout import Grade
from pinetune.grading.asking import Questions
from pinetune.pod.errors import InvalidInput

SCORE_BOUNDS = tuple(_core.score_bounds())
"""Upper bounds of the buckets that scores are counted in."""

CORE_FILE = str(_core.__file__)
"""Where the core lies, for processes that open it by themselves, without the package."""


@dataclass(frozen=True)
class GradedBatch:
    """The reply to a batch, and how the batch went."""

    reply: bytes
    """`GradeResponse` in wire format, without `grading_seconds`: the core knows no clock."""
    kind: str
    """Kind of the grader."""
    name: str
    """Its name; of a grader without one its kind."""
    score_counts: Sequence[int]
    """[len(SCORE_BOUNDS) + 1] grades with a score, by bucket; the last one is for scores above the last bound."""
    score_sum: float
    """Sum of all scores."""
    error_counts: Mapping[str, int]
    """Grades without a score, by error class."""


@dataclass(frozen=True)
class PartQuestions:
    """What one part of a grader asks before the batch can be graded."""

    questions: Questions
    """The questions."""
    rows: Sequence[int]
    """[N] the rows of the batch that they are about."""


def grade(request: bytes) -> GradedBatch:
    """Grade a `GradeRequest` by a grader that asks nobody; the interpreter's lock is free meanwhile.

    Raises InvalidInput with reason and field where the grader or the batch's shape is wrong, and GRADER_ASKS where the
    core cannot grade alone. A sample that cannot be graded is a grade with an error instead.
    """
    outcome = grade_or_ask(request)
    if isinstance(outcome, GradedBatch):
        return outcome
    kinds = ", ".join(sorted({part.questions.kind for part in outcome}))
    raise InvalidInput(f"grader: the core cannot grade {kinds} alone", reason="GRADER_ASKS", field="grader")


def grade_or_ask(request: bytes) -> GradedBatch | list[PartQuestions]:
    """Grade a `GradeRequest`, or return what has to be asked first, by part; otherwise as `grade`."""
    with _refusals():
        graded = _core.grade(request)
    if not isinstance(graded, list):
        return _batch(graded)
    return [
        PartQuestions(Questions(part.kind, part.part, json.loads(part.grader), part.bodies), part.rows)
        for part in graded
    ]


def grade_answered(request: bytes, answered: Sequence[tuple[PartQuestions, Sequence[Grade]]]) -> GradedBatch:
    """Grade a `GradeRequest` with the answers to its questions, one grade a question."""
    answers = [
        (part.questions.part, part.rows, [grade.to_wire().SerializeToString() for grade in grades])
        for part, grades in answered
    ]
    with _refusals():
        return _batch(_core.grade_answered(request, answers))


def _batch(graded: _core.Graded) -> GradedBatch:
    return GradedBatch(
        graded.reply, graded.kind, graded.name, graded.score_counts, graded.score_sum, graded.error_counts
    )


def validate(request: bytes) -> bytes:
    """Answer a `ValidateGraderRequest` with a `ValidateGraderResponse`; raises InvalidInput with reason and field."""
    with _refusals():
        return _core.validate(request)


def use_threads(count: int) -> None:
    """Let `count` threads grade large batches, 0 for one a core; once in a process, before the first batch."""
    _core.set_threads(count)


def use_instructions(name: str) -> None:
    """Have vector code use `portable`, `avx2` or `avx512`, to measure them; once, before anything is graded.

    Without this it takes the best that the processor has. RuntimeError where the processor lacks them.
    """
    _core.set_instructions(name)


def lock_down_fault() -> str:
    """Return why this machine cannot lock a process up, as a user's Python needs it; empty where it can."""
    return _core.lock_down_fault()


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except _core.GraderError as error:
        raise InvalidInput(str(error), reason=error.reason, field=error.field, detail=error.detail) from None
