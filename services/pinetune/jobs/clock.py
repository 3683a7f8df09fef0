"""Where a step's time goes."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Adds up the seconds of each part of a step; `lap` gives them and begins anew."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._began = time.monotonic()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the block's time as `name`."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds[name] += time.monotonic() - began

    def lap(self) -> dict[str, float]:
        """Return the seconds of each part since the last lap, and of the whole as `total`."""
        now = time.monotonic()
        lap = {**self._seconds, "total": now - self._began}
        self._seconds.clear()
        self._began = now
        return lap
