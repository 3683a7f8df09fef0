"""Lines of a data file, one JSON object each, and what can be wrong with one by itself.

A row has the reserved keys `messages` and `tools`, as the openai API has them, and any others, which graders read as
`item.*`. Nothing here knows a job's settings; `dataset.py` makes items of good rows.
"""

import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from pinetune.client import strict_json
from pinetune.pod.errors import InvalidInput

ROW_BYTES_MAX = 1 << 20
FILE_BYTES_MAX = 512 << 20
ROWS_MAX = 50_000
GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LISTED_MAX = 20
MESSAGE_CHARACTERS_MAX = 1300
ROLES = ("system", "developer", "user", "assistant", "tool")
MESSAGE_KEYS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content"})


@dataclass(frozen=True)
class Finding:
    """Something said about a data set."""

    line: int
    """1-based line; 0 for the file as a whole."""
    key: str
    """Key of the row it is about; empty for the whole row."""
    message: str
    """One sentence."""

    def __str__(self) -> str:
        place = ", ".join([f"line {self.line}"] * bool(self.line) + [f"key `{self.key}`"] * bool(self.key))
        return f"{place}: {self.message}" if place else self.message


@dataclass(frozen=True)
class Row:
    """A parsed line."""

    line: int
    """1-based."""
    table: Mapping[str, Any] = field(default_factory=dict)
    """Its keys and values; empty where the line could not be parsed."""
    faults: tuple[Finding, ...] = ()
    """What is wrong with it; empty for a good row."""

    @property
    def row_id(self) -> str:
        """The row's `id`, or `row-<line>` where it has none."""
        return str(self.table["id"]) if "id" in self.table else f"row-{self.line}"


def refusal(faults: list[Finding], *, reason: str = "INVALID_DATASET") -> InvalidInput:
    """Return one error for all bad rows: at most 20 are listed, the rest is counted."""
    lines: list[str] = []
    for fault in faults[:LISTED_MAX]:
        if sum(map(len, lines)) + len(str(fault)) > MESSAGE_CHARACTERS_MAX and lines:
            break
        lines.append(str(fault))
    if rest := len(faults) - len(lines):
        lines.append(f"and {rest} more")
    first = faults[0]
    return InvalidInput("\n".join(lines), reason=reason, line=first.line, key=first.key, fault_count=len(faults))


