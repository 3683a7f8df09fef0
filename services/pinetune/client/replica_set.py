"""Which replicas of a service may be given work: those that were lost are looked after until they are back.

A replica is lost when a call of it ends with nobody there. From then on a thread asks for its health; once it serves,
it is made ready (`Ready`: load the policy, attest it) and only then counts as present again. What cannot be made ready
for a fault that would come again is raised at whoever uses the set next.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pinetune.client.generation import GenerationClient, PolicyState
from pinetune.pod.errors import PinetuneError, TimedOut, Transient, Unavailable

PROBE_SECONDS = 0.5
"""Pause between two looks at a lost replica."""
WHY_CHARACTERS_MAX = 300


@dataclass(frozen=True)
class Lost:
    """A replica is gone."""

    replica: str
    """Its name."""
    why: str
    """What its last call ended with."""
    present_count: int
    """How many are left."""


@dataclass(frozen=True)
class Back:
    """A lost replica is back, holds the current policy and may be given work."""

    replica: str
    """Its name."""
    away_seconds: float
    """How long it was gone."""
    policy_version: int
    """What it holds."""
    present_count: int
    """How many there are now."""


@dataclass(frozen=True)
class Moved:
    """Prompts that a replica did not answer were put back, to be sampled wherever there is room first."""

    replica: str
    """Which replica had them."""
    prompt_ids: tuple[str, ...]
    """Which they are."""
    reason: str
    """`lost`, `busy` or `slow`; a slow one may still answer first."""


News = Lost | Back | Moved
Tell = Callable[[News], None]


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
        """Why it was lost last."""
        self.lost_time = 0.0
        """When, by the monotonic clock."""
        self.policy: PolicyState | None = None
        """What it said it holds when a policy was loaded into it last."""


class ReplicaSet:
    """The replicas of one job."""

    def __init__(
        self, replicas: Sequence[Replica], *, ready: Callable[[Replica], None], tell: Tell, return_seconds: float
    ) -> None:
        if not replicas:
            raise ValueError("at least one replica")
        self.replicas = tuple(replicas)
        """All of them, lost ones included."""
        self.arrivals = threading.Lock()
        """Held while one that came back is made ready; who holds it sees nobody come back meanwhile."""
        self._ready = ready
        self._tell = tell
        self._return_seconds = return_seconds
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._fault: Exception | None = None

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
            gone = "; ".join(f"{one.name}, lost {_ago(one.lost_time)}: {one.why}" for one in self.replicas)
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
            replica.why, replica.lost_time = error.message[:WHY_CHARACTERS_MAX], time.monotonic()
            left = sum(one.present for one in self.replicas)
        self._tell(Lost(replica.name, replica.why, left))
        threading.Thread(target=self._look_after, args=(replica,), name=f"lost-{replica.name}", daemon=True).start()

    def close(self) -> None:
        """Look after nothing any more."""
        self._closing.set()

    def _look_after(self, replica: Replica) -> None:
        try:
            while not self._closing.wait(PROBE_SECONDS):
                if self._returned(replica):
                    return
        except Exception as error:
            with self._changed:
                self._fault = error
                self._changed.notify_all()

    def _returned(self, replica: Replica) -> bool:
        if not replica.client.is_serving():
            return False
        with self.arrivals:
            try:
                self._ready(replica)
            except (Transient, TimedOut):
                return False  # It fell again.
            with self._changed:
                replica.present = True
                count = sum(one.present for one in self.replicas)
                self._changed.notify_all()
        version = 0 if replica.policy is None else replica.policy.policy_version
        self._tell(Back(replica.name, time.monotonic() - replica.lost_time, version, count))
        return True

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault


def _ago(moment: float) -> str:
    return f"{time.monotonic() - moment:.0f} s ago"
