"""How many grading services a batch has passed through, so that `remote` graders that name each other end.

The count travels as call metadata. A service takes it up with `enter`; its remote asker sends one more, and at HOPS_MAX
it sends nothing: the grades say that they go in a circle.
"""

import contextvars
from collections.abc import Iterable

HOPS_KEY = "x-pinetune-grading-hops"
HOPS_MAX = 4

_current: contextvars.ContextVar[int] = contextvars.ContextVar("pinetune_grading_hops", default=0)


def enter(metadata: Iterable[tuple[str, str | bytes]]) -> None:
    """Take up the count of a call; what is no count is one too many, as nobody else would end the circle."""
    value = dict(metadata).get(HOPS_KEY, "0")
    text = value if isinstance(value, str) else ""
    _current.set(int(text) if text.isascii() and text.isdigit() and len(text) < 4 else HOPS_MAX)


def current() -> int:
    """Return how many services the batch has passed through before this one."""
    return _current.get()


def shown() -> tuple[str, str]:
    """Return the metadata entry for the next service."""
    return HOPS_KEY, str(_current.get() + 1)
