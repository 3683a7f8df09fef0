"""What makes a step count once: the last step's number, what it was asked with, and its answer.

A caller whose reply was lost asks again and gets the same answer, without anything being learnt twice. The book goes
into checkpoints, so that this also holds after a restart.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from pinetune.pod.errors import Conflict

M = TypeVar("M")


@dataclass(slots=True)
class StepBook(Generic[M]):
    """The last step of one kind."""

    what: str
    """`warm-up` or `update`, for messages."""
    last_step: int = 0
    """Number of the last step done; 0 before the first."""
    request_hash: str = ""
    """SHA-256 of the request that it was done with."""
    metrics: M | None = None
    """Its answer."""

    def repeated(self, step: int, request_hash: str) -> M | None:
        """Return the stored answer where `step` is the last one, None where it is the next.

        Raises Conflict for any other step, and for the last one with another content.
        """
        if step == self.last_step + 1:
            return None
        if step != self.last_step or self.metrics is None:
            raise Conflict(
                f"step must be {self.last_step + 1}, the next {self.what} step, or the last one again; given {step}",
                reason="STEP_OUT_OF_ORDER",
                step=step,
                last_step=self.last_step,
            )
        if request_hash != self.request_hash:
            raise Conflict(
                f"{self.what} step {step} was done with another content; restore a checkpoint before it to do it anew",
                reason="STEP_CONTENT_CHANGED",
                step=step,
            )
        return self.metrics

    def enter(self, step: int, request_hash: str, metrics: M) -> None:
        """Write down that `step` was done."""
        self.last_step, self.request_hash, self.metrics = step, request_hash, metrics
