"""JSON as the standard has it and a message can carry it: no NaN, no key twice, no half a character, no `1e400`."""

import json
import math
from collections.abc import Iterator
from typing import Any

LITERAL_CHARACTERS = 40


class UnfitError(ValueError):
    """A value that is JSON and that no message can carry; the message begins with its path."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}" if path else detail)
        self.path = path
        self.detail = detail


class Beyond(float):
    """A number above every double, with the text that it was written as."""

    literal: str


def parse(text: str) -> Any:
    """Return the value of a JSON text; raises ValueError, or RecursionError where it is nested too deeply.

    The ValueError is an UnfitError where the text is JSON and a value in it is more than a message can carry.
    """
    numbers: list[Beyond] = []

    def number(literal: str) -> float:
        value = number_of(literal)
        if isinstance(value, Beyond):
            numbers.append(value)
        return value

    value = json.loads(text, parse_constant=_refuse_constant, parse_float=number, object_pairs_hook=_refuse_twice)
    # Only a text that may hold what does not fit is walked through.
    if numbers or "\\ud" in text or "\\uD" in text or _is_halved(text):
        refuse_unfit(value)
    return value


def number_of(literal: str) -> float:
    """Return the number that a literal stands for, a `Beyond` where it is above every double."""
    value = float(literal)
    if math.isfinite(value):
        return value
    beyond = Beyond(value)
    beyond.literal = literal
    return beyond


def refuse_unfit(value: object) -> None:
    """Raise UnfitError, with the path of the first, where a value below `value` fits into no message."""
    for path, detail in _unfit(value, ""):
        raise UnfitError(path, detail)


def _unfit(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, each in value.items():
            # The key itself may be what no text can carry, and has to be shown all the same.
            shown = key.encode("utf-8", "backslashreplace").decode("utf-8")
            inside = f"{path}.{shown}" if path else shown
            if _is_halved(key):
                yield inside, "the key has half a character, which no text can carry"
            yield from _unfit(each, inside)
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from _unfit(each, f"{path}[{place}]")
    elif isinstance(value, str):
        if _is_halved(value):
            yield path, "has half a character, which no text can carry"
    elif isinstance(value, Beyond):
        literal = value.literal
        shown = literal if len(literal) <= LITERAL_CHARACTERS else f"{literal[: LITERAL_CHARACTERS - 1]}…"
        yield path, f"{shown} is beyond what a number may be (about 1.8e308)"


def _is_halved(text: str) -> bool:
    if text.isascii():
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return table
