"""The processes of Python graders: so many in all, each for one source, lent to one thread at a time."""

import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

from pinetune.grading import metrics
from pinetune.grading.config import GradingSettings
from pinetune.grading.sandbox.process import NEVER, Sandbox

LOOK_SECONDS = 0.2
"""How often who waits for a process looks whether its caller still waits."""


class ClosedError(Exception):
    """The pool lends no more."""


class NoneFreeError(Exception):
    """No process was free before the deadline, or before the caller gave up."""


class SandboxPool:
    """Lends processes, starts what is missing, and ends what was used least recently to make room."""

    def __init__(self, settings: GradingSettings, process_count: int) -> None:
        self._settings = settings
        self._process_count = process_count
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._idle: list[Sandbox] = []
        self._lent: set[Sandbox] = set()
        self._starting = 0
        self._closed = False
        # One thread that lives as long as the pool, for the kernel ties a process to the thread that started it.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-starter")

    @property
    def contended(self) -> bool:
        """Whether somebody waits for a process."""
        return bool(self._waiting)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def lend(self, source: bytes, deadline: float, cancelled: threading.Event = NEVER) -> Sandbox:
        """Return a process for this source, in the order in which they were asked for.

        Raises NoneFreeError, ClosedError, and what the start of a process raises.
        """
        outdated: Sandbox | None = None
        with self._changed:
            self._wait_for_turn(deadline, cancelled)
            for sandbox in reversed(self._idle):
                if sandbox.source == source:
                    self._idle.remove(sandbox)
                    self._lent.add(sandbox)
                    return sandbox
            if self._count() >= self._process_count:
                outdated = self._idle.pop(0)
            self._starting += 1
        started: Sandbox | None = None
        try:
            if outdated is not None:
                outdated.close()
            until = min(deadline, time.monotonic() + self._settings.python_start_timeout_seconds)
            started = Sandbox(source, self._settings, self._starter, until)
        finally:
            with self._changed:
                self._starting -= 1
                if started is not None:
                    self._lent.add(started)
                    if self._closed:
                        started.kill()
                self._changed.notify_all()
        return started

    def give_back(self, sandbox: Sandbox) -> None:
        """Take a process back, dead or alive."""
        with self._changed:
            self._lent.discard(sandbox)
            keep = sandbox.alive and not self._closed
            if keep:
                self._idle.append(sandbox)
            self._changed.notify_all()
        if not keep:
            sandbox.close()

    def close(self) -> None:
        """End every process; those that are lent, too."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            for sandbox in self._lent:
                sandbox.kill()
            self._changed.notify_all()
        for sandbox in idle:
            sandbox.close()
        with self._changed:
            self._changed.wait_for(lambda: not self._lent and not self._starting)
        self._starter.shutdown()

    def _wait_for_turn(self, deadline: float, cancelled: threading.Event) -> None:
        """Wait until this thread is the first in the line and there is a process or room for one."""
        ticket = object()
        self._waiting.append(ticket)
        try:
            if not self._is_turn_of(ticket):
                with metrics.SANDBOX_WAITING.track_inprogress():
                    while not (self._is_turn_of(ticket) or cancelled.is_set() or time.monotonic() >= deadline):
                        self._changed.wait(min(LOOK_SECONDS, deadline - time.monotonic()))
            if self._closed:
                raise ClosedError("the service shuts down")
            if not self._is_turn_of(ticket):
                raise NoneFreeError("no process for Python graders was free in time")
        finally:
            self._waiting.remove(ticket)
            self._changed.notify_all()

    def _is_turn_of(self, ticket: object) -> bool:
        return self._closed or (
            self._waiting[0] is ticket and (bool(self._idle) or self._count() < self._process_count)
        )

    def _count(self) -> int:
        return len(self._idle) + len(self._lent) + self._starting
