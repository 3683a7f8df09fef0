"""Pages of lists (AIP-158): how many rows a request gets, and where the next page begins."""

import base64
import binascii
from collections.abc import Sequence
from typing import TypeVar

from pinetune.pod.errors import InvalidInput

PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX = 20, 1000
NUMBER_MAX = 2**63 - 1
"""The largest number of a row; a token with a larger one is no token of ours, and no database could look it up."""

T = TypeVar("T")


def page_size(asked: int) -> int:
    """Return how many rows to give; raises InvalidInput for a negative number."""
    if asked < 0:
        raise InvalidInput(
            f"page_size must be at least 0; it is {asked}", reason="INVALID_PAGE_SIZE", field="page_size"
        )
    return min(asked or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)


def token_of(position: Sequence[int], *, scope: str) -> str:
    """Return an opaque token for a position in the list called `scope`."""
    text = ":".join([scope, *map(str, position)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def position_of(token: str, *, scope: str, field: str = "page_token", length: int = 1) -> tuple[int, ...] | None:
    """Return the position that a token was made for, None for an empty one; raises InvalidInput for any other text."""
    if not token:
        return None
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        found, *parts = text.rsplit(":", length)
        position = tuple(int(part) for part in parts)
    except (binascii.Error, ValueError):
        found, position = "", ()
    if found != scope or len(position) != length or not all(0 <= part <= NUMBER_MAX for part in position):
        raise InvalidInput(
            f"{field} is not one that this list gave; begin without one", reason="INVALID_TOKEN", field=field
        )
    return position


def cut(rows: Sequence[T], size: int) -> tuple[Sequence[T], T | None]:
    """Split `size` + 1 rows into the page and, where there is more, its last row; ask the store for one row more."""
    return (rows[:size], rows[size - 1]) if len(rows) > size else (rows, None)
