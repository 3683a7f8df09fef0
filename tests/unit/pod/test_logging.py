"""Log lines: one object each, with the trace and the extra fields."""

import json
import logging
import sys

import pytest

from pinetune.pod import trace
from pinetune.pod.logging import JsonFormatter, TextFormatter


def record(message: str = "weights loaded", **extra: object) -> logging.LogRecord:
    made = logging.getLogger("pinetune.test").makeRecord(
        "pinetune.test", logging.INFO, __file__, 1, message, (), None, extra=extra
    )
    made.created = 1767225600.25
    return made


def test_a_line_is_one_json_object_with_trace_and_extra_fields() -> None:
    with trace.within(job="job-1", step=3):
        line = JsonFormatter("generation").format(record(policy_version=7))
    assert json.loads(line) == {
        "time": "2026-01-01T00:00:00.250Z",
        "level": "INFO",
        "room": "generation",
        "logger": "pinetune.test",
        "message": "weights loaded",
        "job": "job-1",
        "step": "3",
        "policy_version": 7,
    }


def test_a_line_stays_one_line_whatever_the_message_holds() -> None:
    assert "\n" not in JsonFormatter("pod").format(record("two\nlines", answer="a\nb"))


def test_an_extra_field_never_hides_one_of_ours() -> None:
    line = json.loads(JsonFormatter("pod").format(record(time="yesterday", room="kitchen")))
    assert (line["time"], line["room"]) == ("2026-01-01T00:00:00.250Z", "pod")


def test_what_json_cannot_say_is_written_as_text() -> None:
    assert json.loads(JsonFormatter("pod").format(record(path={1})))["path"] == "{1}"


@pytest.mark.parametrize("formatter", [JsonFormatter("pod"), TextFormatter("pod")], ids=["json", "text"])
def test_a_traceback_is_part_of_the_line(formatter: logging.Formatter) -> None:
    made = record()
    try:
        raise ValueError("odd")
    except ValueError:
        made.exc_info = sys.exc_info()
    assert "ValueError: odd" in formatter.format(made)


def test_a_line_for_people_ends_with_the_fields() -> None:
    with trace.within(job="job-1"):
        line = TextFormatter("learning").format(record(seconds=1.5))
    assert line == "2026-01-01T00:00:00.250Z INFO    learning: weights loaded job=job-1 seconds=1.5"
