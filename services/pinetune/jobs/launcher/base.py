"""What a scheduler asks of a launcher: start the processes of some work, stop them, say which have ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pinetune.pod.server import EXIT_MISCONFIGURED

CANNOT_START = "cannot start: "
"""What stands in a pod's log before the reason why it did not start."""
PORT_UNUSABLE = "PORT_UNUSABLE"


@dataclass(frozen=True)
class Engine:
    """Where and how precisely to compute."""

    name: str
    """`transformers` or `vllm`."""
    device: str
    """`auto`, `cpu` or `cuda`."""
    dtype: str
    """`float32` or `bfloat16`."""
    replicas: int
    """Generation replicas."""
    threads: int | None
    """CPU threads of each process; None for all cores."""


@dataclass(frozen=True)
class WorkOrder:
    """One attempt of a job or an evaluation, as a launcher needs to know it."""

    work_id: str
    """The job or the evaluation."""
    attempt: int
    """Which start of it this is."""
    learns: bool
    """True for a job, which needs a learning service; an evaluation needs none."""
    model_uri: str
    """Folder or hub id that generation starts from."""
    makes_model: bool
    """True where that folder is made by the job itself, so that generation waits for it."""
    engine: Engine
    """Where to compute."""


@dataclass(frozen=True)
class Exit:
    """The end of an attempt's processes."""

    work_id: str
    """The job or the evaluation."""
    attempt: int
    """Which start of it."""
    process: str
    """The one that ended first and so ended the others: `worker` as planned, `learning`, `generation-0` …"""
    code: int
    """Its exit code; negative for the signal that killed it."""
    log_lines: Sequence[str]
    """The last lines of its log."""

    @property
    def refusal(self) -> str:
        """What a process says that refused its settings, as its successor would too; empty for any other end."""
        # A port may be taken between its choice and its use; the successor gets another.
        if self.code != EXIT_MISCONFIGURED or any(PORT_UNUSABLE in line for line in self.log_lines):
            return ""
        said = [line for line in self.log_lines if CANNOT_START in line] or self.log_lines
        return said[-1].partition(CANNOT_START)[2] or said[-1] if said else "it does not say why"


class Launcher(Protocol):
    """Runs attempts. Called by one thread; no method waits for a process."""

    def launch(self, order: WorkOrder) -> None:
        """Start the processes; raises a PinetuneError where that is not possible, and leaves none behind."""
        ...

    def stop(self, work_id: str, *, grace_seconds: float) -> None:
        """Ask the processes to end, and kill those that have not after the grace; `poll` tells when all are gone."""
        ...

    def poll(self) -> list[Exit]:
        """Return the attempts whose processes are all gone since the last call."""
        ...

    def running(self) -> frozenset[str]:
        """Return the work that has processes, those that are being stopped included."""
        ...

    def pending(self) -> Mapping[str, str]:
        """Return, by work, one sentence on what keeps its processes from starting, as of the last `poll`."""
        ...

    def close(self) -> None:
        """End the processes that do not outlive this service, and wait until they are gone."""
        ...
