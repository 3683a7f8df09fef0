"""Leaves a server alone that has failed several times in a row, so that grades fail at once instead of one by one late.

closed ── `failure_count` failures in a row ──► open ── `open_seconds` ──► half open: one question probes
   ▲                                             ▲                             │
   └───────────────── it was answered ───────────┼─────────────────────────────┤
                                                 └───────── it failed ─────────┘
"""

import threading
import time
from collections.abc import Callable


class Breaker:
    """The state of one server, as its failures show it."""

    def __init__(self, failure_count: int, open_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._failure_count = failure_count
        self._open_seconds = open_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_time: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """True while the server is left alone, or probed."""
        return self._opened_time is not None

    def admit(self) -> bool:
        """Say whether a question may be asked now; one that may must be noted when it has ended."""
        with self._lock:
            if self._opened_time is None:
                return True
            if self._probing or self._clock() - self._opened_time < self._open_seconds:
                return False
            self._probing = True
            return True

    def note(self, alive: bool | None) -> None:
        """Take in how an admitted question ended: answered in any way, failed, or None where it says nothing."""
        with self._lock:
            probed, self._probing = self._probing, False
            if alive is None:
                return
            if alive:
                self._failures, self._opened_time = 0, None
                return
            self._failures += 1
            if probed or (self._opened_time is None and self._failures >= self._failure_count):
                self._opened_time = self._clock()
