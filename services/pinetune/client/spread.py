"""Deals the prompts of a step out over replicas, by load, until each has its completions once.

Prompts are cut into units, large ones first: an engine is quickest with many rows at once, and small units at the end
let all replicas end together. Each replica pulls the next one as soon as it has ended one. A unit goes back to the
others when its replica is lost, in small units then, or busy, and is sent a second time when it takes far longer than
the others did; the first answer wins and the other call is cancelled. So nothing enters a step twice, whoever answers
late. A unit that is lost again and again ends the step: its prompts may be what kills the samplers. Its last try is at
a sampler that has nothing else, so that no other unit is blamed.

Draws derive from seed, prompt id and sample index: which replica answers changes float noise and nothing else. Units
are cut for the replicas that are there when the step begins. With one nothing is cut beyond what a call may hold: small
calls would only be slower, and the batch of a call decides last bits, so the same step is always the same calls.
"""

import queue
import statistics
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pinetune.client.calls import busy_pause
from pinetune.client.generation import GENERATE_DEADLINE_SECONDS, GenerateCall, in_calls, prompts_per_call
from pinetune.client.prompts import Prompt, Sampling
from pinetune.client.replica_news import Moved, Tell
from pinetune.client.replica_set import WHY_CHARACTERS_MAX, Replica, ReplicaSet
from pinetune.client.rollout import Completion
from pinetune.pod.errors import Broken, Busy, Cancelled, Conflict, PinetuneError, TimedOut, Unavailable

SMALLEST_PER_SHARE = 4
"""How often the smallest unit goes into a replica's fair share: at the end of a step nobody waits for more."""
CALLS_PER_REPLICA = 2
"""Calls open at one replica: one is sampled, the next is there when it ends."""
SLOW_FACTOR = 3.0
"""A unit is slow once it has taken this many times the median of those that have ended …"""
SLOW_SECONDS_MIN = 5.0
"""… and at least so long; sampling twice costs more than waiting a moment."""
SLOW_UNITS_MIN = 2
"""… once so many have ended, so that there is a pace to speak of."""
LOSSES_MAX = 3
"""Samplers that may be lost over one unit."""
IDS_SHOWN = 16
"""Prompts that are named in an error."""
LOOK_SECONDS = 0.25
"""How often is looked for replicas that are back and for units that are slow."""


@dataclass(eq=False)
class _Unit:
    """A few prompts that are sampled in one call."""

    prompts: Sequence[Prompt]
    """The prompts."""
    flights: "list[_Flight]" = field(default_factory=list)
    """The calls under way for it; two where one is slow."""
    groups: list[list[Completion]] | None = None
    """The answer that came first."""
    told: set[tuple[str, str]] = field(default_factory=set)
    """Of which replica and for what reason it was told that they move: one without room may say so for minutes."""
    losses: list[str] = field(default_factory=list)
    """Which replicas were lost that were sampling them, and why."""

    @property
    def is_last_try(self) -> bool:
        """Whether it is only tried alone any more: the next loss then ends the step. It waits for an idle replica."""
        return len(self.losses) >= LOSSES_MAX - 1


@dataclass(eq=False)
class _Flight:
    """A unit's call at a replica."""

    unit: _Unit
    replica: Replica
    call: GenerateCall
    sent_time: float
    alone: bool
    """Whether the replica had nothing else when it began, and gets nothing else until it ends."""


