"""Leaves a model alone whose server failed several times in a row, so that grades fail at once, not one by one late.

closed ── `failure_count` failures in a row ──► open ── `open_seconds` ──► half open: one question probes
   ▲                                             ▲                             │
   └───────────────── it was answered ───────────┼─────────────────────────────┤
                                                 └───────── it failed ─────────┘
"""

import threading
import time
from collections.abc import Callable


class Breaker:
    """The state of one model; two models of one server have one each."""

    def __init__(self, failure_count: int, open_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._failure_count = failure_count
        self._open_seconds = open_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_time: float | None = None
        self._probing = False
        self._period = 1
        """Grows when it opens, probes and closes: what was asked in an earlier period says nothing about this one."""

    @property
    def is_open(self) -> bool:
        """True while the model is left alone, or probed."""
        return self._opened_time is not None

    def admit(self) -> int | None:
        """Return what to note the end of a question with that may be asked now, None where it may not."""
        with self._lock:
            if self._opened_time is None:
                return self._period
            if self._probing or self._clock() - self._opened_time < self._open_seconds:
                return None
            self._probing = True
            self._period += 1
            return self._period

    def note(self, admission: int, alive: bool | None) -> None:
        """Take in how an admitted question ended: answered in any way, failed, or None where it says nothing."""
        with self._lock:
            if admission != self._period:
                return
            probed, self._probing = self._probing, False
            if alive:
                self._failures = 0
                if probed:
                    self._turn(None)
            elif alive is not None:
                self._failures += 1
                if probed or self._failures >= self._failure_count:
                    self._turn(self._clock())

    def _turn(self, opened_time: float | None) -> None:
        self._opened_time = opened_time
        self._period += 1
