"""How many generation replicas each running job wants, from its worker's heartbeats to the scheduler.

In memory only: every heartbeat says it again, and it means nothing to another attempt, which starts as ordered.
"""

import threading
from collections.abc import Collection


class WantedReplicas:
    """Written by the workers' door, read by the scheduler's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: dict[str, tuple[int, float, int]] = {}
        """Attempt, when it said so, and count, by work."""

    def note(self, work_id: str, attempt: int, count: int, *, moment: float) -> bool:
        """Keep what an attempt wants, unless its heartbeat was overtaken by a later one; returns whether that is news.

        `moment` is when the heartbeat came, by the monotonic clock.
        """
        with self._lock:
            said_by, said_when, known = self._wanted.get(work_id, (0, 0.0, 0))
            if (attempt, moment) < (said_by, said_when):
                return False
            self._wanted[work_id] = attempt, moment, count
        return (attempt, count) != (said_by, known)

    def of(self, work_id: str, attempt: int) -> int:
        """Return what an attempt wants; 0 where it has not said so."""
        with self._lock:
            said_by, _, count = self._wanted.get(work_id, (0, 0.0, 0))
        return count if said_by == attempt else 0

    def forget_all_but(self, work_ids: Collection[str]) -> None:
        """Forget work that runs no more."""
        with self._lock:
            self._wanted = {work_id: said for work_id, said in self._wanted.items() if work_id in work_ids}
