"""Prompt templates: `{{item.question}}` in the job's settings becomes the user's message of every row.

Only the namespace `item` exists here, and of it only what the model may see: a template that reaches the reference
answer, the chain of thought or another hidden key is refused before any row is read. Values are written as graders
write them: texts raw, everything else as compact JSON with sorted keys; a missing one is an error, never an empty text.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pinetune.pod.errors import InvalidInput

PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
PATH = re.compile(r"item((?:\.[^\s.\[\]{}]+|\[\d+\])+)")
STEP = re.compile(r"\.([^\s.\[\]{}]+)|\[(\d+)\]")

Path = tuple[str | int, ...]


class MissingValueError(Exception):
    """A row lacks what a template or a setting names; becomes a fault of its line."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass(frozen=True)
class PromptTemplate:
    """A parsed template: texts and the paths between them, in turn."""

    field: str
    """The setting it was given in, for messages."""
    parts: tuple[str | Path, ...]
    """Literal texts and paths into the row."""

    @classmethod
    def parse(cls, text: str, *, field: str, hidden: Collection[str]) -> "PromptTemplate":
        """Read a template; raises InvalidInput INVALID_PROMPT where it is malformed or reaches a `hidden` key."""
        parts: list[str | Path] = []
        end = 0
        for match in PLACEHOLDER.finditer(text):
            parts.append(_literal(text[end : match.start()], field))
            path = _path_of(match[1].strip(), field)
            _refuse_hidden(path, field, hidden)
            parts.append(path)
            end = match.end()
        parts.append(_literal(text[end:], field))
        return cls(field, tuple(part for part in parts if part != ""))

    @property
    def is_constant(self) -> bool:
        """True where every row gives the same text."""
        return all(isinstance(part, str) for part in self.parts)

    def render(self, row: Mapping[str, Any]) -> str:
        """Return the text for a row; raises MissingValueError where the row lacks a value."""
        return "".join(part if isinstance(part, str) else text_of(value_at(row, part)) for part in self.parts)


def value_at(row: Mapping[str, Any], path: Path) -> Any:
    """Return the value at the path; raises MissingValueError where there is none, or where it is null."""
    value: Any = row
    for step in path:
        if isinstance(value, Mapping) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            value = None
        if value is None:
            raise MissingValueError(shown_path(path))
    return value


def value_of_key(row: Mapping[str, Any], key: str) -> Any:
    """Return what a setting such as `reference` names, a key or a path with dots; None where there is nothing."""
    if key in row:
        return row[key]
    try:
        return value_at(row, tuple(key.split(".")))
    except MissingValueError:
        return None


def text_of(value: object) -> str:
    """Return the value as text: texts as they are, everything else as compact JSON with sorted keys."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def shown_path(path: Path) -> str:
    """Return the path as a template writes it, without its namespace."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def paths_named(text: str) -> Iterator[str]:
    """Yield the path of every `{{item.…}}` in a text, without its namespace; what is malformed is not looked at."""
    for expression in PLACEHOLDER.findall(text):
        if match := PATH.fullmatch(expression.strip()):
            yield match[1].removeprefix(".")


def _literal(text: str, field: str) -> str:
    for brace in ("{{", "}}"):
        if brace in text:
            raise InvalidInput(f"{field} has {brace} without its counterpart", reason="INVALID_PROMPT", field=field)
    return text


def _path_of(expression: str, field: str) -> Path:
    match = PATH.fullmatch(expression)
    if match is None:
        raise InvalidInput(
            f"{field} has {{{{{expression}}}}}; a prompt takes {{{{item.<key>}}}} only",
            reason="INVALID_PROMPT",
            field=field,
            expression=expression,
        )
    return tuple(key or int(index) for key, index in STEP.findall(match[1]))


def _refuse_hidden(path: Path, field: str, hidden: Collection[str]) -> None:
    """Refuse a path that is, lies in or contains a hidden one: `item.meta` would show `meta.answer` too."""
    ours = shown_path(path)
    for key in hidden:
        if ours == key or ours.startswith((f"{key}.", f"{key}[")) or key.startswith((f"{ours}.", f"{ours}[")):
            raise InvalidInput(
                f"{field} names item.{ours}, but `{key}` is hidden from the model: it is the reference, the chain of "
                "thought, what the grader compares with, or listed in pinetune.dataset.hidden",
                reason="HIDDEN_KEY_IN_PROMPT",
                field=field,
                key=key,
            )
