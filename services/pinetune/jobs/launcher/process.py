"""One process of an attempt on this machine: what is to be started, what runs, and the end of its log."""

import logging
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    grpc_port: int
    """Where it serves."""
    metrics_port: int
    """Where its /metrics is."""
    restarts_alone: bool = False
    """Whether it is started again by itself when it dies; else the attempt ends with it."""

    @property
    def ports(self) -> tuple[int, int]:
        """All that it listens on."""
        return self.grpc_port, self.metrics_port


@dataclass(frozen=True)
class RunningProcess:
    """A process that was started."""

    plan: ProcessPlan
    """What was asked for."""
    popen: "subprocess.Popen[bytes]"
    """The process; its stdin is a pipe whose end tells it that we are gone."""
    log_file: Path
    """What it writes to stdout and stderr."""

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def tell_to_end(self) -> None:
        """Ask it to end. Once only: a pod that is stopping takes a second signal for an order to break that off."""
        self.let_go()
        self.popen.send_signal(signal.SIGTERM)

    def let_go(self) -> None:
        """Close its stdin."""
        stdin = self.popen.stdin
        if stdin is not None and not stdin.closed:
            stdin.close()


def start_process(plan: ProcessPlan, log_file: Path) -> RunningProcess:
    """Start a process that adds what it writes to a log; raises OSError where that is not possible."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as file:
        popen = subprocess.Popen(
            plan.command,
            env=dict(plan.environment),
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            # A Ctrl-C at the terminal is for us; the children are stopped in order.
            start_new_session=True,
        )
    return RunningProcess(plan, popen, log_file)


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
