"""How the command prints: tables and sentences for people, JSON for programs.

Results go to stdout, everything else (progress, hints, errors) to stderr, so that `--json` can be piped.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, cast

import typer
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.pod.errors import PinetuneError

EXIT_MISSED, EXIT_REFUSED = 1, 2
"""Exit codes of a command whose work went otherwise than asked, and of one that cannot be carried out. Of the graders'
commands the second says that what was given is wrong; where nobody could say, for an outage, it is the first."""
AsJson = Annotated[bool, typer.Option("--json", help="Print the messages as JSON.")]
"""The option of every command that prints."""
PIPE_COLUMNS = 240
"""Width where stdout is no terminal: wide enough that no id is cut."""
INT64 = frozenset({FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64})
STATE_STYLES = {"succeeded": "green", "running": "cyan", "failed": "red", "cancelled": "yellow", "paused": "yellow"}


def out() -> Console:
    """Return the console of stdout as it is now."""
    return Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS, highlight=False)


def err() -> Console:
    """Return the console of stderr as it is now."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else PIPE_COLUMNS, highlight=False)


def say(sentence: str) -> None:
    """Tell a person something beside the result."""
    err().print(Text(sentence), soft_wrap=True)


def fail(sentence: str) -> None:
    """Tell a person what went wrong, one line per fault."""
    for line in sentence.splitlines():
        err().print(Text.assemble(("error: ", "bold red"), line), soft_wrap=True)


def error_table(error: PinetuneError) -> dict[str, str]:
    """Return an error as programs read it: reason, field and message."""
    return {"reason": error.reason, "field": error.metadata.get("field", ""), "message": error.message}


def print_json(message: Message) -> None:
    """Print a message as JSON with the contract's field names, defaults included and integers as numbers."""
    print(json.dumps(as_dict(message), indent=2, ensure_ascii=False))


def print_json_line(message: Message) -> None:
    """Print a message as one line of JSON, at once."""
    print(json.dumps(as_dict(message), ensure_ascii=False), flush=True)


def as_dict(message: Message) -> dict[str, object]:
    """Return a message as JSON values; 64-bit integers, texts in protobuf's own spelling, are numbers here."""
    content: dict[str, object] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    _number_integers(message, content)
    return content


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """Return a table; a column whose name ends in `>` is aligned to the right."""
    shown = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for column in columns:
        right = column.endswith(">")
        shown.add_column(column.rstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return shown


def pairs(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """Return names and values, one a line; rows without a value are left out."""
    shown = Table.grid(padding=(0, 2))
    shown.add_column(style="dim")
    shown.add_column(overflow="fold")
    for name, value in rows:
        if value:
            shown.add_row(name, value if isinstance(value, Text) else Text(value))
    return shown


def state(value: jobs_pb2.JobState) -> Text:
    """Return a state's word in its colour."""
    word = jobs_pb2.JobState.Name(value).removeprefix("JOB_STATE_").lower()
    return Text(word, STATE_STYLES.get(word, ""))


def phase(value: jobs_pb2.JobPhase) -> str:
    """Return a phase's word; empty before the start."""
    word = jobs_pb2.JobPhase.Name(value).removeprefix("JOB_PHASE_").lower()
    return "" if word == "unspecified" else word.replace("_", "-")


def time(stamp: Timestamp) -> str:
    """Return a moment in UTC; empty where it is not set."""
    if not stamp.seconds:
        return ""
    return stamp.ToDatetime().replace(microsecond=0).isoformat(" ") + "Z"


def duration(seconds: float) -> str:
    """Return seconds as a person says them: `42 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: int) -> str:
    """Return bytes in a unit of their magnitude."""
    number, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number < 1024:
            break
        number, unit = number / 1024, larger
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"


def interval(value: float, low: float, high: float, *, signed: bool = False) -> str:
    """Return a number with its 95% interval."""
    form = "+.3f" if signed else ".3f"
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def _number_integers(message: Message, content: dict[str, object]) -> None:
    """Turn the texts of 64-bit integers in `content` into numbers, wherever `message` says that they are."""
    for each in message.DESCRIPTOR.fields:
        field = cast(FieldDescriptor, each)  # the stubs also know the class that is behind it
        if field.name in content:
            content[field.name] = _numbered(field, getattr(message, field.name), content[field.name])


def _numbered(field: FieldDescriptor, value: object, spelt: object) -> object:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry and isinstance(spelt, dict) and isinstance(value, Mapping):
        entry = kind.fields_by_name["value"]
        # JSON has texts for keys; the contract's maps have too.
        return {key: _numbered(entry, value[key], each) for key, each in spelt.items()}
    if isinstance(spelt, list) and isinstance(value, Sequence):
        return [_numbered(field, one, each) for one, each in zip(value, spelt, strict=True)]
    if isinstance(spelt, dict) and isinstance(value, Message):
        _number_integers(value, spelt)
        return spelt
    return int(str(spelt)) if field.cpp_type in INT64 else spelt
