"""What a grader is tried on: a sample and the item that it answers, as rows of JSON Lines say it.

    {"sample": "It is 4.", "item": {"answer": "4"}}
    {"sample": {"output_text": "", "output_tools": [{"function": {"name": "f", "arguments": "{}"}}]}, "item": {}}

A sample that is an object has `output_text`, or `output_json` or `output_tools` in its place, and perhaps `choices`, as
templates name them; null counts as absent. Keys of a row that nobody asks for are left alone: a row may have an id or
a remark.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from pinetune.client import strict_json
from pinetune.pod.errors import InvalidInput

BAD_ROW = "BAD_ROW"
"""Reason of a row that cannot be read."""
EXCERPT_CHARACTERS = 80


@dataclass(frozen=True)
class Sample:
    """One text to grade."""

    text: str
    """The sampled text."""
    fields_json: str
    """JSON object of the item, `item.*` of the templates."""
    values_json: str = ""
    """JSON object of further `sample.*` values; empty for none."""

    @property
    def excerpt(self) -> str:
        """The beginning of the text in one line, or of its further values where there is no text."""
        line = " ".join((self.text or self.values_json).split())
        return line if len(line) <= EXCERPT_CHARACTERS else f"{line[: EXCERPT_CHARACTERS - 1]}…"


def read_row(text: str) -> dict[str, JsonValue]:
    """Read one line; raises InvalidInput BAD_ROW where it is no JSON object that a message can carry."""
    try:
        row = strict_json.parse(text)
    except strict_json.UnfitError as error:
        raise InvalidInput(str(error), reason=BAD_ROW, field=error.path) from None
    except json.JSONDecodeError as error:
        raise InvalidInput(f"not JSON: {error.msg} at character {error.pos + 1}", reason=BAD_ROW, field="") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"not JSON: {error}", reason=BAD_ROW, field="") from None
    if not isinstance(row, dict):
        raise InvalidInput("not a JSON object", reason=BAD_ROW, field="")
    return row


def sample_of(row: Mapping[str, JsonValue], key: str = "sample") -> Sample:
    """Return the row's sample; raises InvalidInput BAD_ROW that names the field."""
    item = row.get("item", {})
    if not isinstance(item, dict):
        raise InvalidInput(f"item: must be a JSON object; it is {shown(item)}", reason=BAD_ROW, field="item")
    fields_json = json.dumps(item, ensure_ascii=False)
    given = row.get(key)
    if isinstance(given, str):
        return Sample(_text(key, given), fields_json)
    if not isinstance(given, dict) or not given:
        raise InvalidInput(
            f"{key}: must be a text, or an object with output_text, output_json, output_tools or choices; "
            f"it is {shown(given) if key in row else 'missing'}",
            reason=BAD_ROW,
            field=key,
        )
    text = given.get("output_text")
    if text is not None and not isinstance(text, str):
        field = f"{key}.output_text"
        raise InvalidInput(f"{field}: must be a text; it is {shown(text)}", reason=BAD_ROW, field=field)
    values = {name: value for name, value in given.items() if name != "output_text" and value is not None}
    if text is None and not {"output_json", "output_tools"} & values.keys():
        raise InvalidInput(
            f"{key}: needs output_text, or output_json or output_tools in its place; it has {', '.join(given)}",
            reason=BAD_ROW,
            field=key,
        )
    values_json = json.dumps(values, ensure_ascii=False) if values else ""
    return Sample(_text(f"{key}.output_text", text or ""), fields_json, values_json)


def _text(field: str, text: str) -> str:
    """Return a text that a message can carry; a shell hands on what is no UTF-8 as halves of characters."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidInput(f"{field}: is no UTF-8", reason=BAD_ROW, field=field) from None
    return text


def shown(value: JsonValue) -> str:
    """Return a value as JSON writes it, not longer than an excerpt."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= EXCERPT_CHARACTERS else f"{text[: EXCERPT_CHARACTERS - 1]}…"