def read_rows(file: BinaryIO) -> Iterator[Row]:
    """Yield every line of a seekable `.jsonl` or `.jsonl.gz` file as a row, good or bad.

    Raises InvalidInput INVALID_DATASET where the file as a whole is: empty, too large, too long, damaged.
    """
    magic = file.read(len(GZIP_MAGIC))
    file.seek(0)
    stream: BinaryIO = io.BufferedReader(gzip.GzipFile(fileobj=file, mode="rb")) if magic == GZIP_MAGIC else file
    line, size = 0, 0
    try:
        while content := stream.readline(ROW_BYTES_MAX + 2):
            line, size = line + 1, size + len(content)
            too_long = len(content.rstrip(b"\r\n")) > ROW_BYTES_MAX
            while too_long and content and not content.endswith(b"\n"):
                content = stream.readline(ROW_BYTES_MAX)
                size += len(content)
                _refuse_size(size)
            _refuse_size(size)
            if line > ROWS_MAX:
                raise InvalidInput(f"a data set has at most {ROWS_MAX:,} rows", reason="INVALID_DATASET", line=line)
            if too_long:
                yield _bad(line, f"a row has at most {ROW_BYTES_MAX:,} bytes; this one is longer")
            else:
                yield _parse(line, content.removeprefix(BYTE_ORDER_MARK) if line == 1 else content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidInput(f"the file is no whole gzip file: {error}", reason="INVALID_DATASET") from error
    if line == 0:
        raise InvalidInput("the file is empty; give one JSON object a line", reason="INVALID_DATASET")


def _refuse_size(size: int) -> None:
    if size > FILE_BYTES_MAX:
        raise InvalidInput(f"a data set has at most {FILE_BYTES_MAX:,} bytes, unpacked", reason="INVALID_DATASET")


def _bad(line: int, message: str) -> Row:
    return Row(line, faults=(Finding(line, "", message),))


def _parse(line: int, content: bytes) -> Row:
    """Read one line; what is wrong with it becomes its faults."""
    if not content.strip():
        return _bad(line, "the line is blank; take it out")
    try:
        table = strict_json.parse(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        return _bad(line, f"not UTF-8: {error.reason}")
    except strict_json.UnfitError as error:
        return Row(line, faults=(Finding(line, error.path, error.detail),))
    except (ValueError, RecursionError) as error:
        return _bad(line, f"not JSON: {error}")
    if not isinstance(table, dict):
        return _bad(line, f"a row is a JSON object, not a {type(table).__name__}")
    faults = list(_faults(line, table))
    return Row(line, table, tuple(faults))


def _faults(line: int, table: dict[str, Any]) -> Iterator[Finding]:
    if not table.keys() - {"tools", "id"}:
        yield Finding(line, "", "the row has no `messages` and no other key")
    if "id" in table and (
        not isinstance(table["id"], (str, int)) or isinstance(table["id"], bool) or table["id"] == ""
    ):
        yield Finding(line, "id", "must be a text or a whole number")
    if "messages" in table:
        yield from _message_faults(line, table["messages"])
    if "tools" in table:
        yield from _tool_faults(line, table["tools"])


def _message_faults(line: int, messages: object) -> Iterator[Finding]:
    if not isinstance(messages, list) or not messages:
        yield Finding(line, "messages", "must be a list of at least one message")
        return
    for position, message in enumerate(messages):
        key = f"messages[{position}]"
        if not isinstance(message, dict):
            yield Finding(line, key, "must be a JSON object")
            continue
        if message.get("role") not in ROLES:
            yield Finding(line, f"{key}.role", f"must be one of {', '.join(ROLES)}; it is {message.get('role')!r}")
        for unknown in sorted(message.keys() - MESSAGE_KEYS):
            yield Finding(line, f"{key}.{unknown}", f"is not known; a message has {', '.join(sorted(MESSAGE_KEYS))}")
        if fault := _content_fault(message):
            yield Finding(line, f"{key}.content", fault)
        for name in ("name", "tool_call_id", "reasoning_content"):
            if not isinstance(message.get(name) or "", str):
                yield Finding(line, f"{key}.{name}", "must be a text")
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list) or not all(map(is_tool_call, calls)):
            yield Finding(line, f"{key}.tool_calls", "must be a list of {id, type, function: {name, arguments}}")


def _content_fault(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if content is None and message.get("role") == "assistant" and message.get("tool_calls"):
        return ""
    if isinstance(content, list):
        texts = [
            part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in content
        ]
        if not all(isinstance(text, str) for text in texts):
            return "has a part that is no text; pictures and sound are not supported"
        content = "".join(text for text in texts if isinstance(text, str))
    if not isinstance(content, str):
        return "must be a text"
    return "" if content.strip() else "is empty"


def is_tool_call(call: object) -> bool:
    """True for a tool call as the openai API writes it."""
    function = call.get("function") if isinstance(call, dict) else None
    return isinstance(function, dict) and all(isinstance(function.get(name), str) for name in ("name", "arguments"))


def _tool_faults(line: int, tools: object) -> Iterator[Finding]:
    if not isinstance(tools, list):
        yield Finding(line, "tools", "must be a list")
        return
    for position, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            yield Finding(line, f"tools[{position}]", "must be {type: function, function: {name, …}}")
        elif not isinstance(function.get("parameters", {}), dict):
            yield Finding(line, f"tools[{position}].function.parameters", "must be a JSON Schema")
        elif not isinstance(function.get("description") or "", str):
            yield Finding(line, f"tools[{position}].function.description", "must be a text")
