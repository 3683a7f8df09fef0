"""Python graders: how a source is run, and what becomes of a batch when processes end."""

import ast
import json
import os
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError
from tests.fakes.python_graders import (
    EXACT,
    EXACT_FORKED,
    ask,
    error_of,
    of_class,
    settings,
    still_grades,
    until_running,
)

from pinetune.grading import graders
from pinetune.grading.sandbox import folder as folders
from pinetune.grading.sandbox import source as sources
from pinetune.grading.sandbox import wire
from pinetune.grading.sandbox.asker import PythonAsker
from pinetune.grading.sandbox.cores import core_count
from pinetune.grading.sandbox.pool import NoneFreeError, SandboxPool
from pinetune.pod.errors import InvalidInput

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux")


@pytest.mark.parametrize("name", sorted(sources.FORBIDDEN_NAMES))
def test_a_fresh_namespace_has_no_builtin_that_runs_text(asker: PythonAsker, name: str) -> None:
    # Behind the reading of the source stands a second wall: the names are not there. What stands in a literal that is
    # filled is not read, so it can look.
    look = "def grade(sample, item):\n    '{{0.__globals__[__builtins__][{}]}}'.format(grade)\n    return 1.0"
    assert sources.why_processes(ast.parse(look.format(name))) == ""
    assert [grade.score for grade in ask(asker, look.format("len"))] == [1.0]
    error_class, detail = error_of(ask(asker, look.format(name)))
    assert (error_class, detail.splitlines()[0]) == ("PYTHON_RUNTIME", f"KeyError: '{name}'")


@pytest.mark.parametrize("source", [EXACT, EXACT_FORKED], ids=["fresh", "processes"])
def test_samples_are_graded_in_order(asker: PythonAsker, source: str) -> None:
    texts = ["4", "5", "4", "", "4"] * 8
    assert [grade.score for grade in ask(asker, source, texts)] == [1.0 if text == "4" else 0.0 for text in texts]


@pytest.mark.parametrize("prefix", ["", "import os\n"], ids=["fresh", "processes"])
def test_each_call_starts_from_nothing(asker: PythonAsker, prefix: str) -> None:
    counting = (
        "import random\nseen = []\ndef grade(sample, item, kept={}):\n    seen.append(1)\n    kept[len(kept)] = 1\n"
        "    return len(seen) + len(kept) + random.random()"
    )
    scores = {grade.score for grade in ask(asker, prefix + counting, ["a"] * 12)}
    assert len(scores) == 1, "module, defaults and random numbers are those of the first call"


RANDOM = {
    "a library that draws them": "import statistics\ndef grade(s, i): return statistics.NormalDist().samples(1)[0]",
    "the same in a process": "import os, statistics\ndef grade(s, i): return statistics.NormalDist().samples(1)[0]",
    "numpy's, found in numpy": "import os\nimport numpy as np\ndef grade(s, i): return np.random.rand()",
    "imported by name": "def grade(s, i): return __import__('random').random()",
    "imported in the call": "import importlib\ndef grade(s, i): return importlib.import_module('random').random()",
}


@pytest.mark.parametrize("source", RANDOM.values(), ids=RANDOM.keys())
def test_random_numbers_are_the_same_however_they_are_come_by(asker: PythonAsker, source: str) -> None:
    scores = [grade.score for grade in ask(asker, source, ["a"] * 6)]
    assert len(set(scores)) == 1
    assert scores[0] is not None


@pytest.mark.parametrize("prefix", ["", "import os\n"], ids=["fresh", "processes"])
def test_every_process_gives_the_same_grade(tmp_path: Path, prefix: str) -> None:
    # Sets of texts have the order of their hashes, which Python draws anew for each process unless it is told not to.
    source = prefix + "def grade(sample, item):\n    return hash(sample['output_text']) % 1000"
    scores = set()
    for _ in range(2):
        asker = PythonAsker(settings(tmp_path))
        scores |= {grade.score for grade in ask(asker, source, ["a text"] * 8)}
        asker.close()
    assert len(scores) == 1


@pytest.mark.parametrize("prefix", ["", "import os\n"], ids=["fresh", "processes"])
def test_texts_of_ten_megabytes_arrive_whole(asker: PythonAsker, prefix: str) -> None:
    source = prefix + "def grade(sample, item):\n    return len(sample['output_text'])"
    assert [grade.score for grade in ask(asker, source, ["x" * 10_000_000])] == [1e7]


