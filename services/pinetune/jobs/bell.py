"""Wakes threads that wait for news: watchers of a job, the scheduler. It carries no news itself; look in the store."""

import threading


class Bell:
    """Rung after a commit. Take `count` before looking at the store, then wait for a higher one: no ring is lost."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """How often it was rung."""
        return self._count

    def ring(self) -> None:
        """Wake all who wait."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wait(self, since: int, *, timeout_seconds: float) -> bool:
        """Return True once it was rung more often than `since` times, False after the time is over."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count > since, timeout_seconds)
