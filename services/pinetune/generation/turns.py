"""Who uses the engine and who waits for it, first come, first served; refuses callers once too much waits.

An engine does one thing at a time, and a pod has a fixed number of threads: callers without end would hold them all,
and nobody could even ask how busy the engine is. What waits is bounded twice: in calls, and in tokens, since a call of
a thousand long answers is not one of a short one. A refusal says when to come again, by the pace that was measured.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pinetune.generation import metrics
from pinetune.pod.errors import Busy, Cancelled

# How often one who waits looks whether his caller still does.
LOOK_SECONDS = 0.5
RETRY_SECONDS = 1.0
"""When to come again while no pace is known."""
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 0.1, 60.0
PACE_MEMORY = 0.7
"""How much of the pace stays when a turn has ended; the rest is that turn's."""


@dataclass(frozen=True, eq=False)
class _Turn:
    completion_count: int
    token_count: int


class Turns:
    """The queue for one engine; its head has the engine."""

    def __init__(self, waiting_max: int, waiting_tokens_max: int) -> None:
        self._waiting_max = waiting_max
        self._waiting_tokens_max = waiting_tokens_max
        self._queue: deque[_Turn] = deque()
        self._holder: _Turn | None = None
        self._between: deque[_Turn] = deque()
        """Who takes the engine between two tokens of the holder's."""
        self._lending = False
        self._changed = threading.Condition()
        self._began = 0.0
        self._pace: float | None = None
        """Tokens a second, by the turns that have ended; None before the first."""

    @contextmanager
    def take(self, wanted: Callable[[], bool], completion_count: int = 0, token_count: int = 0) -> Iterator[None]:
        """Wait for the engine and have it inside the block, to sample so many completions or for another use.

        `token_count` is what the use may come to, prompts and room for answers. Raises Busy where too much waits
        already, Cancelled once `wanted` says that the caller does not wait any more.
        """
        turn = _Turn(completion_count, token_count)
        with self._changed:
            self._join(turn)
            try:
                while self._queue[0] is not turn or self._between:
                    if not wanted():
                        raise Cancelled("the caller left while its call waited for the engine", reason="CALLER_LEFT")
                    self._changed.wait(LOOK_SECONDS)
            except BaseException:
                self._leave(turn)
                raise
            self._holder, self._began = turn, time.monotonic()
        try:
            yield
        except BaseException:
            with self._changed:
                self._leave(turn)
            raise
        with self._changed:
            self._note_pace(turn)
            self._leave(turn)

    @contextmanager
    def take_between_tokens(self, wanted: Callable[[], bool]) -> Iterator[None]:
        """Have the engine before all who wait, and inside the running turn where that lends it.

        Raises Cancelled as `take` does.
        """
        turn = _Turn(0, 0)
        with self._changed:
            self._between.append(turn)
            try:
                while self._between[0] is not turn or (self._holder is not None and not self._lending):
                    if not wanted():
                        raise Cancelled("the caller left while its call waited for the engine", reason="CALLER_LEFT")
                    self._changed.wait(LOOK_SECONDS)
            except BaseException:
                self._between.remove(turn)
                self._changed.notify_all()
                raise
        try:
            yield
        finally:
            with self._changed:
                self._between.remove(turn)
                self._changed.notify_all()

    def lend(self) -> None:
        """Let those have the engine who do not wait for this turn's end; called by the running turn between tokens."""
        with self._changed:
            self._lending = True
            self._changed.notify_all()
            while self._between:
                self._changed.wait(LOOK_SECONDS)
            self._lending = False

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
                retry_after_seconds=self._seconds_until_gone(self._queue[0].token_count),
                limit=self._waiting_max,
            )
        waiting = turn.token_count + sum(one.token_count for one in list(self._queue)[1:])
        # One that waits for nobody else takes the engine next, however large it is.
        if len(self._queue) > 1 and waiting > self._waiting_tokens_max:
            raise Busy(
                f"{turn.token_count} more tokens would make {waiting} that wait for the engine, above the "
                f"{self._waiting_tokens_max} that may (PINETUNE_GENERATION_WAITING_TOKENS_MAX); repeat the call later "
                "or start more replicas",
                reason="ENGINE_BUSY",
                retry_after_seconds=self._seconds_until_gone(
                    self._queue[0].token_count + waiting - self._waiting_tokens_max
                ),
                limit=self._waiting_tokens_max,
                given=waiting,
            )
        self._queue.append(turn)
        self._show()

    def _seconds_until_gone(self, token_count: int) -> float:
        """Return when so many tokens, those of the running turn first, will have been worked off."""
        if self._pace is None:
            return RETRY_SECONDS
        seconds = token_count / self._pace - (time.monotonic() - self._began)
        return min(max(seconds, RETRY_SECONDS_MIN), RETRY_SECONDS_MAX)

    def _note_pace(self, turn: _Turn) -> None:
        seconds = time.monotonic() - self._began
        if turn.token_count and seconds > 0:
            pace = turn.token_count / seconds
            self._pace = pace if self._pace is None else PACE_MEMORY * self._pace + (1 - PACE_MEMORY) * pace

    def _leave(self, turn: _Turn) -> None:
        if self._holder is turn:
            self._holder = None
        self._queue.remove(turn)
        self._show()
        self._changed.notify_all()

    def _show(self) -> None:
        metrics.REQUESTS_RUNNING.set(min(len(self._queue), 1))
        metrics.REQUESTS_WAITING.set(max(len(self._queue) - 1, 0))
