"""The Rust core, `grader_core/src/python.rs`: bytes and counts cross this door, never single grades."""

from collections.abc import Sequence
from typing import final

__all__ = [
    "Graded",
    "GraderError",
    "Questions",
    "core_version",
    "die_with",
    "encode_grade_request",
    "forbid_processes",
    "grade",
    "grade_answered",
    "lock_down",
    "lock_down_fault",
    "score_bounds",
    "set_instructions",
    "set_threads",
    "validate",
]

class GraderError(Exception):
    """A grader or a request is refused."""

    reason: str
    """Stable UPPER_SNAKE word."""
    field: str
    """Path of the fault, e.g. `graders.accuracy.reference`."""
    detail: str
    """What is wrong there; the message is `field: detail`."""

@final
class Graded:
    """A graded batch: the reply for the wire, and how the batch went."""

    @property
    def reply(self) -> bytes:
        """`GradeResponse` in wire format, without `grading_seconds`."""
    @property
    def kind(self) -> str:
        """Kind of the grader."""
    @property
    def name(self) -> str:
        """Its name; of a grader without one its kind."""
    @property
    def score_counts(self) -> list[int]:
        """Grades with a score, by bucket of `score_bounds`; the last bucket is for scores above the last bound."""
    @property
    def score_sum(self) -> float:
        """Sum of all scores."""
    @property
    def error_counts(self) -> dict[str, int]:
        """Grades without a score, by error class; classes that did not occur are left out."""

@final
class Questions:
    """What one part of a grader asks about the samples of a batch."""

    @property
    def part(self) -> str:
        """Name of the part; empty for a grader that is no multi."""
    @property
    def kind(self) -> str:
        """Kind of the part."""
    @property
    def grader(self) -> str:
        """The part's spec as JSON, every default written out."""
    @property
    def rows(self) -> list[int]:
        """[N] the rows that are asked about."""
    @property
    def bodies(self) -> list[str]:
        """[N] the question of each of those rows, as JSON."""

def grade(request: bytes) -> Graded | list[Questions]:
    """Grade a `GradeRequest` in wire format, or return what has to be asked first, by part.

    Raises GraderError where the grader or the batch's shape is wrong.
    """

def grade_answered(request: bytes, answers: Sequence[tuple[str, Sequence[int], Sequence[bytes]]]) -> Graded:
    """Grade a `GradeRequest` whose questions are answered.

    For each part its name, its rows, and for each row `Grade` in wire format.
    """

def validate(request: bytes) -> bytes:
    """Answer a `ValidateGraderRequest` in wire format with a `ValidateGraderResponse`. Raises GraderError."""

def encode_grade_request(
    grader: bytes,
    items_json: Sequence[str],
    output_texts: Sequence[str],
    item_indexes: Sequence[int],
    samples_json: Sequence[str],
    finish_reasons: Sequence[int],
) -> bytes:
    """Write a `GradeRequest` from its columns; `grader` is a `GraderSpec` in wire format."""

def core_version() -> int:
    """Return the version of the grading rules, which fingerprints contain."""

def score_bounds() -> list[float]:
    """Return the upper bounds of the buckets of `Graded.score_counts`."""

def set_threads(count: int) -> None:
    """Set how many threads grade large batches, 0 for one a core.

    Works once, before the first such batch; RuntimeError afterwards.
    """

def set_instructions(name: str) -> None:
    """Have vector code use `portable`, `avx2` or `avx512`, to measure them; the best that the processor has by default.

    Works once, before anything is graded; RuntimeError afterwards, or where the processor lacks them.
    """

def lock_down(readable: Sequence[str], writable: str) -> None:
    """Lock this process up for good: files and folders to read, one folder to write in, no network, threads, programs.

    For a process that has no threads yet. RuntimeError where the kernel cannot; the process must then end.
    """

def forbid_processes() -> None:
    """Forbid a locked process to fork, too, and to end other processes."""

def die_with(parent: int) -> None:
    """Have this process killed when its parent ends; RuntimeError where `parent` is its parent no more."""

def lock_down_fault() -> str:
    """Return why this machine cannot lock a process up, empty where it can. Tried in a thread that then ends."""
