"""What became of the completions that callers asked for, and how long they waited for the first token."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pinetune.generation import metrics
from pinetune.pod.errors import Busy, Cancelled


@contextmanager
def failures_counted(completion_count: int) -> Iterator[None]:
    """Count completions that the block was to make, where it raises: as cancelled, refused or failed."""
    try:
        yield
    except (Cancelled, GeneratorExit):  # The second is how a stream learns that its reader has left.
        metrics.COMPLETIONS.labels("cancelled").inc(completion_count)
        raise
    except Busy:
        metrics.COMPLETIONS.labels("refused").inc(completion_count)
        raise
    except Exception:
        metrics.COMPLETIONS.labels("failed").inc(completion_count)
        raise


def first_token_timer() -> Callable[[], None]:
    """Return what is to be called at a call's tokens: it notes the time from now to the first of them, once."""
    began, noted = time.monotonic(), False

    def note() -> None:
        nonlocal noted
        if not noted:
            noted = True
            metrics.FIRST_TOKEN_TIME.observe(time.monotonic() - began)

    return note
