"""One caller at a time, and always the latest: who comes takes over from who is there, unless he brings what is older.

For work that is worth nothing once somebody begins it anew, as a policy that is being received: its sender may be
frozen, or may have given up a call that the server still has and make it again, and that must not wait for the earlier
one. What the earlier caller has made is discarded at once, by the later one, since nobody knows when the earlier one's
thread wakes up; when it does it is refused. From `commit` on a turn ends by itself: a successor then waits.

The fence is the version of what is brought: who comes with a lower one than somebody who is there, as a learner that
was away for long, is refused and disturbs nobody. Who has left, though his turn is not over, keeps nobody out.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from pinetune.pod.errors import Cancelled, Conflict

LOOK_SECONDS = 0.05
"""Pause between two looks of one who waits."""


class Turn:
    """One caller's turn."""

    def __init__(self, place: threading.Lock, version: int, waits: Callable[[], bool]) -> None:
        self.version = version
        """Of what the caller brings."""
        self.waits = waits
        """Whether the caller is still there."""
        self.over = False
        """Whether it has ended, or was ended for a later caller."""
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

    def begin(self) -> None:
        """Wait for the place."""
        while not self._place.acquire(timeout=LOOK_SECONDS):
            self.refuse_replaced()
            if not self.waits():
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
        self.over = True
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
        self._turns: list[Turn] = []
        """Those that may be under way."""

    @contextmanager
    def take(self, version: int, waits: Callable[[], bool]) -> Iterator[Turn]:
        """Yield the turn of a caller who brings `version`, once what an earlier one has committed to is done.

        Raises Conflict STREAM_OUTDATED where somebody who is there brings a higher version, Conflict STREAM_REPLACED
        where a later caller comes meanwhile, Cancelled once `waits` says False.
        """
        turn = Turn(self._place, version, waits)
        with self._lock:
            earlier = [one for one in self._turns if not one.over]
            _refuse_outdated(version, max((one.version for one in earlier if one.waits()), default=version))
            self._turns = [*earlier, turn]
        for one in earlier:
            one.give_up()
        try:
            turn.begin()
            yield turn
        finally:
            turn.end()


def _refuse_outdated(version: int, newest: int) -> None:
    if version < newest:
        raise Conflict(
            f"policy {version} was refused: policy {newest} is on its way to this sampler; look whether another "
            "learner of this job is at work",
            reason="STREAM_OUTDATED",
            policy_version=version,
            newest_version=newest,
        )
