"""What a job used: tokens and floating-point operations, the measure by which unlike methods are compared fairly.

Counted with the usual approximation for dense decoders (Kaplan et al. 2020, section 2.1): 2 operations per weight and
token forward, 6 with gradient. Prompts count as well as answers.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.client.rollout import Completion

FORWARD, WITH_GRADIENT = 2.0, 6.0


@dataclass
class Usage:
    """Counts so far, over all attempts; what was taken back and done again is counted once."""

    seconds_before: float = 0.0
    """Seconds of earlier attempts, up to the checkpoint that this one goes on from."""
    sampled_tokens: int = 0
    """Tokens sampled."""
    trained_tokens: int = 0
    """Tokens that gradients were computed for, once per pass."""
    compute_flops: float = 0.0
    """Floating-point operations."""
    judge_tokens: int = 0
    """Tokens of judge models."""
    began: float = field(default_factory=time.monotonic)
    """When this attempt began."""

    @property
    def seconds(self) -> float:
        """Seconds of all attempts."""
        return self.seconds_before + time.monotonic() - self.began

    def begin_from(self, earlier: jobs_pb2.Usage) -> None:
        """Go on counting from what earlier attempts used."""
        self.seconds_before = earlier.seconds
        self.sampled_tokens = earlier.sampled_token_count
        self.trained_tokens = earlier.trained_token_count
        self.compute_flops = earlier.compute_flops
        self.judge_tokens = earlier.judge_token_count

    def add_sampling(self, groups: Iterable[list[Completion]], parameter_count: int) -> None:
        """Count the sampling of groups: each prompt once, each sampled token once."""
        for group in groups:
            sampled = sum(len(completion.token_ids) for completion in group)
            self.sampled_tokens += sampled
            self.compute_flops += FORWARD * parameter_count * (sampled + len(group[0].prompt_token_ids))

    def add_warm_up(self, token_count: int, parameter_count: int) -> None:
        """Count a warm-up step over `token_count` tokens."""
        self.trained_tokens += token_count
        self.compute_flops += WITH_GRADIENT * parameter_count * token_count

    def add_update(self, token_count: int, epochs: int, parameter_count: int) -> None:
        """Count an update: old values and the reference's log-probabilities once, then the passes with gradient."""
        self.trained_tokens += token_count * epochs
        self.compute_flops += (2 * FORWARD + WITH_GRADIENT * epochs) * parameter_count * token_count
