"""The samples of a batch of a Python grader: who takes which, until when, and their grades."""

import threading
import time
from collections.abc import Sequence

from pinetune.client.rollout import Grade, GradeError


class Batch:
    """The samples of a batch, taken one by one by several threads, and their grades."""

    def __init__(self, source: bytes, bodies: Sequence[str], deadline: float, cancelled: threading.Event) -> None:
        self.source, self.deadline, self.cancelled = source, deadline, cancelled
        self._bodies = bodies
        self._grades: list[Grade | None] = [None] * len(bodies)
        self._places = iter(range(len(bodies)))
        self._taking = threading.Lock()
        self._lasting: Grade | None = None

    def take(self) -> int | None:
        """Return the place of a sample that nobody has taken; None where none is left, no time, or nobody who waits."""
        with self._taking:
            if self._lasting is not None or self.cancelled.is_set() or time.monotonic() >= self.deadline:
                return None
            return next(self._places, None)

    def body(self, place: int) -> str:
        """Return the question about a sample."""
        return self._bodies[place]

    def put(self, place: int, grade: Grade) -> None:
        """Note a grade."""
        self._grades[place] = grade

    def fail(self, place: int, grade: Grade, *, lasting: bool = False) -> None:
        """Note an error; one that is lasting is that of every sample that is still to be taken."""
        self.put(place, grade)
        if lasting:
            self._lasting = grade

    def grades(self) -> list[Grade]:
        """Return all grades; what was not reached has the error that stopped the batch."""
        over = (
            "nobody waits for it any more" if self.cancelled.is_set() else "the batch's time was over before its turn"
        )
        left = self._lasting or failed("DEADLINE", over, retryable=True)
        return [grade or left for grade in self._grades]


def failed(error_class: str, detail: str, *, retryable: bool = False) -> Grade:
    """Return the grade of a sample that has none."""
    return Grade(error=GradeError(error_class, detail, retryable))
