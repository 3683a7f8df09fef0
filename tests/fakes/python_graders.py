"""Asking Python graders in tests: settings with short limits, and a question's one grade."""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pinetune.client.rollout import Grade
from pinetune.grading.asking import Questions
from pinetune.grading.config import GradingSettings
from pinetune.grading.sandbox.asker import PythonAsker

EXACT = "import re\n\ndef grade(sample, item):\n    return 1.0 if sample['output_text'] == item['answer'] else 0.0\n"
"""A grader that is run in a fresh namespace."""
EXACT_FORKED = "import os\n" + EXACT
"""The same one with a process for each call."""


def settings(root: Path, **overrides: object) -> GradingSettings:
    """Return settings with two processes and short limits, folders below `root`."""
    short = {
        "python_workers": 2,
        "python_call_timeout_seconds": 20.0,
        "python_memory_bytes": 256 * 1024**2,
        "python_disk_bytes": 4 * 1024**2,
        "python_files_max": 100,
        "python_temporary_root": root,
    }
    return GradingSettings.model_validate(short | overrides)


def ask(
    asker: PythonAsker,
    source: str,
    texts: Sequence[str] = ("4",),
    item: Mapping[str, object] | None = None,
    seconds: float = 60.0,
    cancelled: threading.Event | None = None,
) -> list[Grade]:
    """Return the grades of these texts, each with the same item, asked for within `seconds` or until `cancelled`."""
    bodies = [json.dumps({"item": item or {"answer": "4"}, "sample": {"output_text": text}}) for text in texts]
    questions = Questions("python", "", {"type": "python", "source": source}, bodies)
    given_up = cancelled or threading.Event()
    return list(asker.ask(questions, deadline=time.monotonic() + seconds, cancelled=given_up).grades)


def still_grades(asker: PythonAsker) -> bool:
    """Say whether both ways of grading go on and are right."""
    ways = (EXACT, EXACT_FORKED)
    return all([grade.score for grade in ask(asker, source, ["4", "5"])] == [1.0, 0.0] for source in ways)


def error_of(grades: Sequence[Grade]) -> tuple[str, str]:
    """Return class and detail of the one grade's error."""
    (grade,) = grades
    assert grade.error is not None, f"a score: {grade.score}"
    return grade.error.error_class, grade.error.detail


def children_of(process: int, program: str = "") -> list[int]:
    """Return the processes that `process` has started and that run, those whose command names `program`."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    children = [int(child) for task in tasks for child in (_text(task) or "").split()]
    commands = {child: _text(Path(f"/proc/{child}/cmdline")) for child in children}
    return [child for child, command in commands.items() if command is not None and program in command]


def _text(path: Path) -> str | None:
    """Return what /proc says; None where the process is gone by the time that it is asked."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None


def of_class(source: str) -> dict[str, str]:
    """Return the grader of a source."""
    return {"type": "python", "source": source}


def until_running(root: Path, count: int = 1) -> None:
    """Wait until so many graders have made a file `running` in their folders."""
    until = time.monotonic() + 30
    while len(list(root.glob("*/running"))) < count:
        assert time.monotonic() < until, "it never ran"
        time.sleep(0.01)
