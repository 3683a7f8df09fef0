"""The settings of the grading room: `PINETUNE_GRADING_…`."""

from pathlib import Path

from pydantic import Field

from pinetune.grading.models.settings import ModelSettings
from pinetune.grading.remote.settings import RemoteToken
from pinetune.pod.config import RoomSettings


class GradingSettings(RoomSettings, env_prefix="PINETUNE_GRADING_"):
    """How this pod grades."""

    threads: int = Field(default=0, ge=0)
    """Threads that share the work of large batches; 0 for one a core. Calls have threads of their own."""
    python_workers: int = Field(default=0, ge=0)
    """Processes that run Python graders, 0 for one a core, or for the share of cores that a container is given."""
    python_source_bytes_max: int = Field(default=256_000, ge=1, le=256_000)
    """Longest source of a Python grader; the core itself refuses more."""
    python_call_timeout_seconds: float = Field(default=120.0, gt=0, le=3600)
    """How long a Python grader may take for one sample."""
    python_start_timeout_seconds: float = Field(default=60.0, gt=0, le=3600)
    """How long a process may take until it has read a source and imported what the source imports."""
    python_memory_bytes: int = Field(default=2 * 1024**3, ge=128 * 1024**2)
    """Address space of a process that runs a Python grader."""
    python_disk_bytes: int = Field(default=1024**3, ge=1024**2)
    """What a Python grader may write to its private folder."""
    python_files_max: int = Field(default=10_000, ge=1)
    """How many files and folders a Python grader may have in its private folder."""
    python_temporary_root: Path | None = None
    """Where the private folders are made; the system's place for temporary files by default."""
    models: dict[str, ModelSettings] = Field(default_factory=dict)
    """Judge models by the name that graders use: tables of the settings file, or one JSON object."""
    embedding_model: ModelSettings | None = None
    """The model behind `text_similarity` by cosine; None refuses such graders."""
    model_attempts: int = Field(default=3, ge=1)
    """Times that a model is asked for one grade, in all and whatever failed."""
    model_pause_seconds: float = Field(default=0.5, ge=0)
    """Pause before the second attempt; it doubles with every further one."""
    model_pause_seconds_max: float = Field(default=20.0, ge=0)
    """Longest pause, unless the server itself asks for a longer one."""
    breaker_failure_count: int = Field(default=5, ge=1)
    """Failures in a row after which a model is left alone; each model of a server is counted by itself."""
    breaker_open_seconds: float = Field(default=30.0, ge=0)
    """How long it is left alone before one question tries again."""
    remote_endpoints: tuple[str, ...] = ()
    """What `remote` graders may call: `grpc://host:port` or the beginning of a URL. Nothing unless it is named here."""
    remote_tokens: dict[str, RemoteToken] = Field(default_factory=dict)
    """Where the token is that a remote grader is shown, by its entry of `remote_endpoints`; others are shown none."""
    remote_concurrency: int = Field(default=16, ge=1, le=1024)
    """Calls to one server of remote graders at once; further ones wait."""
