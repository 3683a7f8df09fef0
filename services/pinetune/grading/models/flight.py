"""A question that a model is being asked, and those who wait for its answer."""

import contextlib
import threading
from concurrent.futures import Future, InvalidStateError
from typing import Generic, TypeVar

from pinetune.grading.models.attempts import AttemptError, too_late
from pinetune.grading.waiting import wait_for

T = TypeVar("T")


class Flight(Generic[T]):
    """A question under way; all who ask it meanwhile wait for the same one."""

    def __init__(self, key: bytes, deadline: float) -> None:
        self.key = key
        """By which equal questions find it."""
        self.deadline = deadline
        """The latest deadline of all who wait."""
        self.waiting = 1
        """How many wait."""
        self.is_queued = False
        """True until a thread of the model takes it up."""
        self.over = threading.Event()
        """Set while nobody waits, and when the service stops: there is no further attempt to pause for."""
        self._outcome: Future[T | AttemptError] = Future()
        self._tokens = 0
        self._lock = threading.Lock()

    def settle(self, outcome: T | AttemptError) -> None:
        """Let those who wait have the outcome; the first one counts."""
        with contextlib.suppress(InvalidStateError):
            self._outcome.set_result(outcome)

    def fail(self, error: BaseException) -> None:
        """Raise a fault of ours in those who wait."""
        with contextlib.suppress(InvalidStateError):
            self._outcome.set_exception(error)

    def wait(self, deadline: float, cancelled: threading.Event) -> T | AttemptError:
        """Return the answer or why there is none, at `deadline` or once `cancelled` is set at the latest."""
        if wait_for(self._outcome, deadline, cancelled):
            return self._outcome.result()
        if cancelled.is_set():
            return too_late("the call was cancelled before the model answered")
        return too_late("no answer of the model before the grade's deadline")

    def add_tokens(self, count: int) -> None:
        """Count tokens that an attempt used."""
        with self._lock:
            self._tokens += count

    def take_tokens(self) -> int:
        """Return the tokens counted since this was called last, so that only one of those who wait reports them."""
        with self._lock:
            count, self._tokens = self._tokens, 0
            return count
