"""From the text of a call, as the model wrote it, to its name and arguments. What is malformed is None, never an error.

The arguments stay the text that the model wrote: `{"price": 1.10}` is not made `1.1`.
"""

import json
import re
from collections.abc import Iterator

from pinetune.generation.conversation import ToolCall

ARGUMENTS = ("arguments", "parameters")
NAMED = re.compile(r"([A-Za-z0-9_.-]+)(?:\[CALL_ID\]([A-Za-z0-9_-]+))?(?:\[ARGS\])?\s*")
"""What stands before the arguments where the name does."""
WHITE = re.compile(r"[ \t\n\r]*")


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")


# Numbers stay texts: only the shape matters here, and Python refuses to read integers of thousands of digits.
DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse)


def read_calls(text: str) -> list[ToolCall] | None:
    """Return the calls of a JSON object or array; None where one of them is none. Ids are empty where there is none."""
    try:
        values = list(_elements(text)) if text.startswith("[") else [text]
        calls = [_call(_fields(value)) for value in values]
    except (ValueError, RecursionError):
        return None
    return [call for call in calls if call is not None] if calls and None not in calls else None


def read_named_call(head: str, arguments: str) -> list[ToolCall] | None:
    """Return the call whose name, and perhaps id, stands before its arguments."""
    match = NAMED.fullmatch(head)
    try:
        _fields(arguments)
    except (ValueError, RecursionError):
        return None
    return [ToolCall(match[2] or "", match[1], arguments)] if match else None


def _call(fields: dict[str, str]) -> ToolCall | None:
    name = _text(fields.get("name", ""))
    given = [fields[key] for key in ARGUMENTS if key in fields]
    if not name or len(given) != 1 or given[0][0] not in '{"':
        return None
    # A text of JSON in the place of an object is what the openai API has there.
    arguments = given[0] if given[0][0] == "{" else _text(given[0])
    return None if arguments is None else ToolCall(_text(fields.get("id", "")) or "", name, arguments)


def _text(raw: str) -> str | None:
    """Return the text of a JSON string; None for other values and for halves of characters, which no message has."""
    if not raw.startswith('"'):
        return None
    value = DECODER.decode(raw)
    assert isinstance(value, str)
    try:
        value.encode()
    except UnicodeEncodeError:
        return None
    return value


def _fields(text: str) -> dict[str, str]:
    """Return the values of an object by their keys, each as it is written."""
    if not isinstance(DECODER.decode(text), dict):
        raise ValueError("no object")
    fields, at = {}, _skip(text, 1)
    while text[at] != "}":
        key, at = DECODER.raw_decode(text, at)
        start = _skip(text, _skip(text, at) + 1)
        _, end = DECODER.raw_decode(text, start)
        fields[key] = text[start:end]
        at = _next(text, end)
    return fields


def _elements(text: str) -> Iterator[str]:
    """Yield the values of an array as they are written."""
    DECODER.decode(text)
    at = _skip(text, 1)
    while text[at] != "]":
        _, end = DECODER.raw_decode(text, at)
        yield text[at:end]
        at = _next(text, end)


def _next(text: str, at: int) -> int:
    at = _skip(text, at)
    return _skip(text, at + 1) if text[at] == "," else at


def _skip(text: str, at: int) -> int:
    match = WHITE.match(text, at)
    assert match is not None
    return match.end()
