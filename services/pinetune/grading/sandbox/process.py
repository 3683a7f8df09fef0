"""One process that runs a Python grader, as the service sees it: started, asked, watched, killed.

The process belongs to one source for as long as it lives. It is hostile: whatever comes back is bounded and checked, no
wait is without an end, and its end is SIGKILL for its whole session, of which nothing is left behind.
"""

import contextlib
import enum
import json
import math
import os
import select
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from concurrent.futures import Executor
from pathlib import Path

from pinetune.grading import graders, metrics
from pinetune.grading.config import GradingSettings
from pinetune.grading.sandbox import folder as folders
from pinetune.grading.sandbox import source as sources
from pinetune.grading.sandbox import wire
from pinetune.grading.sandbox.limits import named

WATCH_SECONDS = 0.05
"""How often the private folder is looked at while an answer is waited for."""
REAP_SECONDS = 10.0
"""How long the kernel is given to end what was killed; it takes milliseconds unless a disk hangs."""
WORKER_FILE = str(Path(__file__).with_name("worker.py"))
NEVER = threading.Event()
"""For who never gives up before the deadline."""
PIPE_BYTES = 1 << 16
# Libraries, time zones and what the loader reads; neither settings nor secrets, nor /proc.
READABLE = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"),
    *("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo", "/dev/urandom"),
)

CORE_RESERVE_KIB = "16384"
"""Address space that the core's allocator takes at a time, in KiB."""


class End(enum.StrEnum):
    """Why a process ended before its time."""

    DEADLINE = "deadline"
    """It was killed for want of an answer."""
    CANCELLED = "cancelled"
    """It was killed because nobody waits for its answer any more."""
    DISK = "disk"
    """It was killed for what it wrote to its folder."""
    MEMORY = "memory"
    """It was killed from outside, as the kernel does where the machine has no memory left."""
    DIED = "died"
    """It ended by itself."""
    PROTOCOL = "protocol"
    """It was killed for an answer that is none."""


