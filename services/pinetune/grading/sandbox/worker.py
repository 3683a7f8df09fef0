"""The process that a Python grader runs in: `python -s -P -B worker.py SETTINGS`, started by `process`.

It limits itself, locks itself up, and only then reads the source: the first frame (`wire`). From then on a frame in is
a question, a frame out its answer.

*fresh*: the source is executed anew for each question in this process, which can fork no more. *processes*: this
process never executes the source. It imports what the source imports and forks for each question; the child is
forbidden to fork, executes the source, answers through a pipe of its own and is killed. So nothing that a child does is
seen by the next.

Only the standard library: this file is started without the package, since a grader must not pay for its imports. What
lies beside it is loaded by its path.
"""

import builtins
import gc
import importlib.util
import json
import math
import numbers
import os
import resource
import signal
import sys
from types import CodeType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

FRAMES_SHOWN = 8
LINE_CHARACTERS, MESSAGE_CHARACTERS = 160, 800
FILES_OPEN_MAX = 64
STACK_BYTES = 8 * 1024**2
MODULE = "grader"
"""The name of the module that the source becomes."""
SEED = 0
NO_VALUE = 0x20 | 0x80 | 0x200
"""Flags of code whose call returns a generator, a coroutine or an asynchronous generator, whatever it says."""


def load(name: str, path: str) -> Any:
    """Import a module from its file."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no module at {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    from pinetune.grading.sandbox import wire
else:
    wire = load("wire", os.path.join(os.path.dirname(os.path.abspath(__file__)), "wire.py"))


class Source:
    """A source, compiled, and how it is asked."""

    def __init__(self, text: bytes, code: CodeType) -> None:
        self._lines = text.decode("utf-8").splitlines()
        self._code = code

    def answer(self, question: bytes, module: ModuleType) -> bytes:
        """Execute the source in a new module and ask it; whatever it raises is part of the answer."""
        # What classes look up by the name of their module, as dataclasses do, is the module of this call.
        sys.modules[MODULE] = module
        try:
            exec(self._code, module.__dict__)
            grade = module.__dict__.get("grade")
            if not callable(grade):
                return wire.FAULT + b"it defines no function grade(sample, item)"
            if question[:1] == wire.CHECK:
                return self._checked(grade)
            asked = json.loads(question[1:])
            return self._scored(grade(asked["sample"], asked["item"]))
        except MemoryError as error:
            return wire.NO_MEMORY + self._described(error)
        except BaseException as error:
            return wire.FAULT + self._described(error)

    def _checked(self, grade: object) -> bytes:
        code = getattr(grade, "__code__", None)
        if isinstance(code, CodeType):
            if code.co_flags & NO_VALUE:
                return wire.FAULT + b"grade must be a plain function that returns a float, not async and without yield"
            needed = code.co_argcount - len(getattr(grade, "__defaults__", None) or ())
            most = code.co_argcount if not code.co_flags & 0x04 else 2
            if needed > 2 or most < 2 or code.co_kwonlyargcount > len(getattr(grade, "__kwdefaults__", None) or ()):
                return wire.FAULT + b"grade must take two arguments, sample and item"
        return wire.FINE

    def _scored(self, score: object) -> bytes:
        if type(score) is not float:
            if not isinstance(score, numbers.Real):
                return wire.FAULT + f"grade returned {type_name(score)}, not a float".encode()
            score = float(score)
        if not math.isfinite(score):
            return wire.FAULT + f"grade returned {score}, which is not finite".encode()
        return wire.SCORE + wire.DOUBLE.pack(score)

    def _described(self, error: BaseException) -> bytes:
        """Return the user's frames and the message; the exception's own methods may do anything."""
        try:
            message = str.__str__(str(error))[:MESSAGE_CHARACTERS]
        except BaseException:
            message = "(its message cannot be shown)"
        shown = [f"{type_name(error)}: {message}", *self._frames(error.__traceback__)]
        return "\n".join(shown).encode("utf-8", "replace")[: wire.FAULT_BYTES_MAX].decode("utf-8", "ignore").encode()

    def _frames(self, traceback: TracebackType | None) -> list[str]:
        frames = []
        while traceback is not None:
            code, line = traceback.tb_frame.f_code, traceback.tb_lineno
            if code.co_filename == self._code.co_filename:
                text = self._lines[line - 1].strip()[:LINE_CHARACTERS] if 0 < line <= len(self._lines) else ""
                frames.append(f"  line {line}, in {code.co_name}: {text}")
            traceback = traceback.tb_next
        return frames[-FRAMES_SHOWN:]


def type_name(value: object) -> str:
    """Return the name of a value's class, whatever the class says of itself."""
    return str(type.__dict__["__name__"].__get__(type(value)))[:LINE_CHARACTERS]


def seed() -> None:
    """Have random numbers begin as in every other call, whoever imported them."""
    for name in ("random", "numpy.random"):
        if name in sys.modules:
            sys.modules[name].seed(SEED)


