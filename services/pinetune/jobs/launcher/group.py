"""The processes of one attempt on this machine. They live and die together: the first to end takes the others along.

Generation replicas are the exception: one that dies is started again alone, with its ports, as often as is allowed.
"""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pinetune.jobs.launcher.base import Exit, Restart, RestartLimit, is_refusal

log = logging.getLogger(__name__)

LOG_LINES_MAX = 15
LOG_BYTES_MAX = 16 * 1024
LINE_CHARACTERS_MAX = 400


@dataclass(frozen=True)
class ProcessPlan:
    """One process to start."""

    name: str
    """`learning`, `generation-0`, `worker` …; names its log file."""
    room: str
    """The room it is of, as metrics call it."""
    command: Sequence[str]
    """Program and arguments."""
    environment: Mapping[str, str]
    """All of its environment."""
    metrics_port: int
    """Where its /metrics is."""
    restarts_alone: bool = False
    """Whether it is started again by itself when it dies; else the attempt ends with it."""


@dataclass(frozen=True)
class RunningProcess:
    """A process that was started."""

    plan: ProcessPlan
    """What was asked for."""
    popen: "subprocess.Popen[bytes]"
    """The process; its stdin is a pipe whose end tells it that we are gone."""
    log_file: Path
    """What it writes to stdout and stderr."""


class ProcessGroup:
    """One attempt's processes."""

    def __init__(
        self,
        work_id: str,
        attempt: int,
        *,
        log_folder: Path,
        stop_grace_seconds: float,
        restart_limit: RestartLimit,
    ) -> None:
        self.work_id = work_id
        self.attempt = attempt
        self.processes: list[RunningProcess] = []
        """Those that were started, the worker last."""
        self._log_folder = log_folder
        self._stop_grace_seconds = stop_grace_seconds
        self._restart_limit = restart_limit
        self._restart_times: dict[str, list[float]] = {}
        self._first: RunningProcess | None = None
        self._kill_time: float | None = None

    def start(self, plan: ProcessPlan) -> None:
        """Start a process; raises OSError where that is not possible."""
        self.processes.append(self._started(plan))

    def _started(self, plan: ProcessPlan) -> RunningProcess:
        self._log_folder.mkdir(parents=True, exist_ok=True)
        path = self._log_folder / f"{plan.name}-{self.attempt}.log"
        with path.open("ab") as log_file:
            popen = subprocess.Popen(
                plan.command,
                env=dict(plan.environment),
                stdin=subprocess.PIPE,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                # A Ctrl-C at the terminal is for us; the children are stopped in order.
                start_new_session=True,
            )
        return RunningProcess(plan, popen, path)

    def stop(self, *, grace_seconds: float) -> None:
        """Ask all to end; `poll` kills those that have not after the grace. A second call may only shorten it."""
        kill_time = time.monotonic() + grace_seconds
        if self._kill_time is not None:
            # Not told twice: a pod that is stopping takes a second signal for an order to break that off.
            self._kill_time = min(kill_time, self._kill_time)
            return
        self._kill_time = kill_time
        for process in self._alive():
            _close_stdin(process)
            process.popen.send_signal(signal.SIGTERM)

    def restart_dead(self) -> list[Restart]:
        """Start generation replicas again that died, unless the attempt ends anyhow; `poll` ends it where none may."""
        ended = [process for process in self.processes if process.popen.poll() is not None]
        stopping = self._first is not None or self._kill_time is not None
        if stopping or not all(self._may_restart(process) for process in ended):
            return []
        return [restart for process in ended if (restart := self._restarted(process)) is not None]

    def _may_restart(self, process: RunningProcess) -> bool:
        # What refuses its settings, its port among them, would do so again.
        if not process.plan.restarts_alone or is_refusal(process.popen.returncode):
            return False
        since = time.monotonic() - self._restart_limit.seconds
        recent = [moment for moment in self._restart_times.get(process.plan.name, ()) if moment > since]
        self._restart_times[process.plan.name] = recent
        return len(recent) < self._restart_limit.count

    def _restarted(self, process: RunningProcess) -> Restart | None:
        """Start a process again; None where that is not possible, which ends the attempt."""
        code, lines = process.popen.returncode, last_lines(process.log_file)
        _close_stdin(process)
        try:
            successor = self._started(process.plan)
        except OSError:
            log.exception("%s of %s cannot be started again", process.plan.name, self.work_id)
            return None
        self.processes[self.processes.index(process)] = successor
        times = self._restart_times[process.plan.name]
        times.append(time.monotonic())
        return Restart(
            self.work_id, self.attempt, process.plan.name, code, lines, count=len(times), limit=self._restart_limit
        )

    def poll(self) -> Exit | None:
        """Look after the processes; returns the attempt's exit once all are gone."""
        alive = self._alive()
        ended = [process for process in self.processes if process.popen.returncode is not None]
        if ended and self._first is None:
            # The worker's own end is the planned one; where several went together it is the one to blame least.
            self._first = min(ended, key=lambda process: process.plan.name == "worker" and len(ended) > 1)
            if alive:
                self.stop(grace_seconds=self._stop_grace_seconds)
        if alive and self._kill_time is not None and time.monotonic() >= self._kill_time:
            for process in alive:
                process.popen.kill()
        if alive or self._first is None:
            return None
        for process in self.processes:
            _close_stdin(process)
        code = self._first.popen.returncode
        return Exit(self.work_id, self.attempt, self._first.plan.name, code, last_lines(self._first.log_file))

    def kill(self) -> None:
        """Kill all that are left and wait for their end."""
        for process in self._alive():
            process.popen.kill()
        for process in self.processes:
            process.popen.wait()
            _close_stdin(process)

    def _alive(self) -> list[RunningProcess]:
        return [process for process in self.processes if process.popen.poll() is None]


def last_lines(path: Path) -> list[str]:
    """Return the last lines of a log, long ones cut; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LOG_BYTES_MAX))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError as error:
        log.warning("no log to show", extra={"path": str(path), "error": str(error)})
        return []
    return [line[:LINE_CHARACTERS_MAX] for line in lines if line.strip()][-LOG_LINES_MAX:]


def _close_stdin(process: RunningProcess) -> None:
    stdin = process.popen.stdin
    if stdin is not None and not stdin.closed:
        stdin.close()