@pytest.mark.parametrize("prefix", ["", "import os\n"], ids=["fresh", "processes"])
def test_dataclasses_find_their_module(asker: PythonAsker, prefix: str) -> None:
    source = (
        f"from __future__ import annotations\n{prefix}from dataclasses import dataclass\n@dataclass\nclass A:\n"
        "    x: float = 0.5\ndef grade(sample, item):\n    return A().x"
    )
    assert [grade.score for grade in ask(asker, source, ["a", "b"])] == [0.5, 0.5]


def test_numpy_can_be_used_in_a_locked_process(asker: PythonAsker) -> None:
    # As much address space as the libraries reserve.
    source = "import numpy as np, os\ndef grade(sample, item):\n    return np.linalg.norm(np.array([3.0, 4.0])) / 10"
    assert [grade.score for grade in ask(asker, source)] == [0.5]


@pytest.mark.parametrize(
    ("returned", "score"), [("1", 1.0), ("True", 1.0), ("0.25", 0.25), ("-3.5", -3.5), ("Fraction(1, 2)", 0.5)]
)
def test_real_numbers_are_scores(asker: PythonAsker, returned: str, score: float) -> None:
    source = f"from fractions import Fraction\ndef grade(sample, item):\n    return {returned}"
    assert [grade.score for grade in ask(asker, source)] == [score]


@pytest.mark.parametrize(
    ("returned", "detail"),
    [
        ("'1'", "grade returned str, not a float"),
        ("None", "grade returned NoneType, not a float"),
        ("1j", "grade returned complex, not a float"),
        ("float('inf')", "grade returned inf, which is not finite"),
    ],
)
def test_other_values_are_errors(asker: PythonAsker, returned: str, detail: str) -> None:
    source = f"def grade(sample, item):\n    return {returned}"
    assert error_of(ask(asker, source)) == ("PYTHON_RUNTIME", detail)


@pytest.mark.parametrize("prefix", ["", "import os\n"], ids=["fresh", "processes"])
def test_an_exception_shows_the_users_frames(asker: PythonAsker, prefix: str) -> None:
    source = (
        prefix
        + "import json\ndef read(text):\n    return json.loads(text)\n\ndef grade(sample, item):\n    return read('{')"
    )
    lines = error_of(ask(asker, source))[1].splitlines()
    first = prefix.count("\n")
    assert lines == [
        "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        f"  line {first + 6}, in grade: return read('{{')",
        f"  line {first + 3}, in read: return json.loads(text)",
    ]


def test_a_batch_that_nobody_waits_for_is_ended(tmp_path: Path) -> None:
    asker = PythonAsker(settings(tmp_path, python_workers=1, python_call_timeout_seconds=600.0))
    source = "import time\ndef grade(s, i):\n    open('running', 'w').close()\n    time.sleep(600)"
    first, second = threading.Event(), threading.Event()
    with ThreadPoolExecutor(2) as threads:
        running = threads.submit(ask, asker, source, ["a", "b"], cancelled=first, seconds=600.0)
        until_running(tmp_path)
        waiting = threads.submit(ask, asker, EXACT, cancelled=second, seconds=600.0)
        second.set()
        assert [grade.error and grade.error.error_class for grade in waiting.result()] == ["DEADLINE"]
        first.set()
        errors = [grade.error for grade in running.result()]
    assert [(error.error_class, error.retryable) for error in errors if error] == [("DEADLINE", True)] * 2
    assert still_grades(asker)
    asker.close()


def test_a_source_that_cannot_be_compiled_starts_one_process_a_lane(tmp_path: Path) -> None:
    asker = PythonAsker(settings(tmp_path))
    begin = time.monotonic()
    grades = ask(asker, "def grade(", ["a"] * 5000)
    asker.close()
    assert {grade.error.error_class for grade in grades if grade.error} == {"PYTHON_RUNTIME"}
    # A process for each of them would take minutes; the test's own time limit would end that.
    assert time.monotonic() - begin < 60


def test_a_batch_that_runs_out_of_time_keeps_what_it_has(tmp_path: Path) -> None:
    asker = PythonAsker(settings(tmp_path, python_workers=1))
    source = "import time\ndef grade(sample, item):\n    time.sleep(float(sample['output_text']))\n    return 0.5"
    ask(asker, source, ["0"])
    grades = ask(asker, source, ["0", "60", "0"], seconds=2.0)
    asker.close()
    assert grades[0].score == 0.5
    errors = [grade.error for grade in grades[1:]]
    assert [(error.error_class, error.retryable) for error in errors if error] == [("DEADLINE", True)] * 2


