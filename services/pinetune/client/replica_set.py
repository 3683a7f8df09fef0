"""Which replicas of a service may be given work: those that were lost are looked after until they are back.

A set knows all replicas that there may ever be and uses the first of them, as many as `resize` says. A replica is lost
when a call of it ends with nobody there. From then on a thread asks for its health, as for one that is new; once it
serves, it is made ready (`Ready`: load the policy, attest it) and only then counts as present. Where that fails for a
fault that would come again, the fault is raised at whoever uses the set next; but one beyond those that the set began
with is given up until the next `resize`, then and later, since the others can do without it.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pinetune.client.generation import GenerationClient, PolicyState
from pinetune.client.replica_news import Back, GivenUp, Joined, Lost, Retired, Tell
from pinetune.pod.errors import Cancelled, PinetuneError, TimedOut, Transient, Unavailable

log = logging.getLogger(__name__)

PROBE_SECONDS = 0.5
"""Pause between two looks at a lost replica."""
WHY_CHARACTERS_MAX = 300


@dataclass(frozen=True)
class Attendance:
    """Who is there; two that are equal say that nobody came or went between them."""

    present: tuple[bool, ...]
    """Of each replica in use, by number, whether it may be given work."""
    change_count: int
    """How often one was lost, came back or joined so far."""


class Replica:
    """One replica of a service."""

    def __init__(self, name: str, client: GenerationClient) -> None:
        self.name = name
        """What events and errors call it."""
        self.client = client
        """Its line."""
        self.present = True
        """Whether it may be given work."""
        self.why = ""
        """Why it was lost last; empty where it has not joined yet."""
        self.lost_time = 0.0
        """When, or since when it is wanted; by the monotonic clock."""
        self.policy: PolicyState | None = None
        """What it said it holds when a policy was loaded into it last."""

    def absence(self) -> str:
        """Say since when and why it is not there."""
        since = f"{time.monotonic() - self.lost_time:.0f} s ago"
        return f"{self.name}, lost {since}: {self.why}" if self.why else f"{self.name}, wanted {since}: not there yet"


class ReplicaSet:
    """The replicas of one job."""

    def __init__(
        self,
        replicas: Sequence[Replica],
        *,
        ready: Callable[[Replica], None],
        tell: Tell,
        return_seconds: float,
        count: int | None = None,
    ) -> None:
        """Begin with the first `count` of the replicas, all by default; those are there."""
        self._all = tuple(replicas)
        self._count = len(self._all) if count is None else count
        if not 1 <= self._count <= len(self._all):
            raise ValueError(f"count must be from 1 to the {len(self._all)} replicas; it is {self._count}")
        self._further = frozenset(self._all[self._count :])
        """Those that the set can do without."""
        self._given_up: set[Replica] = set()
        for replica in self._further:
            replica.present = False
        self.arrivals = threading.Lock()
        """Held while one that came back is made ready; who holds it sees nobody come back meanwhile."""
        self._ready = ready
        self._tell = tell
        self._return_seconds = return_seconds
        self._changed = threading.Condition()
        self._closed = False
        self._looks: dict[Replica, threading.Event] = {}
        """What ends the looking after each replica that is, or was, looked after."""
        self._change_count = 0
        self._fault: Exception | None = None

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """Those in use, lost ones included."""
        return self._all[: self._count]

    def attendance(self) -> Attendance:
        """Return who is there."""
        with self._changed:
            return Attendance(tuple(replica.present for replica in self.replicas), self._change_count)

    def present(self) -> list[Replica]:
        """Return those that may be given work; raises what kept one that came back from being made ready."""
        with self._changed:
            self._raise_fault()
            return [replica for replica in self.replicas if replica.present]

    def await_some(self) -> list[Replica]:
        """Return those that may be given work, once there is one; raises Unavailable NO_REPLICA_LEFT after a while."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._fault is not None or any(replica.present for replica in self.replicas),
                self._return_seconds,
            )
            if found := self.present():
                return found
            gone = "; ".join(one.absence() for one in self.replicas)
        raise Unavailable(
            f"no generation replica is left, and none came back within {self._return_seconds:g} s: {gone}",
            reason="NO_REPLICA_LEFT",
        )

    def lose(self, replica: Replica, error: PinetuneError) -> None:
        """Note that nobody answers there, and look after it; nothing where that is known."""
        with self._changed:
            if not replica.present:
                return
            replica.present = False
            replica.why, replica.lost_time = error.message[:WHY_CHARACTERS_MAX] or "no reason given", time.monotonic()
            self._change_count += 1
            left = self._present_count()
        self._tell(Lost(replica.name, replica.why, left))
        self._begin_to_look_after(replica)

    def give_up(self, replica: Replica, error: Exception) -> bool:
        """Use a replica no more for a fault that would come again; return False for one that cannot be done without."""
        with self._changed:
            if replica not in self._further:
                return False
            if replica not in self.replicas or replica in self._given_up:
                return True
            self._change_count += replica.present
            left = self._note_given_up(replica, error)
        self._tell_given_up(replica, error, left)
        return True

    def resize(self, count: int) -> None:
        """Use the first `count` replicas: look after those that are new, and use those that are too many no more.

        Those that were given up are tried again.

        Raises ValueError where there are not so many, or none.
        """
        if not 1 <= count <= len(self._all):
            raise ValueError(f"count must be from 1 to the {len(self._all)} replicas; it is {count}")
        with self._changed:
            again = [replica for replica in self._all[: min(self._count, count)] if replica in self._given_up]
            added, retired = [*again, *self._all[self._count : count]], self._all[count : self._count]
            self._count = count
            self._given_up.clear()
            for replica in retired:
                replica.present = False
                if replica in self._looks:
                    self._looks[replica].set()
            for replica in added:
                replica.why, replica.lost_time = "", time.monotonic()
            left = self._present_count()
        for replica in retired:
            self._tell(Retired(replica.name, left))
        for replica in added:
            self._begin_to_look_after(replica)

    def close(self) -> None:
        """Look after nothing any more."""
        with self._changed:
            self._closed = True
            for given_up in self._looks.values():
                given_up.set()

    def _begin_to_look_after(self, replica: Replica) -> None:
        given_up = threading.Event()
        with self._changed:
            if self._closed:
                return
            self._looks[replica] = given_up
        name = f"absent-{replica.name}"
        threading.Thread(target=self._look_after, args=(replica, given_up), name=name, daemon=True).start()

    def _look_after(self, replica: Replica, given_up: threading.Event) -> None:
        try:
            while not given_up.wait(PROBE_SECONDS):
                if self._arrived(replica, given_up):
                    return
        except Exception as error:
            with self._changed:
                if given_up.is_set():
                    return  # What nobody wants any more may fail as it likes.
                if replica not in self._further:
                    self._fault = error
                    self._changed.notify_all()
                    return
                left = self._note_given_up(replica, error)
            self._tell_given_up(replica, error, left)

    def _note_given_up(self, replica: Replica, error: Exception) -> int:
        replica.present, replica.lost_time = False, time.monotonic()
        replica.why = str(error)[:WHY_CHARACTERS_MAX] or type(error).__name__
        self._given_up.add(replica)
        return self._present_count()

    def _tell_given_up(self, replica: Replica, error: Exception, left: int) -> None:
        log.warning("%s cannot be used", replica.name, exc_info=error)
        self._tell(GivenUp(replica.name, replica.why, left))

    def _arrived(self, replica: Replica, given_up: threading.Event) -> bool:
        if not replica.client.is_serving():
            return False
        with self.arrivals:
            if given_up.is_set():
                return False
            try:
                self._ready(replica)
            except (Transient, TimedOut, Cancelled):
                return False  # It fell again.
            with self._changed:
                if given_up.is_set():
                    return False
                replica.present = True
                self._change_count += 1
                count = self._present_count()
                self._changed.notify_all()
        version = 0 if replica.policy is None else replica.policy.policy_version
        news = Back if replica.why else Joined
        self._tell(news(replica.name, time.monotonic() - replica.lost_time, version, count))
        return True

    def _present_count(self) -> int:
        return sum(replica.present for replica in self.replicas)

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault
