"""What a Python grader is refused for when it is checked, and what may pass the next time."""

import os
import re
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.fakes.python_graders import (
    EXACT,
    EXACT_FORKED,
    ask,
    children_of,
    error_of,
    of_class,
    settings,
    still_grades,
    until_running,
)

from pinetune.grading.sandbox.asker import PythonAsker
from pinetune.pod.errors import Busy, InvalidInput, TimedOut, Unavailable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux")


BAD = {
    "no Python": ("def grade(sample, item:\n    return 1", "line 1: '(' was never closed"),
    "a zero byte": ("x = 1\0", "source code string cannot contain null bytes"),
    "nested too deep": ("(" * 5000 + ")" * 5000, "too many nested parentheses"),
    "no grade": ("def score(sample, item): return 1.0", "it defines no function grade(sample, item)"),
    "grade is no function": ("grade = 1.0", "it defines no function grade(sample, item)"),
    "one argument": ("def grade(sample): return 1.0", "must take two arguments"),
    "three arguments": ("def grade(sample, item, more): return 1.0", "must take two arguments"),
    "a needed keyword": ("def grade(sample, item, *, more): return 1.0", "must take two arguments"),
    "an asynchronous grade": ("async def grade(sample, item): return 1.0", "must be a plain function"),
    "a grade that yields": ("def grade(sample, item):\n    yield 1.0", "must be a plain function"),
    "a missing module": ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
    "a failing line": ("x = 1\ny = x / 0", "ZeroDivisionError: division by zero\n  line 2, in <module>: y = x / 0"),
}


@pytest.mark.parametrize(("source", "detail"), BAD.values(), ids=BAD.keys())
def test_a_bad_source_is_refused_with_line_and_fault(asker: PythonAsker, source: str, detail: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(detail)) as caught:
        asker.check(of_class(source))
    assert (caught.value.reason, caught.value.metadata["field"]) == ("GRADER_FIELD_VALUE", "source")
    assert ask(asker, source)[0].error is not None, "what is refused grades nothing"


@pytest.mark.parametrize(
    "source", [EXACT, EXACT_FORKED, "grade = lambda s, i, more=0: 1.0", "def grade(*both, **more): return 1.0"]
)
def test_a_good_source_passes(asker: PythonAsker, source: str) -> None:
    asker.check(of_class(source))


def test_a_source_that_is_too_long_is_refused_with_the_limit(asker: PythonAsker) -> None:
    with pytest.raises(InvalidInput, match="source: must have at most 256000 bytes, it has 256001"):
        asker.check(of_class("#" * 256_001))


def check_meanwhile(asker: PythonAsker, source: str, meanwhile: Callable[[], object]) -> BaseException | None:
    """Return what `check` raises, where `meanwhile` is done once the source runs and makes a file `running`."""
    with ThreadPoolExecutor(1) as thread:
        checking = thread.submit(asker.check, of_class(source))
        meanwhile()
        return checking.exception()


SLOW_TO_IMPORT = "open('running', 'w').close()\nimport time\ntime.sleep(60)\ndef grade(s, i): return 1.0"


def test_a_source_that_never_ends_is_not_refused_for_good(tmp_path: Path) -> None:
    # A machine that is busy looks the same.
    asker = PythonAsker(settings(tmp_path, python_start_timeout_seconds=1.0))
    with pytest.raises(TimedOut, match=r"PINETUNE_GRADING_PYTHON_START_TIMEOUT_SECONDS is 1$") as caught:
        asker.check(of_class("while True: pass"))
    assert (caught.value.reason, caught.value.metadata["field"]) == ("SANDBOX_UNAVAILABLE", "source")
    assert still_grades(asker)
    asker.close()


def test_a_check_that_the_end_of_the_service_cuts_off_refuses_nothing(tmp_path: Path) -> None:
    asker = PythonAsker(settings(tmp_path))

    def close() -> None:
        until_running(tmp_path)
        asker.close()

    error = check_meanwhile(asker, SLOW_TO_IMPORT, close)
    assert isinstance(error, Unavailable)
    assert (error.reason, error.message) == ("SANDBOX_UNAVAILABLE", "the service shuts down")


@pytest.mark.parametrize("whose", ["the process", "its child"])
def test_a_process_that_is_killed_from_outside_refuses_nothing(tmp_path: Path, whose: str) -> None:
    asker = PythonAsker(settings(tmp_path))

    def kill() -> None:
        until_running(tmp_path)
        (worker,) = children_of(os.getpid(), str(tmp_path))
        (child,) = children_of(worker)
        os.kill(worker if whose == "the process" else child, signal.SIGKILL)

    error = check_meanwhile(asker, SLOW_TO_IMPORT, kill)
    asker.close()
    assert isinstance(error, Unavailable)
    assert (error.reason, "no memory left" in error.message) == ("SANDBOX_UNAVAILABLE", True)


@pytest.mark.parametrize("prefix", ["", "import os\n"], ids=["fresh", "processes"])
def test_a_source_that_finds_no_memory_is_not_refused_for_good(asker: PythonAsker, prefix: str) -> None:
    with pytest.raises(Unavailable, match="MemoryError"):
        asker.check(of_class(prefix + "x = bytearray(1 << 40)\n" + EXACT))
    error_class, detail = error_of(ask(asker, prefix + "x = bytearray(1 << 40)\n" + EXACT))
    assert error_class == "PYTHON_RUNTIME"
    assert detail.endswith("\n  PINETUNE_GRADING_PYTHON_MEMORY_BYTES is 268435456")


def test_a_file_that_is_too_large_names_its_setting(asker: PythonAsker) -> None:
    source = "open('f', 'wb').truncate(5 << 20)\n" + EXACT
    with pytest.raises(InvalidInput, match="File too large") as caught:
        asker.check(of_class(source))
    assert caught.value.message.endswith("\n  PINETUNE_GRADING_PYTHON_DISK_BYTES is 4194304")
    assert error_of(ask(asker, source))[1].endswith("\n  PINETUNE_GRADING_PYTHON_DISK_BYTES is 4194304")


def test_a_library_that_finds_no_address_space_names_its_setting(asker: PythonAsker) -> None:
    why = "ImportError: libtorch.so: failed to map segment from shared object"
    with pytest.raises(InvalidInput, match="PINETUNE_GRADING_PYTHON_MEMORY_BYTES is 268435456"):
        asker.check(of_class(f"raise ImportError({why!r})"))


def test_a_check_that_finds_every_process_busy_can_be_repeated(tmp_path: Path) -> None:
    asker = PythonAsker(settings(tmp_path, python_workers=1, python_start_timeout_seconds=1.0))
    slow = "import time\ndef grade(s, i):\n    open('running', 'w').close()\n    time.sleep(3)\n    return 1.0"
    with ThreadPoolExecutor(1) as thread:
        grading = thread.submit(ask, asker, slow)
        until_running(tmp_path)
        with pytest.raises(Busy, match="no process for Python graders was free in time"):
            asker.check(of_class(EXACT))
        assert [grade.score for grade in grading.result()] == [1.0]
    asker.close()
