"""Who uses the engine and who waits for it, first come, first served; refuses callers once too many wait.

An engine does one thing at a time, and a pod has a fixed number of threads: callers without end would hold them all,
and nobody could even ask how busy the engine is.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pinetune.generation import metrics
from pinetune.pod.errors import Busy, Cancelled

# How often one who waits looks whether his caller still does.
LOOK_SECONDS = 0.5
RETRY_SECONDS = 1.0


@dataclass(frozen=True, eq=False)
class _Turn:
    completion_count: int


class Turns:
    """The queue for one engine; its head has the engine."""

    def __init__(self, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self._queue: deque[_Turn] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def take(self, wanted: Callable[[], bool], completion_count: int = 0) -> Iterator[None]:
        """Wait for the engine and have it inside the block, to sample so many completions or for another use.

        Raises Busy where too many wait already, Cancelled once `wanted` says that the caller does not wait any more.
        """
        turn = _Turn(completion_count)
        with self._changed:
            self._join(turn)
            try:
                while self._queue[0] is not turn:
                    if not wanted():
                        raise Cancelled("the caller left while its call waited for the engine", reason="CALLER_LEFT")
                    self._changed.wait(LOOK_SECONDS)
            except BaseException:
                self._leave(turn)
                raise
            metrics.COMPLETIONS_RUNNING.set(completion_count)
        try:
            yield
        finally:
            with self._changed:
                metrics.COMPLETIONS_RUNNING.set(0)
                self._leave(turn)

    @property
    def running_count(self) -> int:
        """Completions that are being sampled."""
        with self._changed:
            return self._queue[0].completion_count if self._queue else 0

    @property
    def waiting_count(self) -> int:
        """Completions that wait to be sampled."""
        with self._changed:
            return sum(turn.completion_count for turn in self._queue) - (
                self._queue[0].completion_count if self._queue else 0
            )

    def _join(self, turn: _Turn) -> None:
        if len(self._queue) > self._waiting_max:
            raise Busy(
                f"{self._waiting_max} calls wait for the engine already; repeat the call later or start more replicas "
                "(PINETUNE_GENERATION_WAITING_CALLS_MAX)",
                reason="ENGINE_BUSY",
                retry_after_seconds=RETRY_SECONDS,
                limit=self._waiting_max,
            )
        self._queue.append(turn)
        metrics.REQUESTS_WAITING.set(len(self._queue))

    def _leave(self, turn: _Turn) -> None:
        self._queue.remove(turn)
        metrics.REQUESTS_WAITING.set(len(self._queue))
        self._changed.notify_all()
