"""The settings of the grading room: `PINETUNE_GRADING_…`."""

from pydantic import Field

from pinetune.pod.config import RoomSettings


class GradingSettings(RoomSettings, env_prefix="PINETUNE_GRADING_"):
    """How this pod grades."""

    threads: int = Field(default=0, ge=0)
    """Threads that share the work of large batches; 0 for one a core. Calls have threads of their own."""
