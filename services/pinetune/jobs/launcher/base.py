"""What a scheduler asks of a launcher: start the processes of some work, stop them, say which have ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pinetune.pod.server import EXIT_MISCONFIGURED

CANNOT_START = "cannot start: "
"""What stands in a pod's log before the reason why it did not start."""
PORT_UNUSABLE = "PORT_UNUSABLE"


def is_refusal(code: int) -> bool:
    """Return whether a process ended because it refused its settings."""
    return code == EXIT_MISCONFIGURED


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
    """Generation replicas that the attempt starts with."""
    threads: int | None
    """CPU threads of each process; None for all cores."""
    tensor_parallel_size: int = 1
    """GPUs that share each layer of one sampler."""
    memory_fraction: float | None = None
    """Share of a GPU's memory for a sampler; None leaves it to the sampler."""
    kv_cache_memory_bytes: int | None = None
    """Memory for a sampler's keys and values; None leaves it to the sampler."""
    max_model_tokens: int | None = None
    """Most tokens of prompt and completion together; None for the model's own limit."""
    parts_format: str = ""
    """How answers are taken apart; empty leaves it to the sampler."""
    prefix_caching: bool = True
    """Whether keys and values of prompts that begin alike are used again."""
    max_replicas: int = 0
    """Most generation replicas that `scale` may ask for; 0 for no more than `replicas`."""

    @property
    def most_replicas(self) -> int:
        """Most generation replicas that there may ever be: each of them has an address from the start."""
        return max(self.replicas, self.max_replicas)


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
        if not is_refusal(self.code) or any(PORT_UNUSABLE in line for line in self.log_lines):
            return ""
        said = [line for line in self.log_lines if CANNOT_START in line] or self.log_lines
        return said[-1].partition(CANNOT_START)[2] or said[-1] if said else "it does not say why"


@dataclass(frozen=True)
class RestartLimit:
    """How often a process that may be restarted alone is."""

    count: int
    """Restarts …"""
    seconds: float
    """… within so long, infinite for the whole attempt; the next death ends it, for what dies that often dies again."""


@dataclass(frozen=True)
class Restart:
    """A generation replica died and was started again under its address, while the attempt goes on."""

    work_id: str
    """The job or the evaluation."""
    attempt: int
    """Which start of it."""
    process: str
    """`generation-0` …"""
    code: int
    """The exit code of the one that died; negative for the signal that killed it."""
    log_lines: Sequence[str]
    """The last lines of its log."""
    count: int
    """Which restart of this process it is, of those within the limit's time."""
    limit: RestartLimit
    """How many it may have."""


class Launcher(Protocol):
    """Runs attempts. Called by one thread; no method waits for a process.

    The processes of an attempt live and die together, but for generation replicas: one that dies is started again
    alone, reachable under the same address, until it dies too often. One beyond those that the attempt began with does
    not even then end it: `pending` tells of it. On Kubernetes starting again is a container's own restart policy, seen
    in `restartCount` and `lastState`.
    """

    def launch(self, order: WorkOrder) -> None:
        """Start the processes.

        Raises a Transient where that is not possible now: called again, with the same order, it starts those that are
        missing. Any other PinetuneError says that it never will be, and none is left behind.
        """
        ...

    def stop(self, work_id: str, *, grace_seconds: float) -> None:
        """Ask the processes to end, and kill those that have not after the grace; `poll` tells when all are gone."""
        ...

    def scale(self, work_id: str, replicas: int) -> None:
        """Have so many generation replicas run, the lowest numbers; nothing where it is so, or there is no such work.

        Said again at every look, so that what does not work now is tried again. The end of one that is too many is the
        death of nothing.
        """
        ...

    def poll(self) -> Sequence[Exit | Restart]:
        """Return what happened since the last call: attempts whose processes are all gone, and replicas restarted."""
        ...

    def running(self) -> frozenset[str]:
        """Return the work that has processes, those that are being stopped included."""
        ...

    def starting(self) -> frozenset[str]:
        """Return the work whose worker has not begun: it waits for a node, its queue, an image or a volume."""
        ...

    def pending(self) -> Mapping[str, str]:
        """Return, by work, one sentence on what keeps its processes from starting, as of the last `poll`."""
        ...

    def close(self) -> None:
        """End the processes that do not outlive this service, and wait until they are gone."""
        ...
