"""How long work has waited in the queue, as one process has seen it; what was paused and resumed begins anew."""

from collections.abc import Collection


class QueueAges:
    """Remembers when each queued work was first seen."""

    def __init__(self) -> None:
        self._since: dict[str, int] = {}

    def oldest_seconds(self, queued: Collection[str], *, moment: int) -> float:
        """Note what is queued at `moment`, in microseconds; return the longest wait so far, 0 where none waits."""
        self._since = {work_id: self._since.get(work_id, moment) for work_id in queued}
        return (moment - min(self._since.values(), default=moment)) / 1e6
