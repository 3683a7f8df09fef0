"""What a worker tells of its work in sentences: each event once, in order, though the jobs service is away meanwhile.

An event that does not get through waits, with the time at which it happened, and goes along with the next one, or with
the next commit or heartbeat that gets through. Events are numbered, so that the jobs service knows one again whose
answer was lost.
"""

import logging
import threading

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.client.worker import WorkerClient
from pinetune.jobs.moments import now, timestamp
from pinetune.pod.errors import TimedOut, Transient

log = logging.getLogger(__name__)

UNTOLD_MAX = 100
"""Events that wait; the oldest, which say how it began, are kept, and how many followed is told after them."""
AWAY = (Transient, TimedOut)
"""What a call ends with whose service is away, stops while it answers, or does not answer."""


class Story:
    """One worker's events."""

    def __init__(self, client: WorkerClient) -> None:
        self._client = client
        self._untold: list[wire.Event] = []
        self._left_out = 0
        self._told_count = 0
        self._telling = threading.Lock()

    def tell(self, level: wire.EventLevel, message: str) -> None:
        """Add an event; one that does not get through waits."""
        event = _event(level, message)
        with self._telling:
            if len(self._untold) == UNTOLD_MAX:
                self._send(patient=False)  # Where the service is back there is room again.
            if len(self._untold) == UNTOLD_MAX:
                self._left_out += 1
                return
            self._untold.append(event)
            self._send(patient=False)

    def catch_up(self, *, patient: bool = False) -> None:
        """Tell what waits; `patient` waits for a service that is away."""
        with self._telling:
            self._send(patient=patient)

    def catch_up_unless_busy(self) -> None:
        """Tell what waits, unless another thread is at it: a heartbeat has no time for that."""
        if self._telling.acquire(blocking=False):
            try:
                self._send(patient=False)
            finally:
                self._telling.release()

    def _send(self, *, patient: bool) -> None:
        try:
            while self._untold or self._left_out:
                if not self._untold:
                    self._untold.append(_event(wire.EVENT_LEVEL_WARN, _left_out_sentence(self._left_out)))
                    self._left_out = 0
                self._client.append_events(tuple(self._untold), first_number=self._told_count + 1, patient=patient)
                self._told_count += len(self._untold)
                self._untold.clear()
        except AWAY as error:
            log.warning("%d events wait until the jobs service is back: %s", len(self._untold) + self._left_out, error)


def _event(level: wire.EventLevel, message: str) -> wire.Event:
    return wire.Event(level=level, type=wire.EVENT_TYPE_MESSAGE, message=message, create_time=timestamp(now()))


def _left_out_sentence(count: int) -> str:
    return (
        f"events that followed while the jobs service was away are left out here, {count} in all; "
        "the worker's log has them"
    )
