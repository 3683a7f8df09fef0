"""What a grader, or the text that it executes, may try against the service. Each attack is tried for real.

An attack's source returns 1.0 where the harm was done and 0.0 where the system refused; anything else fails the test.
Where it does no harm here, the same source is run outside the sandbox as well and must return 1.0 there.
"""

import ast
import json
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from tests.fakes.python_graders import ask, children_of, error_of, settings, still_grades

from pinetune.grading.sandbox import source as sources
from pinetune.grading.sandbox.asker import PythonAsker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux")

RUN_OUTSIDE = "import json, sys\nexec(sys.argv[1])\nprint(grade({'output_text': ''}, json.loads(sys.argv[2])))"


@pytest.fixture(scope="module")
def asker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PythonAsker]:
    # Short, since several attacks end at it.
    asker = PythonAsker(settings(tmp_path_factory.mktemp("folders"), python_call_timeout_seconds=2.0))
    yield asker
    asker.close()


def attack(code: str, refusals: str = "OSError") -> str:
    """Return a grader that does `code`."""
    body = textwrap.indent(textwrap.dedent(code).strip(), " " * 8)
    return (
        "import ctypes, os, signal, socket, subprocess, sys, threading, time\n"
        f"def grade(sample, item):\n    try:\n{body}\n    except {refusals}:\n        return 0.0\n    return 1.0\n"
    )


def outside(source: str, item: Mapping[str, object]) -> float:
    command = [sys.executable, "-c", RUN_OUTSIDE, source, json.dumps(item)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout)


HARMLESS_HERE = {
    "read a secret beside the service": "open(item['secret']).read()",
    "read accounts": "open('/etc/passwd').read()",
    "read the first process's environment": "open('/proc/1/environ', 'rb').read()",
    "read the service's environment": "open(f'/proc/{item[\"service\"]}/environ', 'rb').read()",
    "read the service's memory map": "open(f'/proc/{item[\"service\"]}/maps').read()",
    "list the processes": "os.listdir('/proc')",
    "list the root": "os.listdir('/')",
    "write beside the service": "open(item['beside'], 'w').write('x')",
    "write to shared memory": "open('/dev/shm/pinetune-attack', 'w').close(); os.unlink('/dev/shm/pinetune-attack')",
    "change rights outside": "os.chmod(item['secret'], 0o644)",
    "change times outside": "os.utime(item['secret'])",
    "truncate outside": "os.truncate(item['scratch'], 0)",
    "link a file into the folder": "os.link(item['secret'], item['secret'] + '.link')",
    "link symbolically": "os.symlink(item['secret'], item['secret'] + '.symlink')",
    "call TCP": "socket.create_connection(('127.0.0.1', item['port']), timeout=5)",
    "send UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', item['port']))",
    "listen": "socket.socket().bind(('127.0.0.1', 0))",
    "call a unix socket": "socket.socket(socket.AF_UNIX).connect(item['unix'])",
    "call an abstract socket": "socket.socket(socket.AF_UNIX).connect('\\0' + item['abstract'])",
    "ask the kernel by netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "start a program": "subprocess.run(['/bin/true'], check=True)",
    "replace the process": "os.spawnv(os.P_WAIT, '/bin/true', ['true']) and os._exit(3); os.fork() or os._exit(0)",
    "fork": "os.fork() or os._exit(0)",
    "make a memory file": "os.memfd_create('x')",
    "signal the service": "os.kill(item['service'], 0)",
    "signal the group": "os.killpg(os.getpgrp(), 0)",
    "get file signals to the service": "import fcntl; fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, item['service'])",
    "leave the session": "os.fork() and os._exit(0) if False else os.setpgid(0, 0)",
    "set the service's limits": "import resource; resource.prlimit(item['service'], resource.RLIMIT_CORE)",
    "set the service's priority": "os.setpriority(0, item['service'], os.getpriority(0, item['service']))",
    "look at the service by pidfd": "os.pidfd_open(item['service'])",
}
REFUSED_OUTSIDE = {HARMLESS_HERE["read the first process's environment"]}
"""What the machine that tests run on may refuse to everybody."""


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    folder = tmp_path_factory.mktemp("service")
    for name in ("secret", "scratch"):
        (folder / name).write_text("the key")
    abstract = f"pinetune-{os.getpid()}"
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix, socket.socket(socket.AF_UNIX) as hidden:
        tcp.bind(("127.0.0.1", 0))
        unix.bind(str(folder / "unix"))
        hidden.bind("\0" + abstract)
        for listener in (tcp, unix, hidden):
            listener.listen(8)
        yield {
            "secret": str(folder / "secret"),
            "scratch": str(folder / "scratch"),
            "beside": str(folder / "beside"),
            "unix": str(folder / "unix"),
            "abstract": abstract,
            "port": tcp.getsockname()[1],
            "service": os.getpid(),
        }


