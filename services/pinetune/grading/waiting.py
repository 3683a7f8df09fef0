"""Waiting for an answer no longer than its caller does."""

import threading
import time
from concurrent.futures import Future, wait
from typing import Any

LOOK_SECONDS = 0.1
"""How soon it is seen that nobody waits any more: a future and an event cannot be waited for at once."""


def wait_for(future: "Future[Any]", deadline: float, cancelled: threading.Event) -> bool:
    """Wait until a future is done, `deadline` is over (on the clock of `time.monotonic`) or `cancelled` is set.

    Return whether it is done.
    """
    while not future.done() and not cancelled.is_set() and (left_seconds := deadline - time.monotonic()) > 0:
        wait([future], timeout=min(left_seconds, LOOK_SECONDS))
    return future.done()