class EndedError(Exception):
    """The process has ended, by itself or by us; `reason` says which."""

    def __init__(self, reason: End, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class BadSourceError(Exception):
    """The source cannot be compiled; the message says line and fault."""


class UnlockedError(Exception):
    """The process could not lock itself up, so it runs nothing; the message says why."""


class Sandbox:
    """A running process with its folder; used by one thread at a time, but killed by any."""

    def __init__(self, source: bytes, settings: GradingSettings, starter: Executor, deadline: float) -> None:
        """Start it and wait until it has read `source`; `starter` is a thread that lives longer than the process.

        Raises BadSourceError, UnlockedError, EndedError, and OSError where no process can be started.
        """
        self.source = source
        self._settings = settings
        self._writes = True
        self._killing = threading.Lock()
        self._alive = True
        self._ended_with = -signal.SIGKILL.value
        self._cancelled = NEVER
        self._folder = tempfile.mkdtemp(prefix="pinetune-grader-", dir=settings.python_temporary_root)
        try:
            # The kernel kills a process when the *thread* that started it ends.
            self._process = starter.submit(self._start).result()
        except BaseException:
            os.rmdir(self._folder)
            raise
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._into, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._into, False)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._out, select.POLLIN)
        self._writable.register(self._into, select.POLLOUT)
        metrics.SANDBOX_STARTS.inc()
        metrics.SANDBOX_WORKERS.inc()
        try:
            self._writes = self._greeted(deadline)
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._alive

    @property
    def forks(self) -> bool:
        """Whether each call has a process of its own, False where a fresh namespace is enough."""
        return self._writes

    def exchange(self, question: bytes, deadline: float, cancelled: threading.Event = NEVER) -> bytes:
        """Return the answer to a question (its kind and body), checked; raises EndedError, and the process is gone."""
        self._cancelled = cancelled
        try:
            self._send(question, deadline)
            answer = self._receive(deadline)
        except BaseException:
            # An answer that was not read would be taken for that to the next question.
            self._reap()
            raise
        if not wire.is_answer(answer):
            raise self._end(End.PROTOCOL, "the process gave an answer that is none")
        return answer

    def kill(self) -> None:
        """End it at once; whoever waits for it sees EndedError and closes it."""
        with self._killing:
            if self._alive:
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it and remove its folder."""
        self._reap()
        with contextlib.suppress(OSError):
            folders.empty(self._folder)
            os.rmdir(self._folder)

    def _start(self) -> "subprocess.Popen[bytes]":
        paths = sysconfig.get_paths()
        settings = {
            "core": graders.CORE_FILE,
            "sources": sources.__file__,
            "folders": folders.__file__,
            "parent": os.getpid(),
            "folder": self._folder,
            "readable": [*READABLE, *(paths[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib"))],
            "memory_bytes": self._settings.python_memory_bytes,
            "disk_bytes": self._settings.python_disk_bytes,
            "call_seconds": self._settings.python_call_timeout_seconds,
        }
        # -s and -P: no modules of the user or of the working folder; -B: nothing is written beside the libraries. No
        # variable is handed on; those that are set make the order of sets the same in every process, and keep the
        # core's allocator from reserving a GiB of the address space.
        return subprocess.Popen(
            [sys.executable, "-s", "-P", "-B", WORKER_FILE, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONHASHSEED": "0", "MIMALLOC_ARENA_RESERVE": CORE_RESERVE_KIB},
            cwd=self._folder,
            start_new_session=True,
            bufsize=0,
        )

    def _greeted(self, deadline: float) -> bool:
        """Hand the source over; return whether calls get processes."""
        self._send(self.source, deadline)
        greeting = self._receive(deadline)
        kind, rest = greeting[:1], greeting[1:]
        if kind == wire.BAD_SOURCE:
            raise BadSourceError(rest.decode("utf-8", "replace"))
        if kind == wire.UNLOCKED:
            raise UnlockedError(rest.decode("utf-8", "replace"))
        if kind != wire.READY or rest not in (wire.FRESH, wire.PROCESSES):
            raise self._end(End.PROTOCOL, "the process greeted with other than it must")
        return rest == wire.PROCESSES

    def _send(self, payload: bytes, deadline: float) -> None:
        rest = memoryview(wire.LENGTH.pack(len(payload)) + payload)
        while rest:
            try:
                rest = rest[os.write(self._into, rest) :]
            except BlockingIOError:
                self._wait(self._writable, deadline)
            except BrokenPipeError:
                return  # It has ended; the answer that does not come says how.

    def _receive(self, deadline: float) -> bytes:
        data = b""
        while len(data) < wire.LENGTH.size or len(data) < wire.LENGTH.size + wire.LENGTH.unpack_from(data)[0]:
            self._wait(self._readable, deadline)
            more = os.read(self._out, PIPE_BYTES)
            if not more:
                raise self._died()
            data += more
            if len(data) >= wire.LENGTH.size and wire.LENGTH.unpack_from(data)[0] > wire.ANSWER_BYTES_MAX:
                raise self._end(End.PROTOCOL, "the process gave an answer of more bytes than an answer has")
        if len(data) != wire.LENGTH.size + wire.LENGTH.unpack_from(data)[0]:
            raise self._end(End.PROTOCOL, "the process gave more than one answer")
        return data[wire.LENGTH.size :]

    def _wait(self, ready: "select.poll", deadline: float) -> None:
        """Wait until the pipe is ready, watching over deadline, caller and folder."""
        while True:
            if self._cancelled.is_set():
                raise self._end(End.CANCELLED, "nobody waits for the answer any more")
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise self._end(End.DEADLINE, "the process did not answer in time")
            if ready.poll(math.ceil(min(remaining, WATCH_SECONDS) * 1000)):
                return
            if self._writes:
                self._watch()

    def _watch(self) -> None:
        settings = self._settings
        named_bytes, entries = folders.usage(self._folder, settings.python_files_max)
        size = named_bytes + folders.nameless_bytes(self._process.pid, self._folder)
        if size > settings.python_disk_bytes or entries > settings.python_files_max:
            limits = f"{settings.python_disk_bytes} bytes in {settings.python_files_max} files"
            of = " and ".join(named(settings, field) for field in ("python_disk_bytes", "python_files_max"))
            raise self._end(End.DISK, f"the grader wrote more than {limits}; {of}")

    def _died(self) -> EndedError:
        code = self._reap()
        if code == -signal.SIGKILL:
            return self._ended(End.MEMORY, "the process was killed from outside; the machine may have no memory left")
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with {code}"
        return self._ended(End.DIED, f"the process of the grader ended {how}")

    def _end(self, reason: End, detail: str) -> EndedError:
        self._reap()
        return self._ended(reason, detail)

    def _ended(self, reason: End, detail: str) -> EndedError:
        metrics.SANDBOX_KILLS.labels(reason).inc()
        return EndedError(reason, detail)

    def _reap(self) -> int:
        """Kill the whole session and return how its leader ended: a code, or a signal as a negative number."""
        with self._killing:
            if self._alive:
                # Before the leader is waited for: until then nobody else can have its number.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._ended_with = _reap_session(self._process)
                self._alive = False
                metrics.SANDBOX_WORKERS.dec()
                for pipe in (self._process.stdin, self._process.stdout):
                    if pipe is not None:
                        pipe.close()
        return self._ended_with


def _reap_session(leader: "subprocess.Popen[bytes]") -> int:
    """Wait for a session that was killed; return how its leader ended, SIGKILL where the kernel has yet to end it."""
    until = time.monotonic() + REAP_SECONDS
    try:
        code = leader.wait(REAP_SECONDS)
    except subprocess.TimeoutExpired:
        return -signal.SIGKILL  # subprocess itself looks for it again whenever another process is started.
    # A child that the leader left behind goes to the first process of the container, which may be this one. Its group
    # keeps the leader's number from being given to another until then.
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < until:
            if os.waitpid(-leader.pid, os.WNOHANG)[0] == 0:
                time.sleep(0.001)
    return code
