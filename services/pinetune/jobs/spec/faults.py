"""Faults of an order as sentences: the path of the field, the limit, the value given, and what to do next."""

import difflib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from pinetune.pod.errors import InvalidInput

CROSS_FIELD = "cross_field"
VALUE_CHARACTERS_MAX = 60
# A status travels in trailers; what does not fit there is counted instead of listed.
MESSAGE_CHARACTERS_MAX = 1300


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong."""

    path: str
    """The field, e.g. `pinetune.sampling.temperature`; empty for the order as a whole."""
    sentence: str
    """What is wrong with it, without the path."""

    def __str__(self) -> str:
        return f"{self.path} {self.sentence}".strip()


def faults_error(faults: Sequence[Fault]) -> PydanticCustomError:
    """Return what a validator raises for faults that concern several fields."""
    return PydanticCustomError(CROSS_FIELD, "the order contradicts itself", {"faults": tuple(faults)})


def refusal(faults: Sequence[Fault], *, reason: str = "INVALID_SPEC") -> InvalidInput:
    """Return one error for all faults, a line each; its metadata name the first one's field."""
    lines: list[str] = []
    for fault in faults:
        if sum(map(len, lines)) + len(str(fault)) > MESSAGE_CHARACTERS_MAX and lines:
            lines.append(f"and {len(faults) - len(lines)} more faults")
            break
        lines.append(str(fault))
    return InvalidInput("\n".join(lines), reason=reason, field=faults[0].path)


def faults_of(error: ValidationError, root: type[BaseModel]) -> Iterator[Fault]:
    """Yield the faults that pydantic found in a `root`, in the order of the fields."""
    for detail in error.errors(include_url=False):
        if detail["type"] == CROSS_FIELD:
            yield from detail["ctx"]["faults"]
        else:
            yield Fault(_path(detail["loc"]), _sentence(detail, root))


def shown(value: object) -> str:
    """Return the value as JSON, cut to a readable length."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= VALUE_CHARACTERS_MAX else f"{text[:VALUE_CHARACTERS_MAX]}…"


def _path(location: Sequence[int | str]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _sentence(detail: ErrorDetails, root: type[BaseModel]) -> str:
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "extra_forbidden":
        return f"is not known{_hint(detail['loc'], root)}"
    if kind == "missing":
        return "is required"
    if write := SENTENCES.get(kind):
        return write(context, value)
    return f"is wrong: {detail['msg'].removeprefix('Value error, ')}; it is {shown(value)}"


def _must(limit: str) -> Callable[[dict[str, Any], object], str]:
    def write(context: dict[str, Any], value: object) -> str:
        limits = {name: f"{bound:.15g}" if isinstance(bound, float) else bound for name, bound in context.items()}
        return f"must be {limit.format(**limits)}; it is {shown(value)}"

    return write


def _number(context: dict[str, Any], value: object) -> str:
    # YAML 1.1 reads 1e-5 as a text, since it lacks the dot.
    hint = "; YAML needs the dot: 1.0e-5" if isinstance(value, str) and "e" in value.lower() else ""
    return f"must be a number; it is {shown(value)}{hint}"


def _length(word: str, limit: str, unit: str) -> Callable[[dict[str, Any], object], str]:
    def write(context: dict[str, Any], value: object) -> str:
        length = len(value) if isinstance(value, (str, list, tuple, dict)) else context.get("actual_length")
        return f"must have at {word} {context[limit]} {unit}; it has {length}"

    return write


SENTENCES: dict[str, Callable[[dict[str, Any], object], str]] = {
    "greater_than": _must("above {gt}"),
    "greater_than_equal": _must("at least {ge}"),
    "less_than": _must("below {lt}"),
    "less_than_equal": _must("at most {le}"),
    "finite_number": _must("a finite number"),
    "int_type": _must("a whole number"),
    "int_from_float": _must("a whole number"),
    "float_type": _number,
    "bool_type": _must("true or false"),
    "string_type": _must("a text"),
    "literal_error": _must("one of {expected}"),
    "model_type": _must("a table (a JSON object)"),
    "dict_type": _must("a table (a JSON object)"),
    "list_type": _must("a list"),
    "tuple_type": _must("a list"),
    "string_pattern_mismatch": _must("free of spaces, colons and slashes"),
    "string_too_short": _length("least", "min_length", "characters"),
    "string_too_long": _length("most", "max_length", "characters"),
    "too_short": _length("least", "min_length", "entries"),
    "too_long": _length("most", "max_length", "entries"),
}
"""What is said of each kind of fault that pydantic finds."""


def _hint(location: Sequence[int | str], root: type[BaseModel]) -> str:
    """Return where the unknown key was probably meant to go: a near name in its table, or its own name elsewhere."""
    *folders, name = (str(part) for part in location)
    table: type[BaseModel] | None = root
    for folder in folders:
        table = _table_of(table, folder) if table is not None else None
    siblings = list(table.model_fields) if table is not None else []
    if near := difflib.get_close_matches(name, siblings, n=1):
        return f"; did you mean {'.'.join([*folders, near[0]])}?"
    names = {path.split(".")[-1] for path in _paths(root)}
    elsewhere = difflib.get_close_matches(name, sorted(names), n=1)
    if places := [path for path in _paths(root) if path.split(".")[-1] in elsewhere]:
        return f"; did you mean {' or '.join(places[:3])}?"
    return f"; known are {', '.join(sorted(siblings))}" if siblings else ""


def _paths(table: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name in table.model_fields:
        yield f"{prefix}{name}"
        if inner := _table_of(table, name):
            yield from _paths(inner, f"{prefix}{name}.")


def _table_of(table: type[BaseModel], name: str) -> type[BaseModel] | None:
    """Return the model that the field holds, `X` and `X | None` alike; None where it holds no table."""
    field = table.model_fields.get(name)
    kinds = [field.annotation, *get_args(field.annotation)] if field else []
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
