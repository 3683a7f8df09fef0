"""How many generation replicas each running job wants, from its worker's heartbeats to the scheduler.

In memory only: every heartbeat says it again, and it means nothing to another attempt, which starts as ordered.
"""

import threading
from collections.abc import Collection


class WantedReplicas:
    """Written by the workers' door, read by the scheduler's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: dict[str, tuple[int, int]] = {}
        """Attempt and count, by work."""

    def note(self, work_id: str, attempt: int, count: int) -> bool:
        """Keep what an attempt wants; returns whether that is news."""
        with self._lock:
            known = self._wanted.get(work_id)
            self._wanted[work_id] = attempt, count
        return known != (attempt, count)

    def of(self, work_id: str, attempt: int) -> int:
        """Return what an attempt wants; 0 where it has not said so."""
        with self._lock:
            said_by, count = self._wanted.get(work_id, (0, 0))
        return count if said_by == attempt else 0

    def forget_all_but(self, work_ids: Collection[str]) -> None:
        """Forget work that runs no more."""
        with self._lock:
            self._wanted = {work_id: said for work_id, said in self._wanted.items() if work_id in work_ids}
