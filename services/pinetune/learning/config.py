"""What the process of the learning service can be told by variables; what a job may set comes with its calls."""

from pydantic import Field

from pinetune.client.broadcast_group import Backend
from pinetune.pod.config import RoomSettings


class LearningSettings(RoomSettings, env_prefix="PINETUNE_LEARNING_"):
    """Settings of the learning room."""

    threads: int = Field(default=0, ge=0)
    """Cores that torch computes on; 0 leaves the number to torch."""
    broadcast_backend: Backend = "gloo"
    """What carries weights that are broadcast: TCP, or NCCL where learner and samplers have a GPU each."""
