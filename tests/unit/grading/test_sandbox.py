"""Python graders: what a source is checked for, how it is run, and what becomes of a batch when processes end."""

import ast
import json
import os
import re
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from tests.fakes.python_graders import EXACT, EXACT_FORKED, ask, error_of, settings, still_grades

from pinetune.grading import graders
from pinetune.grading.sandbox import folder as folders
from pinetune.grading.sandbox import source as sources
from pinetune.grading.sandbox import worker
from pinetune.grading.sandbox.asker import PythonAsker
from pinetune.grading.sandbox.pool import NoneFreeError, SandboxPool
from pinetune.pod.errors import InvalidInput

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux")


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PythonAsker]:
    asker = PythonAsker(settings(tmp_path_factory.mktemp("folders")))
    yield asker
    asker.close()


def of_class(source: str) -> dict[str, str]:
    return {"type": "python", "source": source}


FRESH = {
    "nothing but builtins": "def grade(sample, item):\n    return float(len(sample['output_text']))",
    "modules and their names": "import json, re as r\nfrom math import isclose\nx = json.loads\ny = r.compile('a')",
    "modules in modules": "import numpy as np\nx = np.linalg.norm",
    "abstract classes": "import collections.abc\nfrom collections import Counter\nx = collections.abc.Mapping",
    "a class with state of its own": "class A:\n    def __init__(self):\n        self.x = 1\n        self.x += 1",
    "annotations": "from __future__ import annotations\nfrom typing import Any\nx: Any = 1",
}


@pytest.mark.parametrize("source", FRESH.values(), ids=FRESH.keys())
def test_a_source_that_turns_no_text_into_code_shares_a_process(source: str) -> None:
    assert sources.why_processes(ast.parse(source)) == ""


PROCESSES = {
    "exec": ("exec('1')", "uses exec"),
    "eval under another name": ("f = eval", "uses eval"),
    "an import by name": ("__import__('os')", "uses __import__"),
    "a system module": ("import os", "imports os"),
    "a system module, hidden": ("def f():\n    from subprocess import run", "imports subprocess"),
    "a module that evaluates": ("import sympy", "imports sympy"),
    "a submodule of a known one": ("import json.decoder", "imports json.decoder"),
    "everything of a module": ("from json import *", "imports * from json"),
    "a module of a module": ("import json\njson.codecs.open('x')", "uses json.codecs"),
    "a private module of a module": ("import random\nrandom._os", "uses random._os"),
    "a private module by import": ("from random import _os", "imports _os from random"),
    "a name that evaluates": ("import typing\ntyping.get_type_hints", "uses typing.get_type_hints"),
    "a name that runs others": ("from operator import methodcaller", "imports methodcaller from operator"),
    "state of a module": ("import decimal\ndecimal.getcontext", "uses decimal.getcontext"),
    "a changed module": ("import json\njson.loads = None", "changes an attribute"),
    "a changed class": ("from fractions import Fraction\nFraction.x = 1", "changes an attribute"),
    "a deleted attribute": ("import json\ndel json.loads", "changes an attribute"),
    "a module as a value": ("import json\nx = json", "passes a module on"),
    "a submodule as a value": ("import numpy as np\nf(np.linalg)", "passes a module on"),
    "a module under a used name": ("import json\njson = 5", "changes json"),
    "attributes by name": ("getattr(1, 'real')", "uses getattr"),
    "the way to the classes": ("().__class__.__bases__", "uses __"),
    "the way to the frames": ("def f(e):\n    return e.tb_frame", "uses tb_frame"),
    "the builtins": ("__builtins__['eval']", "uses __builtins__"),
    "a file": ("open('x')", "uses open"),
    "a file by an array": ("import numpy as np\nnp.zeros(1).dump('x')", "uses dump"),
    "shared tables": ("import numpy as np\nnp.sctypeDict['x'] = 1", "uses numpy.sctypeDict"),
    "a file by numpy": ("import numpy as np\nnp.load('x')", "uses numpy.load"),
    "a relative import": ("from . import x", "beside itself"),
}


@pytest.mark.parametrize(("source", "why"), PROCESSES.values(), ids=PROCESSES.keys())
def test_any_other_source_gets_a_process_for_each_call(source: str, why: str) -> None:
    assert why in sources.why_processes(ast.parse(source))


def test_every_name_that_is_left_out_exists() -> None:
    # A misspelt name would leave nothing out.
    for module, left_out in sources.WITHOUT.items():
        loaded = pytest.importorskip(module)
        missing = {name for name in left_out if not hasattr(loaded, name)}
        assert missing <= {"file_digest", "call"}, f"{module}: {missing}"


def test_a_fresh_namespace_has_no_builtin_that_runs_text(asker: PythonAsker) -> None:
    # Behind the reading of the source stands a second wall: the names are not there.
    source = "def grade(sample, item):\n    return float(len([n for n in dir(b) if n in item['names']]))\nb = 5"
    assert "eval" in sources.FORBIDDEN_NAMES
    assert [grade.score for grade in ask(asker, source, item={"names": ["eval"]})] == [0.0]


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


BAD = {
    "no Python": ("def grade(sample, item:\n    return 1", "line 1: '(' was never closed"),
    "a zero byte": ("x = 1\0", "source code string cannot contain null bytes"),
    "nested too deep": ("(" * 5000 + ")" * 5000, "too many nested parentheses"),
    "no grade": ("def score(sample, item): return 1.0", "it defines no function grade(sample, item)"),
    "grade is no function": ("grade = 1.0", "it defines no function grade(sample, item)"),
    "one argument": ("def grade(sample): return 1.0", "must take two arguments"),
    "three arguments": ("def grade(sample, item, more): return 1.0", "must take two arguments"),
    "a needed keyword": ("def grade(sample, item, *, more): return 1.0", "must take two arguments"),
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


def test_a_source_that_never_ends_is_refused_in_time(tmp_path: Path) -> None:
    asker = PythonAsker(settings(tmp_path, python_start_timeout_seconds=1.0))
    with pytest.raises(InvalidInput, match="for at most 1 seconds"):
        asker.check(of_class("while True: pass"))
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
    until = time.monotonic() + 30
    while not list(tmp_path.glob("*/running")):
        assert time.monotonic() < until
        time.sleep(0.01)
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
    "a fault that is too long": (b"F" + b"x" * 5000, False),
    "nothing": (b"", False),
    "anything": (b"\x80\x04K\x01.", False),
}


@pytest.mark.parametrize(("answer", "holds"), ANSWERS.values(), ids=ANSWERS.keys())
def test_only_an_answer_is_taken_for_one(answer: bytes, holds: bool) -> None:
    assert worker.is_answer(answer) is holds


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
