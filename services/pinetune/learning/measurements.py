"""What an update measures besides learning: how far sampler and learner are apart, how good the old values were, sums.

`ppo.py` calls these; nothing here has gradients or changes what is learnt. (`metrics.py` is where the numbers are shown
to Prometheus.)

Shapes: B completions, T tokens of the longest, N learnt tokens of all of them.
"""

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
    """Effective sample size of the importance weights between learner and sampler, as a share 0 to 1."""
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

    def per_step(self, name: str) -> float:
        """Return a sum over the number of optimiser steps."""
        return float(self.sums[name]) / len(self.gradient_norms)


@dataclass(frozen=True, slots=True)
class SamplerGap:
    """How far the learner's log-probabilities are from the sampler's, for the same tokens and the same weights."""

    mean: float
    """Mean absolute gap, in nats."""
    p99: float
    """Its 99th percentile."""
    max: float
    """Its largest."""
    effective_sample_share: float
    """(Σw)² / (N Σw²) with the importance weights w = π_learner / π_sampler of N tokens; 1 where they agree."""


def sampler_gap(learner_logprobs_N: Tensor, sampler_logprobs_N: Tensor) -> SamplerGap:
    """Compare both log-probabilities; without any tokens there is no gap."""
    if learner_logprobs_N.numel() == 0:
        return SamplerGap(0.0, 0.0, 0.0, 1.0)
    log_weights_N = (learner_logprobs_N - sampler_logprobs_N).double()
    gaps_N = log_weights_N.abs()
    # The share does not change when all weights are scaled; the largest becomes 1, so that none overflows.
    weights_N = (log_weights_N - log_weights_N.max()).exp()
    share = weights_N.sum().square() / (weights_N.numel() * weights_N.square().sum())
    # kthvalue rather than quantile, which refuses more than 16 million elements.
    p99 = gaps_N.kthvalue(max(1, round(0.99 * gaps_N.numel()))).values
    return SamplerGap(float(gaps_N.mean()), float(p99), float(gaps_N.max()), float(share))


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