def test_one_samples_death_leaves_the_others_their_scores(asker: PythonAsker) -> None:
    source = "import os\ndef grade(sample, item):\n    return 0.5 if sample['output_text'] else os._exit(3)"
    grades = ask(asker, source, ["a", "", "b", "", "c"])
    assert [grade.score for grade in grades] == [0.5, None, 0.5, None, 0.5]


def test_memory_over_the_limit_is_the_samples_error_in_a_shared_process_too(asker: PythonAsker) -> None:
    source = "def grade(sample, item):\n    return len('x' * int(sample['output_text']))"
    grades = ask(asker, source, ["1", str(1 << 40), "2"])
    assert [grade.score for grade in grades] == [1.0, None, 2.0]
    error_class, detail = error_of(grades[1:2])
    assert (error_class, detail.splitlines()[0]) == ("PYTHON_RUNTIME", "MemoryError: ")


def test_starts_and_kills_are_counted(tmp_path: Path) -> None:
    def count(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(f"pinetune_grading_sandbox_{name}", labels) or 0.0

    before = count("starts_total"), count("kills_total", reason="deadline"), count("kills_total", reason="died")
    live = count("workers")
    asker = PythonAsker(settings(tmp_path, python_workers=1, python_call_timeout_seconds=0.5))
    ask(asker, "def grade(sample, item):\n    while True: pass")
    ask(asker, EXACT)
    assert count("workers") == live + 1
    asker.close()
    after = count("starts_total"), count("kills_total", reason="deadline"), count("kills_total", reason="died")
    assert [new - old for old, new in zip(before, after, strict=True)] == [2, 1, 0]
    assert (count("workers"), count("waiting")) == (live, 0)


def test_more_sources_than_processes_take_turns(tmp_path: Path) -> None:
    asker = PythonAsker(settings(tmp_path))
    scores: dict[int, list[float | None]] = {}

    def grade(number: int) -> None:
        source = f"def grade(sample, item):\n    return {number}"
        scores[number] = [grade.score for grade in ask(asker, source, ["a"] * 20)]

    threads = [threading.Thread(target=grade, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    folders = list(tmp_path.iterdir())
    asker.close()
    assert scores == {number: [float(number)] * 20 for number in range(6)}
    assert len(folders) <= 2, "never more processes than are allowed, and their folders go with them"
    assert list(tmp_path.iterdir()) == []


def test_the_process_that_was_used_last_is_kept(tmp_path: Path) -> None:
    pool = SandboxPool(settings(tmp_path), 2)
    sources = [f"def grade(sample, item): return {number}".encode() for number in range(3)]
    first = pool.lend(sources[0], time.monotonic() + 30)
    second = pool.lend(sources[1], time.monotonic() + 30)
    with pytest.raises(NoneFreeError):
        pool.lend(sources[2], time.monotonic() + 0.05)
    pool.give_back(second)
    pool.give_back(first)
    third = pool.lend(sources[2], time.monotonic() + 30)
    assert (first.alive, second.alive) == (True, False)
    assert pool.lend(sources[0], time.monotonic() + 30) is first
    pool.give_back(third)
    pool.give_back(first)
    pool.close()


def test_closing_fails_what_is_under_way(tmp_path: Path) -> None:
    asker = PythonAsker(settings(tmp_path))
    source = "import time\ndef grade(sample, item):\n    open('running', 'w').close()\n    time.sleep(60)"
    grades: list[tuple[str, str]] = []
    thread = threading.Thread(target=lambda: grades.append(error_of(ask(asker, source))))
    thread.start()
    until_running(tmp_path)
    asker.close()
    thread.join()
    assert grades == [("PYTHON_SERVER", "the service shuts down")]
    assert error_of(ask(asker, source)) == ("PYTHON_SERVER", "the service shuts down")


UNLOCKABLE = (
    "def die_with(parent): pass\ndef lock_down(readable, writable): raise RuntimeError('Landlock is not to be had')\n"
)


def test_a_process_that_cannot_lock_itself_up_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = tmp_path / "core.py"
    core.write_text(UNLOCKABLE)
    monkeypatch.setattr(graders, "CORE_FILE", str(core))
    root = tmp_path / "folders"
    root.mkdir()
    asker = PythonAsker(settings(root))
    source = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n" + EXACT
    assert error_of(ask(asker, source)) == ("PYTHON_SERVER", "Landlock is not to be had")
    with pytest.raises(InvalidInput, match="type: Landlock is not to be had") as caught:
        asker.check(of_class(source))
    asker.close()
    assert caught.value.reason == "GRADER_KIND_UNAVAILABLE"
    assert not (tmp_path / "ran").exists()


def test_a_machine_that_cannot_lock_processes_up_grades_nothing(tmp_path: Path) -> None:
    # A locked process cannot be locked again, so it is such a machine.
    program = (
        "import sys\nfrom pathlib import Path\nfrom pinetune import _core\n"
        "from pinetune.grading.sandbox.asker import PythonAsker\nfrom pinetune.pod.errors import InvalidInput\n"
        "from tests.fakes.python_graders import EXACT, ask, settings\n"
        "asker = PythonAsker(settings(Path(sys.argv[1])))\n_core.lock_down(sys.path, sys.argv[1])\n"
        "try:\n    ask(asker, EXACT)\nexcept InvalidInput as error:\n    print(error.reason, error.metadata['field'])\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(tmp_path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    assert said == "GRADER_KIND_UNAVAILABLE type\n"


def test_this_machine_can_lock_processes_up() -> None:
    # All of the above would be refused otherwise; here is why.
    assert graders.lock_down_fault() == ""


def test_a_locked_process_cannot_be_locked_again_and_says_so(tmp_path: Path) -> None:
    program = (
        "import importlib.util as u, sys\nspec = u.spec_from_file_location('_core', sys.argv[1])\n"
        "core = u.module_from_spec(spec)\nspec.loader.exec_module(core)\nassert core.lock_down_fault() == ''\n"
        "core.lock_down([], sys.argv[2])\nprint(core.lock_down_fault())"
    )
    command = [sys.executable, "-c", program, graders.CORE_FILE, str(tmp_path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "no thread to try it in" in said


ANSWERS = {
    "a score": (b"S" + struct.pack("<d", 0.5), True),
    "a score that is none": (b"S" + struct.pack("<d", float("nan")), False),
    "a score that is too long": (b"S" + bytes(9), False),
    "a fault": (b"Fwrong", True),
    "no memory": (b"Mwrong", True),
    "a fault that is too long": (b"F" + b"x" * 5000, False),
    "nothing": (b"", False),
    "anything": (b"\x80\x04K\x01.", False),
}


@pytest.mark.parametrize(("answer", "holds"), ANSWERS.values(), ids=ANSWERS.keys())
def test_only_an_answer_is_taken_for_one(answer: bytes, holds: bool) -> None:
    assert wire.is_answer(answer) is holds


def test_a_folder_of_any_depth_is_emptied_without_following_links(tmp_path: Path) -> None:
    folder, kept = tmp_path / "folder", tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    folder.mkdir()
    (folder / "moved-0").write_text("x" * 10)
    (folder / "link").symlink_to(kept)
    here = os.getcwd()
    os.chdir(folder)
    for _ in range(40):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    os.mkdir("closed", 0)
    os.chdir(here)
    assert folders.usage(str(folder), 100)[1] == 101, "deeper than a path can say is too much"
    assert folders.usage(str(folder), 1)[1] == 2, "counting stops"
    folders.empty(str(folder))
    assert list(folder.iterdir()) == []
    assert (kept / "file").read_text() == "x"


def test_the_bytes_of_a_folder_are_those_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_bytes(b"x" * 100_000)
    size, entries = folders.usage(str(tmp_path), 100)
    assert (size >= 100_000, entries) == (True, 2)


def test_the_settings_of_a_process_are_not_left_in_its_arguments(asker: PythonAsker) -> None:
    source = "import sys\ndef grade(sample, item):\n    raise ValueError(sys.argv)"
    said = error_of(ask(asker, source))[1].splitlines()[0]
    assert json.dumps("core") not in said
    assert said.endswith("worker.py']")


@pytest.mark.parametrize(
    ("share", "cores"),
    [("max 100000", None), ("50000 100000", 1), ("100000 100000", 1), ("99900000 100000", None), ("nonsense", None)],
)
def test_a_share_of_the_cores_bounds_the_processes(tmp_path: Path, share: str, cores: int | None) -> None:
    (tmp_path / "cpu.max").write_text(f"{share}\n")
    allowed = len(os.sched_getaffinity(0))
    assert core_count(tmp_path / "cpu.max") == (cores or allowed)
    assert core_count(tmp_path / "missing") == allowed


def test_a_limit_of_a_source_that_the_core_refuses_anyway_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="less than or equal to 256000"):
        settings(tmp_path, python_source_bytes_max=256_001)
