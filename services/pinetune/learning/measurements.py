"""What an update measures besides learning: how far sampler and learner are apart, how good the old values were, sums.

`ppo.py` calls these; nothing here has gradients or changes what is learnt. (`metrics.py` is where the numbers are shown
to Prometheus.)

Shapes: B completions, T tokens of the longest, N learnt tokens of all of them.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class UpdateMetrics:
    """What an update measured. Means are over the learnt tokens and all passes unless said."""

    reward_mean: float
    """Mean reward of the trajectories."""
    reward_deviation: float
    """Standard deviation of the rewards."""
    kl_to_reference: float
    """Mean over completions of the summed log ratio to the reference policy, in nats, before the update."""
    policy_loss: float
    """Clipped policy loss, mean over optimiser steps."""
    value_loss: float
    """Clipped value loss before its coefficient, mean over optimiser steps; 0 without a value head."""
    explained_variance: float
    """Share of the returns' variance that the old values explain; 0 without a value head."""
    entropy: float
    """Entropy of the policy at the sampled positions, in nats."""
    clip_fraction: float
    """Share of tokens whose loss clipping decided."""
    approximate_kl: float
    """Schulman's estimator of the KL from the sampling to the new policy, over the last pass."""
    gradient_norm: float
    """Gradient norm before clipping, mean over optimiser steps."""
    learning_rate: float
    """Learning rate of the step."""
    sampler_gap_mean: float
    """Mean absolute gap of the sampler's and the learner's log-probabilities before the update."""
    sampler_gap_p99: float
    """The 99th percentile of that gap."""
    sampler_gap_max: float
    """The largest such gap."""
    effective_sample_share: float
    """Effective sample size of the importance weights between learner and sampler, one a token, as a share 0 to 1."""
    dropped_token_count: int
    """Tokens left out because the sampler's log-probability was not finite."""
    completion_token_count: int
    """Sampled tokens learnt from."""
    token_count: int
    """Tokens of prompts and completions together, one pass."""
    zero_variance_group_share: float
    """Groups whose rewards are all equal, as a share 0 to 1."""
    seconds: float
    """Duration in seconds."""
    # Newer than the checkpoints of the first release, which have none of these.
    sampler_gap_p50: float = 0.0
    """The median of the gap."""
    sampler_gap_p95: float = 0.0
    """The 95th percentile of the gap."""
    effective_sequence_share: float = 1.0
    """As `effective_sample_share` with one weight a completion, the product of its tokens' weights."""
    bounded_token_count: int = 0
    """Tokens whose log ratio passed the bound before its exponential, over all passes."""


@dataclass(slots=True)
class Tally:
    """Sums over the passes. They stay on the device until the end, so that nothing waits for them."""

    sums: defaultdict[str, Tensor] = field(default_factory=lambda: defaultdict(lambda: torch.zeros(())))
    """Sum of everything added under a name."""
    gradient_norms: list[float] = field(default_factory=list)
    """One per optimiser step."""

    def add(self, **values_N: Tensor) -> None:
        """Add each tensor's elements to the sum of its name."""
        for name, value_N in values_N.items():
            self.sums[name] = self.sums[name].to(value_N.device) + value_N.detach().double().sum()

    def mean(self, name: str, count: str) -> float:
        """Return one sum over another, 0 where the other is 0."""
        return float(self.sums[name] / self.sums[count].clamp(min=1))

    def count(self, name: str) -> int:
        """Return a sum of whole numbers."""
        return int(self.sums[name])

    def per_step(self, name: str) -> float:
        """Return a sum over the number of optimiser steps."""
        return float(self.sums[name]) / len(self.gradient_norms)


@dataclass(frozen=True, slots=True)
class SamplerGap:
    """How far the learner's log-probabilities are from the sampler's, for the same tokens and the same weights.

    The percentiles are those of the absolute gap of single tokens, in nats: the smallest gap that so many of them do
    not pass (nearest rank, so each is a gap that occurred).
    """

    mean: float = 0.0
    """Mean absolute gap."""
    p50: float = 0.0
    """Its median."""
    p95: float = 0.0
    """Its 95th percentile."""
    p99: float = 0.0
    """Its 99th percentile."""
    max: float = 0.0
    """Its largest."""
    effective_sample_share: float = 1.0
    """Effective share of the tokens, each weighing π_learner / π_sampler; 1 where both agree."""
    effective_sequence_share: float = 1.0
    """Effective share of the completions, each weighing the product of its tokens' weights: the true importance weight
    of a completion. It falls with length, long before PPO, which clips token by token, minds."""


def sampler_gap(learner_logprobs_BT: Tensor, sampler_logprobs_BT: Tensor, learnt_BT: Tensor) -> SamplerGap:
    """Compare both log-probabilities where `learnt_BT` says so; without any tokens there is no gap."""
    log_weights_BT = torch.where(learnt_BT, learner_logprobs_BT.double() - sampler_logprobs_BT.double(), 0.0)
    gaps_N = log_weights_BT[learnt_BT].abs()
    if gaps_N.numel() == 0:
        return SamplerGap()
    return SamplerGap(
        mean=float(gaps_N.mean()),
        p50=_percentile(gaps_N, 0.5),
        p95=_percentile(gaps_N, 0.95),
        p99=_percentile(gaps_N, 0.99),
        max=float(gaps_N.max()),
        effective_sample_share=effective_share(log_weights_BT[learnt_BT]),
        effective_sequence_share=effective_share(log_weights_BT.sum(-1)[learnt_BT.any(-1)]),
    )


def effective_share(log_weights_N: Tensor) -> float:
    """Return the effective sample size (Σw)² / Σw² of N samples as a share of N (Kish 1965; Kong 1992; Owen 2013, 9.3).

    It does not change when all weights are scaled; the largest becomes 1, so that none overflows and none is bounded.
    """
    weights_N = (log_weights_N - log_weights_N.max()).exp()
    return float(weights_N.sum().square() / (weights_N.numel() * weights_N.square().sum()))


def _percentile(values_N: Tensor, share: float) -> float:
    # kthvalue rather than quantile, which refuses more than 16 million elements.
    return float(values_N.kthvalue(max(1, math.ceil(share * values_N.numel()))).values)


def explained_variance(values_N: Tensor, returns_N: Tensor) -> float:
    """Return 1 - Var(returns - values) / Var(returns): 1 is perfect, 0 no better than a constant; 0 for no variance."""
    if returns_N.numel() == 0 or bool((returns_N == returns_N[0]).all()):
        return 0.0
    variance = returns_N.double().var(correction=0)
    return float(1 - (returns_N - values_N).double().var(correction=0) / variance)


def zero_variance_group_share(rewards_B: Tensor, groups_B: Tensor) -> float:
    """Return the share of groups whose rewards are all equal: prompts that say nothing to a group estimator."""
    count = int(groups_B.max()) + 1
    lowest_G = rewards_B.new_full((count,), torch.inf).scatter_reduce(0, groups_B, rewards_B, "amin")
    highest_G = rewards_B.new_full((count,), -torch.inf).scatter_reduce(0, groups_B, rewards_B, "amax")
    return float((lowest_G == highest_G).double().mean())
