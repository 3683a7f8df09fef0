"""JSON as the standard has it: no NaN and no infinity, no key twice."""

import json
from typing import Any


def parse(text: str) -> Any:
    """Return the value of a JSON text; raises ValueError, or RecursionError where it is nested too deeply."""
    return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_twice)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return table