@pytest.mark.parametrize("code", HARMLESS_HERE.values(), ids=HARMLESS_HERE.keys())
def test_what_works_outside_is_refused_inside(asker: PythonAsker, surroundings: dict[str, object], code: str) -> None:
    source = attack(code)
    assert [grade.score for grade in ask(asker, source, item=surroundings)] == [0.0]
    for left in ("secret.link", "secret.symlink", "beside"):
        (Path(str(surroundings["secret"])).parent / left).unlink(missing_ok=True)
    if code not in REFUSED_OUTSIDE:
        assert outside(source, surroundings) == 1.0


# The number of each call on x86-64 and elsewhere is the C library's business: these go through libc by name.
BY_LIBC = {
    "socket": "libc.socket(2, 1, 0)",
    "ptrace": "libc.ptrace(16, item['service'], 0, 0)",
    "process_vm_readv": "libc.process_vm_readv(item['service'], None, 0, None, 0, 0)",
    "kill": "libc.kill(item['service'], 0)",
    "fork": "libc.fork()",
    "vfork": "libc.vfork()",
    "execv": "libc.execv(b'/bin/true', None)",
    "mount": "libc.mount(b'none', b'/', b'tmpfs', 0, None)",
    "unshare": "libc.unshare(0x10000000)",
    "setns": "libc.setns(0, 0)",
    "chroot": "libc.chroot(b'.')",
    "shmget": "libc.shmget(0, 4096, 0o1600)",
    "memfd_create": "libc.memfd_create(b'x', 0)",
    "prctl": "libc.prctl(4, 1, 0, 0, 0)",
    "personality": "libc.personality(0xFFFFFFFF)",
    "mknod": "libc.mknod(b'pipe', 0o10600, 0)",
    "userfaultfd": "libc.syscall(323, 0)",
    "perf_event_open": "libc.syscall(298, None, 0, -1, -1, 0)",
    "bpf": "libc.syscall(321, 0, None, 0)",
    "io_uring_setup": "libc.syscall(425, 1, None)",
    "keyctl": "libc.syscall(250, 0, -3, 1)",
    "pidfd_getfd": "libc.syscall(438, 0, 0, 0)",
    "tgkill": "libc.syscall(234, item['service'], item['service'], 0)",
    "a system call of x32": "libc.syscall(0x40000000 + 41, 2, 1, 0)",
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="some calls are numbers of x86-64")
@pytest.mark.parametrize("call", BY_LIBC.values(), ids=BY_LIBC.keys())
def test_a_system_call_made_past_python_is_not_permitted(
    asker: PythonAsker, surroundings: dict[str, object], call: str
) -> None:
    code = f"""
        libc = ctypes.CDLL(None, use_errno=True)
        if {call} == -1:
            raise OSError(ctypes.get_errno(), 'refused')
    """
    assert [grade.score for grade in ask(asker, attack(code, "PermissionError"), item=surroundings)] == [0.0]


def test_no_other_process_can_be_killed(asker: PythonAsker) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        source = attack("os.kill(item['bystander'] or os.getppid(), signal.SIGKILL)", "PermissionError")
        for target in (bystander.pid, 0):
            assert [grade.score for grade in ask(asker, source, item={"bystander": target})] == [0.0]
        assert bystander.poll() is None
        bystander.communicate(b"\n")
    assert still_grades(asker)


