"""What the process of the learning service can be told by variables; what a job may set comes with its calls."""

from typing import Literal

from pydantic import Field

from pinetune.pod.config import RoomSettings


class LearningSettings(RoomSettings, env_prefix="PINETUNE_LEARNING_"):
    """Settings of the learning room."""

    threads: int = Field(default=0, ge=0)
    """Cores that torch computes on; 0 leaves the number to torch."""
    value_head: Literal["zero", "random"] = "zero"
    """How a value head begins: with all values 0, or drawn at random as in ReFT; `policy.make_value_head` has why."""
