"""Starts attempts, and goes on with those whose start broke off because the launcher could not do it then.

Such work stays as it is, running, and says what it waits for. So does an attempt that a predecessor of this process had
begun to start: as long as no worker has claimed it some of its processes may be missing, and it is started again; the
launcher leaves alone what is there.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from pinetune.jobs import metrics
from pinetune.jobs.bell import Bell
from pinetune.jobs.ending import end_as_wished, end_work
from pinetune.jobs.launcher.base import Launcher
from pinetune.jobs.moments import now
from pinetune.jobs.states import State, Wish
from pinetune.jobs.store.database import Database
from pinetune.jobs.store.leases import current_attempt, touch_attempt
from pinetune.jobs.store.works import Fault, Work, get_work
from pinetune.jobs.work_orders import work_order
from pinetune.pod.errors import PinetuneError, Transient


@dataclass(frozen=True)
class _BrokenOff:
    """A start that is to be tried again."""

    attempt: int
    """Of what; no worker has claimed it."""
    why: str
    """What the launcher said; empty where it said so to a predecessor of this process."""
    again_time: float
    """When to try again, by the monotonic clock."""


class Launches:
    """Used by the scheduler's thread; launches nothing once `stopping` is set."""

    def __init__(
        self, database: Database, launcher: Launcher, *, artifacts_uri: str, news: Bell, stopping: threading.Event
    ) -> None:
        self._database = database
        self._launcher = launcher
        self._artifacts_uri = artifacts_uri
        self._news = news
        self._stopping = stopping
        self._broken_off: dict[str, _BrokenOff] = {}
        self._took_over = False

    def start(self, work: Work, attempt: int) -> bool:
        """Start the processes; work that can never be started fails. Returns False where it cannot be done now."""
        if self._stopping.is_set():
            return False  # The next process finds that it should run.
        try:
            self._launcher.launch(work_order(self._artifacts_uri, work, attempt=attempt))
        except Transient as error:
            again_time = time.monotonic() + (error.retry_after_seconds or 0.0)
            self._broken_off[work.work_id] = _BrokenOff(attempt, error.message, again_time)
            return False
        except PinetuneError as error:
            self._fail(work, attempt, error)
        else:
            metrics.LAUNCHES.labels(work.kind).inc()
        self._broken_off.pop(work.work_id, None)
        return True

    def __contains__(self, work: Work) -> bool:
        """Return whether the start of its attempt broke off, and is not over yet."""
        broken_off = self._broken_off.get(work.work_id)
        return broken_off is not None and broken_off.attempt == work.attempt

    def __len__(self) -> int:
        """Return how many starts broke off."""
        return len(self._broken_off)

    def start_again(self, work: Work) -> None:
        """Try again to start work whose start broke off, if it is time for that and the user still wants it to run."""
        if work.wish is not Wish.NONE or time.monotonic() < self._broken_off[work.work_id].again_time:
            return
        with self._database.write() as connection:
            # Its worker is silent for want of a start: that counts from now on only.
            touch_attempt(connection, work.work_id, work.attempt, now=now())
        self.start(work, work.attempt)

    def take_over(self, running: Sequence[Work]) -> None:
        """Have what a predecessor launched and no worker has claimed started again; does so once."""
        if self._took_over:
            return
        with self._database.read() as connection:
            for work in running:
                if _is_unclaimed(connection, work) and work.work_id in self._launcher.running():
                    self._broken_off[work.work_id] = _BrokenOff(work.attempt, "", time.monotonic())
        self._took_over = True

    def give_up_unwanted(self, *, stop_grace_seconds: float) -> None:
        """End cancelled and paused work whose start broke off, whether or not the cluster can be reached.

        Processes that it has nevertheless are stopped, at the latest when they are found left over.
        """
        for work_id, broken_off in list(self._broken_off.items()):
            with self._database.write() as connection:
                work = get_work(connection, work_id)
                # What was claimed has all its processes, though nobody heard so: the worker is started last.
                goes_on = (work.state, work.attempt) == (State.RUNNING, broken_off.attempt) and _is_unclaimed(
                    connection, work
                )
                if goes_on and work.wish is Wish.NONE:
                    continue
                if goes_on:
                    end_as_wished(connection, work, moment=now())
            del self._broken_off[work_id]
            if goes_on:
                self._launcher.stop(work_id, grace_seconds=stop_grace_seconds)
                self._news.ring()

    def pending(self) -> Mapping[str, str]:
        """Return, by work, why its processes could not be started."""
        return {work_id: one.why for work_id, one in self._broken_off.items() if one.why}

    def _fail(self, work: Work, attempt: int, error: PinetuneError) -> None:
        with self._database.write() as connection:
            current = get_work(connection, work.work_id)
            if (current.state, current.attempt) != (State.RUNNING, attempt):
                return  # All its processes were there after all, and its worker has ended it.
            end_work(connection, current, State.FAILED, moment=now(), fault=Fault(error.reason, error.message))
        self._news.ring()


def _is_unclaimed(connection: Connection, work: Work) -> bool:
    return current_attempt(connection, work).claim_time is None