def test_the_environment_says_nothing(asker: PythonAsker) -> None:
    os.environ["ATTACK_TOKEN"] = "secret"
    source = "import os\ndef grade(sample, item):\n    raise ValueError(sorted(os.environ))"
    error_class, detail = error_of(ask(asker, source))
    del os.environ["ATTACK_TOKEN"]
    assert error_class == "PYTHON_RUNTIME"
    own = ["HOME", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TMPDIR"]
    assert detail.splitlines()[0] == f"ValueError: {own}"


ENDLESS = {
    "a plain loop": "while True: pass",
    "a loop that catches everything": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "a loop that ignores signals": (
        "import signal\nfor number in range(1, 32):\n    try: signal.signal(number, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True: pass"
    ),
    "a regular expression that never ends": "import re\nre.match(r'(a+)+$', 'a' * 60 + 'b')",
    "an endless sleep": "import time\ntime.sleep(1e6)",
    "a pipe without an end": "import os\nos.read(os.pipe()[0], 1)",
}


@pytest.mark.parametrize("code", ENDLESS.values(), ids=ENDLESS.keys())
def test_what_never_ends_is_killed_at_the_deadline(asker: PythonAsker, code: str) -> None:
    source = "def grade(sample, item):\n" + textwrap.indent(code, "    ") + "\n    return 1.0"
    assert error_of(ask(asker, source))[0] == "DEADLINE"
    assert still_grades(asker)


def test_a_source_that_never_finishes_importing_is_killed_too(asker: PythonAsker) -> None:
    assert error_of(ask(asker, "while True: pass\ndef grade(sample, item): return 1.0"))[0] == "DEADLINE"
    assert still_grades(asker)


FATAL = {
    "memory in one piece": ("x = bytearray(1 << 40)", "MemoryError"),
    "memory bit by bit": ("x = []\nwhile True: x.append(bytearray(1 << 20))", "MemoryError"),
    "calls without an end": ("x = ()\nfor _ in range(10**6): x = (x,)\nhash(x)", "SIGSEGV"),
    "its own exit": ("import os\nos._exit(7)", "ended with 7"),
    "its own exit by exception": ("import sys\nsys.exit(7)", "SystemExit: 7"),
    "a null pointer": ("import ctypes\nctypes.string_at(0)", "SIGSEGV"),
    "closing every file": ("import os\nos.closerange(0, 1000)\nwhile True: pass", "SIGKILL"),
    "an abort": ("import os\nos.abort()", "without a grade"),
    "threads": ("import threading\nthreading.Thread(target=print).start()", "can't start new thread"),
    "a thread pool": (
        "import concurrent.futures as c\nc.ThreadPoolExecutor(2).submit(print)",
        "can't start new thread",
    ),
    "a process pool": ("from multiprocessing import Process\nProcess(target=print).start()", "PermissionError"),
}


@pytest.mark.parametrize(("code", "detail"), FATAL.values(), ids=FATAL.keys())
def test_what_ends_its_process_is_that_samples_error(asker: PythonAsker, code: str, detail: str) -> None:
    source = "def grade(sample, item):\n" + textwrap.indent(code, "    ") + "\n    return 1.0"
    error_class, said = error_of(ask(asker, source))
    assert (error_class, detail in said) == ("PYTHON_RUNTIME", True), said
    assert still_grades(asker)


def test_a_fork_bomb_while_importing_does_not_start(asker: PythonAsker) -> None:
    source = "import os\ntry:\n    os.fork()\n    forked = 1.0\nexcept OSError:\n    forked = 0.0\n"
    assert [grade.score for grade in ask(asker, source + "def grade(sample, item): return forked")] == [0.0]


def test_endless_output_goes_nowhere(asker: PythonAsker) -> None:
    source = (
        "import os, sys\ndef grade(sample, item):\n    for _ in range(64):\n        print('x' * (1 << 20))\n"
        "        sys.stderr.write('x' * (1 << 20))\n        os.write(1, b'x' * 4096)\n    return 0.5"
    )
    assert [grade.score for grade in ask(asker, source)] == [0.5]


@pytest.mark.parametrize(
    "value", ["'x' * (1 << 26)", "[0] * (1 << 22)", "None", "1e999", "float('nan')", "10 ** 400", "grade"]
)
def test_what_is_no_finite_float_is_an_error_of_bounded_length(asker: PythonAsker, value: str) -> None:
    error_class, detail = error_of(ask(asker, f"def grade(sample, item):\n    return {value}"))
    assert error_class == "PYTHON_RUNTIME"
    assert len(detail) < 5000


HOSTILE = {
    "str that raises": "class E(Exception):\n    def __str__(self): raise E",
    "str that is no text": "class E(Exception):\n    def __str__(self): return 5",
    "str without an end": "class E(Exception):\n    def __str__(self): return 'x' * (1 << 24)",
    "str of a class of its own": (
        "class S(str):\n    def __getitem__(self, k): raise SystemExit\n    def __str__(self): raise SystemExit\n"
        "class E(Exception):\n    def __str__(self): return S('a')"
    ),
    "repr that exits": "class E(BaseException):\n    def __repr__(self): raise SystemExit",
    "a class that lies": "class E(Exception):\n    __class__ = property(lambda self: 1 / 0)",
    "a class with a nameless class": (
        "class M(type):\n    __name__ = property(lambda c: 1 / 0)\nclass E(Exception, metaclass=M):\n    pass"
    ),
    "lone surrogates": "class E(Exception):\n    def __str__(self): return '\\ud800' * 9999",
}


@pytest.mark.parametrize("code", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_exception_is_shown_within_bounds(asker: PythonAsker, code: str) -> None:
    error_class, detail = error_of(ask(asker, f"{code}\ndef grade(sample, item):\n    raise E()"))
    assert error_class == "PYTHON_RUNTIME"
    assert len(detail) < 5000
    assert "in grade" in detail


# Each grader first does the harm, for a text "harm", and then grades honestly for "look".
TRACES = {
    "builtins": ("import builtins\nbuiltins.len = lambda x: 99", "1.0 if len('') == 99 else 0.0"),
    "json": ("import json\njson.loads = lambda x: {}", "0.0 if __import__('json').loads('[]') == [] else 1.0"),
    "its own module": ("global seen\nseen = 1", "1.0 if 'seen' in globals() else 0.0"),
    "sys.modules": ("import sys\nsys.modules['math'] = 5", "0.0 if __import__('math') != 5 else 1.0"),
    "the worker": (
        "import sys\nsys.modules['__main__'].Source._scored = lambda *a: b'F'",
        "1.0 if __import__('sys').modules['__main__'].Source._scored.__name__ == '<lambda>' else 0.0",
    ),
    "a file": ("open('left', 'w').write('x')", "1.0 if __import__('os').listdir('.') else 0.0"),
    "a deep folder": (
        "import os\nfor _ in range(15):\n    os.mkdir('d' * 200)\n    os.chdir('d' * 200)",
        "1.0 if __import__('os').listdir('.') else 0.0",
    ),
    "the working folder": (
        "import os\nos.mkdir('in')\nos.chdir('in')",
        "1.0 if __import__('os').getcwd().endswith('/in') else 0.0",
    ),
    "the environment": ("import os\nos.environ['LEFT'] = '1'", "1.0 if 'LEFT' in __import__('os').environ else 0.0"),
    "random": ("import random\nrandom.seed(5)", "1.0 if __import__('random').random() == 0.6229016948897019 else 0.0"),
    "a flag of a stream": (
        "import fcntl, os\nfcntl.fcntl(0, fcntl.F_SETFL, os.O_NONBLOCK)",
        "1.0 if __import__('fcntl').fcntl(0, 3) & __import__('os').O_NONBLOCK else 0.0",
    ),
    "the mask of files": (
        "import os\nos.umask(0)",
        "1.0 if __import__('os').umask(0o22) == 0 else 0.0",
    ),
    "an alarm": ("import signal\nsignal.alarm(1)", "__import__('time').sleep(1.2) or 0.0"),
}


@pytest.mark.parametrize(("harm", "look"), TRACES.values(), ids=TRACES.keys())
def test_nothing_that_a_call_does_reaches_the_next(tmp_path: Path, harm: str, look: str) -> None:
    source = (
        "def grade(sample, item):\n    if sample['output_text'] == 'harm':\n        exec(item['harm'], globals())\n"
        f"        return 0.5\n    return {look}"
    )
    asker = PythonAsker(settings(tmp_path, python_workers=1))
    scores = [grade.score for grade in ask(asker, source, ["harm", "look", "harm", "look"], item={"harm": harm})]
    asker.close()
    assert scores == [0.5, 0.0, 0.5, 0.0]


# A grader without `exec` that puts a text wherever a library reads one.
READS_TEXTS = """
import base64, dataclasses, datetime, html, json, re, string, textwrap, unicodedata
from collections import Counter, namedtuple
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import List, NamedTuple, TypedDict

import numpy as np

@dataclass
class Row:
    text: str

def grade(sample, item):
    text = sample["output_text"]
    reads = (
        json.loads, re.compile, re.escape, Fraction, Decimal, int, float, complex, Counter, html.unescape, np.dtype,
        np.matrix, np.array, np.datetime64, textwrap.dedent, datetime.datetime.fromisoformat, base64.b64decode,
        lambda x: namedtuple(x, [x]), lambda x: namedtuple("A", x), lambda x: NamedTuple("A", [(x, x)]),
        lambda x: TypedDict("A", {x: x}), lambda x: List[x], lambda x: dataclasses.replace(Row(x), text=x),
        lambda x: dataclasses.replace(Row(x), **json.loads(x)), lambda x: string.Template(x).substitute({x: x}),
        lambda x: "{:{}}".format(x, x), lambda x: format(1.5, x), lambda x: f"{x:{x}}", lambda x: x % {x: x},
        lambda x: x.encode(x), lambda x: b"x".decode(x), lambda x: unicodedata.normalize(x, x),
        lambda x: datetime.datetime.strptime(x, x), lambda x: np.fromstring(x, sep=" "), lambda x: hasattr(Row, x),
        lambda x: np.dtype({"names": [x], "formats": [x]}), lambda x: np.einsum(x, [1]), lambda x: re.sub(x, x, x),
    )
    for read in reads:
        try:
            read(text)
        except Exception:
            continue
    return 1.0 if text == item["answer"] else 0.0
"""
HARM = "setattr(__import__('sys').modules['__main__'].wire, 'SCORE', b'F')"
TEXTS = {
    "code": HARM,
    "code as a format": "{0.__class__.__init__.__globals__[sys].modules[json].loads}",
    "code as a template": "${__builtins__} ${x.__class__}",
    "code as a field": f"x=({HARM}), y",
    "code as a parameter": f"x):\n  {HARM}\ndef f(y",
    "code as an annotation": f"x: ({HARM})",
    "code as a key": json.dumps({"__class__": {"__reduce__": HARM}, "text": HARM, "__init__": HARM}),
    "code as a type": f"dict[{HARM}]",
    "code as a structure": f"i4, ({HARM})f8, O, V99999",
    "names of builtins": "__builtins__",
    "a name with an underscore": "_evaluate",
    "a name of full width": "\uff45\uff56\uff41\uff4c",
    "the name of a codec": "idna",
    "a codec that reads code": "unicode_escape",
    "numbers without an end": "9" * 100_000,
    "an exponent": "1e99999",
    "brackets without an end": "[" * 100_000,
    "lone surrogates and zero bytes": "\ud800\0\udfff",
    "a pattern that is wrong": "(?P<a>(?P<a>[",
    "nothing": "",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PythonAsker]:
    """One process for all texts, so that each comes after all the others."""
    root = tmp_path_factory.mktemp("shared")
    asker = PythonAsker(settings(root, python_workers=1, python_memory_bytes=1 << 30))
    ask(asker, READS_TEXTS)
    yield asker
    asker.close()


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_no_text_changes_what_the_next_is_graded_as_in_a_shared_process(shared: PythonAsker, text: str) -> None:
    starts = REGISTRY.get_sample_value("pinetune_grading_sandbox_starts_total")
    grades = ask(shared, READS_TEXTS, ["4", text, "4", "5"])
    assert [grades[place].score for place in (0, 2, 3)] == [1.0, 1.0, 0.0]
    assert grades[1].score == 0.0 or grades[1].error is not None
    assert REGISTRY.get_sample_value("pinetune_grading_sandbox_starts_total") == starts, "it was the same process"


def test_the_grader_that_reads_texts_shares_a_process_and_the_code_in_them_would_do_harm(asker: PythonAsker) -> None:
    assert sources.why_processes(ast.parse(READS_TEXTS)) == ""
    executes = "def grade(sample, item):\n    exec(sample['output_text'])\n    return 1.0"
    assert [grade.score for grade in ask(asker, executes, ["pass", HARM])] == [1.0, None]


def test_a_forged_answer_is_that_of_its_own_call_alone(tmp_path: Path) -> None:
    forge = (
        "import os, struct\nframe = b'S' + struct.pack('<d', 1.0)\nfor fd in range(3, 64):\n    for data in "
        "(struct.pack('<I', 9) + frame, frame * 1000):\n        try: os.write(fd, data)\n        except OSError: pass"
    )
    source = (
        "def grade(sample, item):\n    if sample['output_text'] == 'harm':\n        exec(item['harm'])\n    return 0.25"
    )
    asker = PythonAsker(settings(tmp_path, python_workers=1))
    grades = ask(asker, source, ["harm", "a", "harm", "b", "c"], item={"harm": forge})
    asker.close()
    assert [grades[place].score for place in (1, 3, 4)] == [0.25, 0.25, 0.25]
    assert error_of(grades[:1])[0] == error_of(grades[2:3])[0] == "PYTHON_RUNTIME"


FULL = {
    "one large file": "with open('f', 'wb') as f:\n    while True: f.write(b'x' * 65536)",
    "large files": "for n in range(9):\n    open(str(n), 'wb').write(b'x' * 3_000_000)\nimport time\ntime.sleep(60)",
    "many files": "for n in range(400):\n    open(str(n), 'w').close()\nimport time\ntime.sleep(60)",
    "files without a name": (
        "import os, time\nkept = []\nfor n in range(9):\n    kept.append(open(str(n), 'wb'))\n    os.unlink(str(n))\n"
        "    kept[-1].write(b'x' * 3_000_000)\n    kept[-1].flush()\ntime.sleep(60)"
    ),
    "files that are only mapped": (
        "import ctypes, os, time\nlibc = ctypes.CDLL(None)\nlibc.mmap.restype = ctypes.c_void_p\nfor n in range(40):\n"
        "    name = f'\\x0c \\u2028 {n}'\n    fd = os.open(name, os.O_RDWR | os.O_CREAT)\n"
        "    os.posix_fallocate(fd, 0, 3_000_000)\n"
        "    assert libc.mmap(None, ctypes.c_size_t(4096), 1, 2, fd, ctypes.c_long(0)) != 2 ** 64 - 1\n"
        "    os.close(fd)\n    os.unlink(name)\ntime.sleep(60)"
    ),
}


@pytest.mark.parametrize("code", FULL.values(), ids=FULL.keys())
def test_a_grader_that_fills_its_folder_is_stopped(tmp_path: Path, code: str) -> None:
    asker = PythonAsker(settings(tmp_path))
    source = "import os\ndef grade(sample, item):\n" + textwrap.indent(code, "    ") + "\n    return 1.0"
    error_class, detail = error_of(ask(asker, source))
    assert error_class == "PYTHON_RUNTIME"
    assert "wrote more than 4194304 bytes in 100 files" in detail or "File too large" in detail
    assert still_grades(asker)
    asker.close()
    assert list(tmp_path.iterdir()) == [], "folders go with their processes"


def test_a_list_of_maps_that_is_made_too_long_to_read_ends_its_maker(tmp_path: Path) -> None:
    asker = PythonAsker(settings(tmp_path, python_call_timeout_seconds=60.0))
    # Every other page is protected otherwise, so each is a line of its own, with a path of 3.8 kB.
    code = """
import ctypes, os, time
for level in range(15):
    os.mkdir("d" * 250)
    os.chdir("d" * 250)
pages = 1000
file = os.open("f", os.O_RDWR | os.O_CREAT)
os.ftruncate(file, pages * 4096)
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
for _ in range(4):
    begin = libc.mmap(None, ctypes.c_size_t(pages * 4096), 1, 2, file, ctypes.c_long(0))
    for page in range(0, pages, 2):
        assert libc.mprotect(ctypes.c_void_p(begin + page * 4096), ctypes.c_size_t(4096), 0) == 0
time.sleep(60)
"""
    source = "def grade(sample, item):" + textwrap.indent(code, "    ") + "    return 1.0"
    error_class, detail = error_of(ask(asker, source))
    assert error_class == "PYTHON_RUNTIME"
    assert "wrote more than" in detail
    assert still_grades(asker)
    asker.close()


def test_a_file_without_a_name_may_be_mapped_within_the_limit(tmp_path: Path) -> None:
    asker = PythonAsker(settings(tmp_path))
    source = (
        "import mmap, tempfile, time\ndef grade(sample, item):\n    with tempfile.TemporaryFile() as file:\n"
        "        file.truncate(1_000_000)\n        mapped = mmap.mmap(file.fileno(), 4096)\n    time.sleep(0.5)\n"
        "    return mapped[0] + 0.5"
    )
    assert [grade.score for grade in ask(asker, source)] == [0.5]
    asker.close()


def test_a_folder_that_cannot_be_emptied_costs_the_grade_of_who_made_it(tmp_path: Path) -> None:
    asker = PythonAsker(settings(tmp_path, python_workers=1))
    source = (
        "import os\ndef grade(sample, item):\n    left = len(os.listdir('.'))\n"
        "    if sample['output_text'] == 'harm':\n"
        "        os.mkdir('closed', 0o300)\n        open('closed/file', 'w').close()\n    return left"
    )
    grades = ask(asker, source, ["look", "harm", "look", "harm", "look"])
    asker.close()
    assert [grade.score for grade in grades] == [0.0, None, 0.0, None, 0.0]
    assert list(tmp_path.iterdir()) == []


def test_the_processes_end_when_the_service_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom pinetune.grading.sandbox.asker import PythonAsker\n"
        "from tests.fakes.python_graders import ask, settings\n"
        "asker = PythonAsker(settings(Path(sys.argv[1]), python_workers=1))\n"
        "ask(asker, 'import os\\ndef grade(s, i): return 1.0')\n"
        "print('ready', flush=True)\n"
        "ask(asker, 'import os\\ndef grade(s, i):\\n    while True: pass')\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    ) as service:
        assert service.stdout is not None
        service.stdout.readline()
        until = time.monotonic() + 30
        while not (workers := children_of(service.pid)) or not any(map(children_of, workers)):
            assert time.monotonic() < until, "the grader never ran"
            time.sleep(0.02)
        everybody = workers + [child for worker in workers for child in children_of(worker)]
        service.kill()
    while any(Path(f"/proc/{process}").exists() and _state(process) != "Z" for process in everybody):
        assert time.monotonic() < until, "a process outlived the service"
        time.sleep(0.02)


def test_no_dead_process_is_left_to_the_first_process_of_a_container(tmp_path: Path) -> None:
    # Who is PR_SET_CHILD_SUBREAPER is given orphans as a container's first process is.
    program = (
        "import ctypes, os, sys\nfrom pathlib import Path\nfrom pinetune.grading.sandbox.asker import PythonAsker\n"
        "from tests.fakes.python_graders import ask, children_of, error_of, settings\n"
        "assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0\n"
        "asker = PythonAsker(settings(Path(sys.argv[1]), python_workers=1, python_call_timeout_seconds=0.3))\n"
        "source = 'import os\\ndef grade(s, i):\\n    while True: pass'\n"
        "for _ in range(3):\n    print(error_of(ask(asker, source))[0])\n"
        "asker.close()\nprint(children_of(os.getpid()))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(tmp_path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    assert said.splitlines() == ["DEADLINE"] * 3 + ["[]"]


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
