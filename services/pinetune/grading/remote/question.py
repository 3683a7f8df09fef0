"""A question to a remote grader in its parts, each as the JSON text that the core wrote.

The parts are cut out and not written anew: Python would make `1.10` a `1.1`, and the grader beyond would fill its
templates with another text than this service does.
"""

import json
from dataclasses import dataclass

TEXT_KEY = "output_text"
# The values are not needed; Python would refuse an integer of 5,000 digits.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


class UnsendableError(Exception):
    """A question that cannot be cut up, with a sentence why."""


@dataclass(frozen=True)
class RemoteQuestion:
    """One sample with its item."""

    item_json: str
    """The item's fields."""
    output_text: str
    """The sampled text."""
    sample_json: str
    """The other values of the sample; empty where there are none."""


def read_question(body: str) -> RemoteQuestion:
    """Cut up a question as the core renders it; raises UnsendableError where it is nested too deeply."""
    parts = _members(body)
    sample = _members(parts["sample"])
    output_text = json.loads(sample.pop(TEXT_KEY))
    rest = ",".join(f"{json.dumps(key)}:{value}" for key, value in sample.items())
    return RemoteQuestion(parts["item"], output_text, f"{{{rest}}}" if rest else "")


def with_settings(body: str, settings_json: str) -> bytes:
    """Return a question with the grader's settings beside item and sample, as an HTTP grader is sent it.

    Raises UnsendableError where it is nested too deeply.
    """
    parts = _members(body) | {"settings": settings_json or "null"}
    text = ",".join(f"{json.dumps(key)}:{value}" for key, value in parts.items())
    return f"{{{text}}}".encode("utf-8", "replace")


def _members(text: str) -> dict[str, str]:
    """Return the members of a JSON object, their values as they stand; raises ValueError where it is none."""
    found: dict[str, str] = {}
    position = _skip(text, _expect(text, _skip(text, 0), "{"))
    while not text.startswith("}", position):
        if found:
            position = _skip(text, _expect(text, position, ","))
        key, position = _DECODER.raw_decode(text, position)
        position = _skip(text, _expect(text, _skip(text, position), ":"))
        try:
            _, end = _DECODER.raw_decode(text, position)
        except RecursionError:
            raise UnsendableError(f"{key} is nested too deeply to be sent") from None
        found[key] = text[position:end]
        position = _skip(text, end)
    return found


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _expect(text: str, position: int, sign: str) -> int:
    if not text.startswith(sign, position):
        raise ValueError(f"a question is no JSON object at character {position}")
    return position + 1