def serve_fresh(source: Source, channel: wire.Channel, forbidden: frozenset[str]) -> NoReturn:
    """Answer in this process, a new module with its own builtins for each question."""
    allowed = {name: value for name, value in vars(builtins).items() if name not in forbidden}
    while True:
        question = channel.receive()
        seed()
        module = ModuleType(MODULE)
        module.__dict__["__builtins__"] = allowed.copy()
        channel.send(source.answer(question, module))


def serve_processes(
    source: Source, channel: wire.Channel, core: Any, folders: Any, settings: dict[str, Any]
) -> NoReturn:
    """Answer each question in a process of its own."""
    parent = os.getpid()
    gc.collect()
    gc.freeze()
    while True:
        question = channel.receive()
        out, into = os.pipe()
        child = os.fork()
        if child == 0:
            be_child(source, question, into, parent, core, settings["call_seconds"])
        os.close(into)
        answer = wire.read_answer(out)
        os.close(out)
        # Whatever it may still be doing: its answer is given.
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        del question
        folders.empty(settings["folder"])
        channel.send(answer if wire.is_answer(answer) else how_it_ended(status))


def be_child(source: Source, question: bytes, into: int, parent: int, core: Any, call_seconds: float) -> NoReturn:
    """Answer one question and end."""
    try:
        core.die_with(parent)
        core.forbid_processes()
        os.closerange(3, into)
        os.closerange(into + 1, FILES_OPEN_MAX)
        # Opened anew: flags belong to what was opened, and would be seen by the next call.
        lead_nowhere()
        # A backstop behind the service's own deadline.
        seconds = math.ceil(call_seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        seed()
        wire.write_all(into, source.answer(question, ModuleType(MODULE)))
    finally:
        os._exit(0)


def how_it_ended(status: int) -> bytes:
    """Answer for a child that did not."""
    if not os.WIFSIGNALED(status):
        detail = f"the process of the grader ended with {os.WEXITSTATUS(status)} and without a grade"
        return wire.FAULT + detail.encode()
    name = signal.Signals(os.WTERMSIG(status)).name
    meant = {"SIGKILL": "it closed its pipe, or the machine has no memory left", "SIGXCPU": "too much processor time"}
    why = f" ({meant[name]})" if name in meant else ""
    detail = f"the process of the grader was ended by {name} without a grade{why}"
    return (wire.NO_MEMORY if name == "SIGKILL" else wire.FAULT) + detail.encode()


def limit(settings: dict[str, Any]) -> None:
    """Set the limits of the kernel. RLIMIT_NPROC is not among them: it does not bind root, the filter of calls does."""
    memory, disk = settings["memory_bytes"], settings["disk_bytes"]
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, disk),
        (resource.RLIMIT_NOFILE, FILES_OPEN_MAX),
        (resource.RLIMIT_STACK, STACK_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def take_pipes() -> wire.Channel:
    """Move the pipes away from the standard streams, which lead nowhere from now on."""
    channel = wire.Channel(os.dup(0), os.dup(1))
    lead_nowhere()
    return channel


def lead_nowhere() -> None:
    """Open the standard streams anew, on nothing."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.close(nowhere)


def preload(imported: list[tuple[str, tuple[str, ...]]]) -> None:
    """Import what the source imports, so that its calls need not. What fails here fails there, with a traceback.

    Random numbers are there before they are seeded, too: who imported them only in a call would get others each time.
    """
    for module, names in [("random", ()), *imported]:
        try:
            __import__(module, fromlist=names or None)
            if "numpy" in sys.modules:
                __import__("numpy.random")
        except BaseException:
            continue


def main() -> NoReturn:
    """Lock up, read the source, serve."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    sys.argv[1:] = []
    channel = take_pipes()
    core, sources = load("_core", settings["core"]), load("source", settings["sources"])
    folders = load("folder", settings["folders"])
    # Libraries that start threads would fail: one is all they get.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    os.environ.clear()
    os.environ.update(threads | {"HOME": settings["folder"], "TMPDIR": settings["folder"]})
    os.chdir(settings["folder"])
    try:
        core.die_with(settings["parent"])
        limit(settings)
        core.lock_down(settings["readable"], settings["folder"])
    except (RuntimeError, OSError, ValueError) as error:
        channel.send(wire.UNLOCKED + str(error).encode("utf-8", "replace"))
        os._exit(1)
    text = channel.receive()
    try:
        tree = sources.parse(text)
        source = Source(text, compile(tree, sources.FILE_NAME, "exec"))
    except SyntaxError as error:
        place = "" if error.lineno is None else f"line {error.lineno}: "
        channel.send(wire.BAD_SOURCE + f"{place}{error.msg}".encode("utf-8", "replace"))
        os._exit(0)
    except (ValueError, RecursionError, MemoryError) as error:
        channel.send(wire.BAD_SOURCE + f"it cannot be compiled: {type_name(error)}: {error}".encode("utf-8", "replace"))
        os._exit(0)
    preload(sources.imports(tree))
    if sources.why_processes(tree):
        channel.send(wire.READY + wire.PROCESSES)
        serve_processes(source, channel, core, folders, settings)
    core.forbid_processes()
    channel.send(wire.READY + wire.FRESH)
    serve_fresh(source, channel, sources.FORBIDDEN_NAMES)


if __name__ == "__main__":
    main()
