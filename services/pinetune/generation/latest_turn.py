"""One caller at a time, and always the latest: who comes takes over from who is there.

For work that is worth nothing once somebody begins it anew, as a policy that is being received: its sender may be
frozen, and the one that was started in its place must not wait for it. What the earlier caller has made is discarded at
once, by the later one, since nobody knows when the earlier one's thread wakes up; when it does it is refused. From
`commit` on a turn ends by itself: a successor then waits.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from pinetune.pod.errors import Cancelled, Conflict

LOOK_SECONDS = 0.05
"""Pause between two looks of one who waits."""


class Turn:
    """One caller's turn."""

    def __init__(self, place: threading.Lock) -> None:
        self.replaced = False
        """Whether a later caller has come."""
        self.discards = ExitStack()
        """What undoes what was made; used within `working`, and at the end of the turn."""
        self._place = place
        self._holds_place = False
        self._committed = False
        self._lock = threading.Lock()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Do a piece of the work, which a successor does not interrupt; raises Conflict STREAM_REPLACED after one."""
        with self._lock:
            self.refuse_replaced()
            yield

    def commit(self) -> None:
        """Let successors wait from now on; within `working`."""
        self._committed = True

    def refuse_replaced(self) -> None:
        """Raise Conflict STREAM_REPLACED where a later caller has come."""
        if self.replaced:
            raise Conflict(
                "a later call brings a policy to this sampler, so this one was given up and what had come of it was "
                "discarded; look whether another learner of this job is at work",
                reason="STREAM_REPLACED",
            )

    def give_up(self) -> None:
        """End the turn for a successor, unless it is committed."""
        with self._lock:
            self.replaced = True
            if not self._committed:
                self._end()

    def begin(self, waits: Callable[[], bool]) -> None:
        """Wait for the place."""
        while not self._place.acquire(timeout=LOOK_SECONDS):
            self.refuse_replaced()
            if not waits():
                raise Cancelled("the caller left before it was its turn", reason="CALLER_LEFT")
        with self._lock:
            self._holds_place = True
            if self.replaced:
                self._end()
            self.refuse_replaced()

    def end(self) -> None:
        """Discard what was made and leave the place to others."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        try:
            self.discards.close()
        finally:
            if self._holds_place:
                self._holds_place = False
                self._place.release()


class LatestTurn:
    """The place that the latest caller has."""

    def __init__(self) -> None:
        self._place = threading.Lock()
        self._lock = threading.Lock()
        self._latest: Turn | None = None

    @contextmanager
    def take(self, waits: Callable[[], bool]) -> Iterator[Turn]:
        """Yield the caller's turn, once what an earlier one has committed to is done.

        Raises Conflict STREAM_REPLACED where a later caller comes meanwhile, Cancelled once `waits` says False.
        """
        turn = Turn(self._place)
        with self._lock:
            earlier, self._latest = self._latest, turn
        if earlier is not None:
            earlier.give_up()
        try:
            turn.begin(waits)
            yield turn
        finally:
            turn.end()
