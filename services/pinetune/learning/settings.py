"""What a job may set about learning, as frozen values.

Every default is ReFT's (Luong et al. 2024, and its repository) but one: the value head begins fitted, not at random
(`docs/decisions/0005-fitted-value-head.md`). `ComputeSettings` are no part of the algorithm.

The jobs service sends every field resolved, so the defaults serve tests, benchmarks and whoever uses the mathematics as
a library. Nothing here knows messages or files.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Schedule(StrEnum):
    """How the learning rate goes on after its rise."""

    CONSTANT = "constant"
    """Stays at its peak."""
    LINEAR = "linear"
    """Falls evenly to 0."""
    COSINE = "cosine"
    """Falls as a half cosine to 0."""


class AdvantageEstimator(StrEnum):
    """How advantages are estimated from rewards; `advantages.py` has one function for each."""

    GAE = "gae"
    """Generalised advantage estimation with the value head: PPO as ReFT has it."""
    GRPO = "grpo"
    """Reward minus the group's mean, over its deviation."""
    RLOO = "rloo"
    """Reward minus the mean of the group's other samples."""
    REINFORCE_PLUS_PLUS = "reinforce++"
    """Reward-to-go whitened over the batch."""
    DR_GRPO = "dr_grpo"
    """Reward minus the group's mean."""

    @property
    def uses_values(self) -> bool:
        """Whether a value head is needed, and trained."""
        return self is AdvantageEstimator.GAE

    @property
    def penalises_in_loss(self) -> bool:
        """Whether the KL penalty is a term of the loss rather than part of the reward, as GRPO has it."""
        return self in (AdvantageEstimator.GRPO, AdvantageEstimator.DR_GRPO)


class ValueHeadStart(StrEnum):
    """How the value head begins."""

    FITTED = "fitted"
    """By least squares to the returns of the first rollouts; `value_fit.py` has why."""
    ZERO = "zero"
    """With all values 0."""
    RANDOM = "random"
    """Drawn at random, as ReFT has it."""


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """How AdamW moves."""

    learning_rate: float = 3e-7
    """Peak learning rate."""
    warm_up_ratio: float = 0.0
    """Share of the steps over which the rate rises from 0."""
    schedule: Schedule = Schedule.CONSTANT
    """How the rate goes on after that."""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay; of matrices only, never of biases and norms."""
    epsilon: float = 1e-8
    """AdamW's epsilon."""
    beta1: float = 0.9
    """AdamW's first moment decay."""
    beta2: float = 0.999
    """AdamW's second moment decay."""
    max_gradient_norm: float = 1.0
    """Largest gradient norm; 0 means no limit."""


@dataclass(frozen=True, slots=True)
class WarmUpSettings:
    """The supervised warm-up."""

    optimizer: OptimizerSettings = field(
        default_factory=lambda: OptimizerSettings(learning_rate=1e-5, warm_up_ratio=0.1, schedule=Schedule.LINEAR)
    )
    """How its optimiser moves."""
    step_count: int = 0
    """Steps in all, for the schedule; 0 where the schedule is constant and does not need it."""


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """The policy update."""

    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    """How its optimiser moves."""
    step_count: int = 0
    """Steps in all, for the schedule; 0 where the schedule is constant and does not need it."""
    advantage_estimator: AdvantageEstimator = AdvantageEstimator.GAE
    """How advantages are estimated."""
    gamma: float = 1.0
    """Discount of later rewards. The paper's text swaps it with lambda; this is the repository's."""
    gae_lambda: float = 0.95
    """GAE's lambda."""
    whiten_advantages: bool = True
    """Whether advantages are whitened over the tokens of the batch."""
    clip_range: float = 0.2
    """The policy ratio is clipped to 1 ± this."""
    value_clip_range: float = 0.2
    """New values are clipped to the old ones ± this."""
    value_coefficient: float = 5.0
    """Weight of the value loss, ReFT's alpha."""
    kl_coefficient: float = 0.05
    """Weight of the per-token KL penalty, ReFT's beta; 0.05 for reasoning in words, 0.01 for programs."""
    entropy_coefficient: float = 0.0
    """Weight of the entropy bonus."""
    epoch_count: int = 2
    """Passes over a step's samples, ReFT's U."""
    mini_batch_count: int = 1
    """Optimiser steps per pass."""
    length_normalised: bool = True
    """Whether each sample's token losses are divided by its length, then averaged over samples."""
    max_staleness: int = 0
    """Completions whose oldest token is more than this many versions behind are refused."""
    value_head_start: ValueHeadStart = ValueHeadStart.FITTED
    """How the value head begins."""


@dataclass(frozen=True, slots=True)
class ComputeSettings:
    """Where and how precisely to compute."""

    device: str = "auto"
    """cpu, cuda or auto."""
    dtype: str = "float32"
    """dtype of the policies that samplers load: float32 or bfloat16. Learning itself holds float32 weights, since the
    steps of fine-tuning are smaller than what bfloat16 can tell apart."""
    autocast: bool = False
    """Whether the forward pass multiplies matrices in bfloat16, over the float32 weights."""
    max_tokens_per_pass: int = 4096
    """Most tokens, padding included, in one forward pass."""


@dataclass(frozen=True, slots=True)
class NanoSettings:
    """Shape of a nano model."""

    layer_count: int
    """Decoder layers."""
    width: int
    """Width of the hidden states; a multiple of `head_count`."""
    head_count: int
    """Attention heads."""
    vocabulary_size: int
    """Most tokens in the vocabulary, bytes and special tokens included."""
    max_tokens: int
    """Longest sequence."""