class Spread:
    """One batch of prompts on its way over the replicas; the deadline of the whole is kept here."""

    def __init__(
        self,
        members: ReplicaSet,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        *,
        min_policy_version: int,
        held: int,
        tell: Tell,
        deadline_seconds: float | None = None,
    ) -> None:
        """`held` is the policy version that the replicas were given last."""
        self._members, self._sampling, self._tell = members, sampling, tell
        self._min_policy_version, self._held = min_policy_version, held
        # Not for those that are wanted: one may stay away for hours, and whoever is there would sample small calls.
        present_count, size = len(members.present()), prompts_per_call(sampling)
        # As many full calls as one replica would need, each with the time that a call has.
        self._deadline_seconds = deadline_seconds or GENERATE_DEADLINE_SECONDS * max(1, -(-len(prompts) // size))
        self._give_up = time.monotonic() + self._deadline_seconds
        self._calls_per_replica, self._smallest = 1, size
        if present_count > 1:
            self._calls_per_replica = CALLS_PER_REPLICA
            self._smallest = min(size, -(-len(prompts) // (present_count * SMALLEST_PER_SHARE)))
        self._units = [_Unit(part) for part in _cut(prompts, present_count, self._smallest, size)]
        self._waiting = deque(self._units)
        self._flights: list[_Flight] = []
        self._ended: queue.SimpleQueue[_Flight] = queue.SimpleQueue()
        self._paces: list[tuple[int, float]] = []
        """Of the units that have ended, how many prompts they had and how many seconds they took."""
        self._paused_until: dict[Replica, float] = {}

    def run(self) -> list[list[Completion]]:
        """Return the completions of each prompt, in the order of the prompts."""
        try:
            while any(unit.groups is None for unit in self._units):
                self._refuse_lateness()
                self._send()
                if not self._flights and not self._members.present():
                    self._members.await_some()
                    continue
                self._take_ended()
        finally:
            for flight in self._flights:
                flight.call.cancel()
        return [group for unit in self._units for group in unit.groups or ()]

    def _send(self) -> None:
        """Give every replica that has room its next unit."""
        now = time.monotonic()
        open_calls = Counter(flight.replica for flight in self._flights)
        alone = {flight.replica for flight in self._flights if flight.alone}
        replicas = [one for one in self._members.present() if self._paused_until.get(one, 0.0) <= now]
        # One call each before anybody gets a second: the last units go to whoever has least to do.
        for depth in range(self._calls_per_replica):
            for replica in replicas:
                if replica in alone or open_calls[replica] != depth:
                    continue
                if (unit := self._next_unit(replica, idle=depth == 0)) is None:
                    continue
                if unit.losses and not self._still_serves(replica, unit):
                    return
                if unit.is_last_try:
                    alone.add(replica)
                for slow in unit.flights:
                    self._tell(Moved(slow.replica.name, _ids(unit), "slow"))
                self._begin(unit, replica)
                open_calls[replica] += 1

    def _still_serves(self, replica: Replica, unit: _Unit) -> bool:
        """Return whether a replica is there now; else it is lost, and not over the unit, which waits on."""
        if replica.client.is_serving():
            return True
        self._members.lose(replica, Unavailable("it does not say that it serves", reason="NOT_SERVING"))
        if not unit.flights:
            self._waiting.appendleft(unit)
        return False

    def _next_unit(self, replica: Replica, *, idle: bool) -> _Unit | None:
        """Return what a replica is to sample next: what waits, or is slow elsewhere; None where there is nothing."""
        for unit in self._waiting:
            if idle or not unit.is_last_try:
                self._waiting.remove(unit)
                return unit
        slow = self._slow_flight(replica) if idle else None
        return None if slow is None else slow.unit

    def _slow_flight(self, replica: Replica) -> _Flight | None:
        """Return the call at another replica that has taken longest, where that is too long; None where all is well."""
        if len(self._paces) < SLOW_UNITS_MIN:
            return None
        now = time.monotonic()
        slow = [
            flight
            for flight in self._flights
            if flight.replica is not replica
            and len(flight.unit.flights) == 1
            and now - flight.sent_time > max(SLOW_SECONDS_MIN, SLOW_FACTOR * self._expected_seconds(flight.unit))
        ]
        return min(slow, key=lambda flight: flight.sent_time, default=None)

    def _expected_seconds(self, unit: _Unit) -> float:
        """Return how long a unit should take: a larger one longer than those before, a smaller one as long at most."""
        size = len(unit.prompts)
        return statistics.median(seconds * max(1.0, size / count) for count, seconds in self._paces)

    def _begin(self, unit: _Unit, replica: Replica) -> None:
        now = time.monotonic()
        begun = replica.client.begin(
            unit.prompts,
            self._sampling,
            min_policy_version=self._min_policy_version,
            deadline_seconds=max(self._give_up - now, 0.0),
        )
        flight = _Flight(unit, replica, begun, now, alone=unit.is_last_try)
        unit.flights.append(flight)
        self._flights.append(flight)
        begun.when_ended(lambda: self._ended.put(flight))

    def _take_ended(self) -> None:
        """Take up a call that has ended; wait a moment for one."""
        try:
            flight = self._ended.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            return
        self._flights.remove(flight)
        flight.unit.flights.remove(flight)
        if flight.unit.groups is not None:
            return  # The other call of the unit was first.
        try:
            flight.unit.groups = flight.call.groups(flight.replica.name)
        except Busy as error:
            self._paused_until[flight.replica] = time.monotonic() + busy_pause(error)
            self._put_back(flight, "busy")
        except (Unavailable, Cancelled) as error:
            # Nobody here has cancelled it: a pod that stops cuts off what outlives its grace.
            self._members.lose(flight.replica, error)
            self._count_loss(flight, error)
            self._put_back(flight, "lost")
        except Conflict as error:
            if error.reason != "POLICY_TOO_OLD" or self._held < self._min_policy_version:
                raise
            # It was started anew between two calls, and holds what it was started with.
            self._members.lose(flight.replica, Unavailable(error.message, reason="REPLICA_RESTARTED"))
            self._put_back(flight, "lost")
        except TimedOut as error:
            raise self._too_late() from error
        else:
            now = time.monotonic()
            self._paces.append((len(flight.unit.prompts), now - flight.sent_time))
            for other in flight.unit.flights:
                other.call.cancel()
                if other.sent_time < flight.sent_time:
                    # It was overtaken, and would hold up the next unit as long.
                    self._paused_until[other.replica] = now + (now - other.sent_time)

    def _count_loss(self, flight: _Flight, error: PinetuneError) -> None:
        if isinstance(error, Cancelled) or error.reason == "POD_STOPPING":
            return  # It was told to stop, for whatever reason.
        unit = flight.unit
        unit.losses.append(f"{flight.replica.name} ({error.message[:WHY_CHARACTERS_MAX]})")
        if len(unit.losses) < LOSSES_MAX or unit.flights or not flight.alone:
            return
        ids = _ids(unit)
        more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
        prompt_ids = ", ".join(ids[:IDS_SHOWN]) + more
        raise Broken(
            f"{len(unit.losses)} times a sampler was lost while it had these prompts, {', then '.join(unit.losses)}; "
            f"see the samplers' logs, and whether these prompts are too much for them: {prompt_ids}",
            reason="SAMPLERS_LOST_AGAIN",
            prompt_ids=prompt_ids,
        )

    def _put_back(self, flight: _Flight, reason: str) -> None:
        if flight.unit.flights:
            return  # Its other call goes on.
        news = (flight.replica.name, reason)
        if news not in flight.unit.told or reason != "busy":
            self._tell(Moved(flight.replica.name, _ids(flight.unit), reason))
        flight.unit.told.add(news)
        parts = [flight.unit]
        if reason == "lost":
            # Most of the step is done by then: all are to take part in what one had.
            parts = [
                _Unit(part, told=set(flight.unit.told), losses=list(flight.unit.losses))
                for part in in_calls(flight.unit.prompts, self._smallest)
            ]
            place = self._units.index(flight.unit)
            self._units[place : place + 1] = parts
        self._waiting.extendleft(reversed(parts))

    def _refuse_lateness(self) -> None:
        if time.monotonic() >= self._give_up:
            raise self._too_late()

    def _too_late(self) -> TimedOut:
        missing = sum(len(unit.prompts) for unit in self._units if unit.groups is None)
        now = time.monotonic()
        held = ", ".join(
            f"{flight.replica.name} has {len(flight.unit.prompts)} for {now - flight.sent_time:.0f} s"
            for flight in self._flights
        )
        absent = ", ".join(one.absence() for one in self._members.replicas if not one.present)
        return TimedOut(
            f"completions of {missing} prompts are missing after {self._deadline_seconds:g} s: "
            f"{'; '.join(part for part in (held, absent) if part) or 'no replica took them'}",
            reason="SAMPLING_TOO_SLOW",
            missing=missing,
        )


def _cut(prompts: Sequence[Prompt], replica_count: int, smallest: int, largest: int) -> Iterator[Sequence[Prompt]]:
    """Cut prompts into units: again and again half of what is left, one unit for each replica.

    The sizes are those of factoring (S. F. Hummel, E. Schonberg, L. E. Flynn: Factoring: a method for scheduling
    parallel loops. CACM 35(8), 1992), with a smallest one. With one replica they are whole calls.
    """
    if replica_count < 2:
        yield from in_calls(prompts, largest)
        return
    while prompts:
        size = min(largest, max(smallest, -(-len(prompts) // (2 * replica_count))))
        yield from in_calls(prompts[: size * replica_count], size)
        prompts = prompts[size * replica_count :]


def _ids(unit: _Unit) -> tuple[str, ...]:
    return tuple(prompt.prompt_id for prompt in unit.prompts)
