"""The settings of the grading room: `PINETUNE_GRADING_…`."""

from pydantic import Field

from pinetune.grading.models.settings import ModelSettings
from pinetune.pod.config import RoomSettings


class GradingSettings(RoomSettings, env_prefix="PINETUNE_GRADING_"):
    """How this pod grades."""

    threads: int = Field(default=0, ge=0)
    """Threads that share the work of large batches; 0 for one a core. Calls have threads of their own."""
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
    """Failures of a model's server in a row after which it is left alone."""
    breaker_open_seconds: float = Field(default=30.0, ge=0)
    """How long it is left alone before one question tries again."""
    remote_endpoints: tuple[str, ...] = ()
    """What `remote` graders may call: `grpc://host:port` or the beginning of a URL. Nothing unless it is named here."""
    remote_concurrency: int = Field(default=16, ge=1, le=1024)
    """Calls to remote graders at once; further ones wait."""
