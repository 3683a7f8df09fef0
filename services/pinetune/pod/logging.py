"""Log lines of a pod: one JSON object a line on stderr, with the job, step, call and trace they belong to.

    log = logging.getLogger(__name__)
    log.info("weights loaded", extra={"policy_version": 7, "seconds": 1.4})

The keys of `extra` become keys of the object. `text` is the same for people who watch a terminal.
"""

import datetime
import json
import logging
import sys
from typing import Literal

from pinetune.pod import spans, trace

LogFormat = Literal["json", "text"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
# What the standard library puts on every record; anything else came in through `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON."""

    def __init__(self, room: str) -> None:
        super().__init__()
        self._room = room

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; values that JSON cannot say are written as their text."""
        fields: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname,
            "room": self._room,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields |= _trace_fields()
        # An extra never hides one of ours: `time` stays the time.
        fields |= {key: value for key, value in _extra(record).items() if key not in fields}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """Writes a record as a line for people, a traceback below it."""

    def __init__(self, room: str) -> None:
        super().__init__()
        self._room = room

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, trace and extra fields as `key=value` at its end."""
        pairs = " ".join(f"{key}={value}" for key, value in (_trace_fields() | _extra(record)).items())
        line = f"{_time(record)} {record.levelname:<7} {self._room}: {record.getMessage()} {pairs}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(room: str, *, level: LogLevel = "INFO", style: LogFormat = "json") -> None:
    """Send all log lines of this process to stderr in the given style, replacing what was set up before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(room) if style == "json" else TextFormatter(room))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trace_fields() -> dict[str, object]:
    now = trace.current()
    pairs = (("job", now.job), ("step", now.step), ("call", now.call), *spans.ids().items())
    return {key: value for key, value in pairs if value}


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}
