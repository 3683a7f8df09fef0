"""From rewards to advantages: how much better each sampled token was than expected.

In the loop: rollouts have been graded and scored under the old and the reference policy; nothing has been learnt from
them yet. This file turns one reward per completion into one advantage per token; `losses.py` then makes tokens with a
positive advantage likelier. It holds no network and takes no gradients.

A completion of T tokens is an episode of T actions (ReFT, section 3). The state s_t is the prompt with the tokens
before t, the action a_t is token t, and the reward comes with the last token:

    token            The    answer   is     7      <|end|>
    score            0      0        0      0      1          the grade, at the last token
    penalty         -βk₀   -βk₁     -βk₂   -βk₃   -βk₄        kₜ = log π_old(aₜ|sₜ) - log π_ref(aₜ|sₜ)
    old value        V₀     V₁       V₂     V₃     V₄         what the value head expected before each token; V₅ = 0

Each estimator is one function from `Evidence` to `Advantages`; `estimate` picks one and whitens. To add an algorithm,
write its function, name it in `settings.AdvantageEstimator` and enter it in `ESTIMATORS`.

Shapes: B completions of the step, T tokens of its longest completion (shorter ones are padded at the right), G groups.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pinetune.learning.settings import AdvantageEstimator, UpdateSettings

WHITENING_EPSILON = 1e-8
"""Keeps whitening finite where all advantages are equal; ReFT's repository has the same."""
DEVIATION_EPSILON = 1e-4
"""Added to a group's deviation by GRPO, so that near-equal rewards are not blown up; TRL has the same."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the estimators may look at, all of it measured before the update."""

    rewards_B: Tensor
    """Reward of each completion."""
    groups_B: Tensor
    """Number of each completion's group, 0 to G - 1; the completions of one prompt share it."""
    mask_BT: Tensor
    """True at real tokens, False at padding."""
    learnt_BT: Tensor
    """True at tokens that will be learnt from: real, and with a finite log-probability from the sampler."""
    log_ratios_BT: Tensor
    """log π_old - log π_ref of each sampled token; 0 where nothing is learnt."""
    values_BT: Tensor
    """V(s_t) of the old value head; zeros for estimators that need none."""


@dataclass(frozen=True, slots=True)
class Advantages:
    """What an estimator found."""

    advantages_BT: Tensor
    """How much better the token was than expected; 0 at padding."""
    returns_BT: Tensor
    """What the value head should have said; meaningless for estimators without values."""


def estimate(evidence: Evidence, settings: UpdateSettings) -> Advantages:
    """Estimate advantages as the settings say, and whiten them over the learnt tokens where asked to."""
    found = ESTIMATORS[settings.advantage_estimator](evidence, settings)
    if not settings.whiten_advantages:
        return found
    return Advantages(whiten(found.advantages_BT, evidence.learnt_BT), found.returns_BT)


def gae(evidence: Evidence, settings: UpdateSettings) -> Advantages:
    """Generalised advantage estimation (Schulman et al. 2016, equation 16; ReFT, section 3).

    One-step errors of the value head are summed backwards in time:

        δ_t = r_t + γ V_{t+1} - V_t            surprise at token t: what came, minus what was expected
        A_t = δ_t + γλ A_{t+1}                 plus the discounted surprises after it

    With λ = 1 the values cancel but for V_t: A_t is reward-to-go minus V_t, unbiased and noisy. With λ = 0 it is δ_t
    alone, smooth and as wrong as the values. Nothing comes after the last token: V_T = A_T = 0. The return, which the
    value head learns, is A_t + V_t.
    """
    rewards_BT = token_rewards(evidence, settings.kl_coefficient)
    values_BT = evidence.values_BT * evidence.mask_BT
    advantages_BT = torch.zeros_like(rewards_BT)
    next_values_B = next_advantages_B = torch.zeros_like(rewards_BT[:, 0])
    for t in reversed(range(rewards_BT.shape[1])):
        # At padding reward and value are 0, so both carries stay 0 until each completion's own last token.
        surprises_B = rewards_BT[:, t] + settings.gamma * next_values_B - values_BT[:, t]
        advantages_BT[:, t] = surprises_B + settings.gamma * settings.gae_lambda * next_advantages_B
        next_values_B, next_advantages_B = values_BT[:, t], advantages_BT[:, t]
    return Advantages(advantages_BT, advantages_BT + values_BT)


def grpo(evidence: Evidence, settings: UpdateSettings) -> Advantages:
    """Reward against the group, in units of its deviation (Shao et al. 2024, DeepSeekMath, section 4.1.2).

    The other samples of the prompt play the value head. A group whose rewards are all equal, a group of one included,
    says nothing: its advantages are 0. The KL penalty is not in the reward but a term of the loss. The deviation is
    the sample's (n - 1), as in TRL and verl.
    """
    centred_B = evidence.rewards_B - group_means(evidence.rewards_B, evidence.groups_B)
    counts_B = group_sizes(evidence.groups_B)
    variances_B = group_means(centred_B.square(), evidence.groups_B) * counts_B / (counts_B - 1).clamp(min=1)
    return _same_for_all_tokens(centred_B / (variances_B.sqrt() + DEVIATION_EPSILON), evidence)


def dr_grpo(evidence: Evidence, settings: UpdateSettings) -> Advantages:
    """GRPO without the division by the deviation, which favours prompts that are nearly always or never solved.

    Liu et al. 2025, "Understanding R1-Zero-like training". Their other correction, no division by each
    answer's own length, is `length_normalised = False`.
    """
    return _same_for_all_tokens(evidence.rewards_B - group_means(evidence.rewards_B, evidence.groups_B), evidence)


def rloo(evidence: Evidence, settings: UpdateSettings) -> Advantages:
    """Reward minus the mean reward of the group's other samples (Ahmadian et al. 2024, "Back to basics").

    The whole completion is one action, so its reward is the score minus the summed KL penalty. A group of one has no
    others; its advantage is 0.
    """
    rewards_B = token_rewards(evidence, settings.kl_coefficient).sum(-1)
    counts_B = group_sizes(evidence.groups_B)
    # R - (S - R) / (n - 1) with the group's sum S is (R - S / n) · n / (n - 1).
    centred_B = rewards_B - group_means(rewards_B, evidence.groups_B)
    return _same_for_all_tokens(centred_B * counts_B / (counts_B - 1).clamp(min=1), evidence)


def reinforce_plus_plus(evidence: Evidence, settings: UpdateSettings) -> Advantages:
    """Reward-to-go, whitened over all tokens of the batch (Hu et al. 2025); needs no groups.

    The reward-to-go of a token is the score minus the penalties from that token on. Whitening is part of the estimator
    and happens whatever `whiten_advantages` says; whitening twice changes nothing.
    """
    rewards_BT = token_rewards(evidence, settings.kl_coefficient)
    to_go_BT = rewards_BT.flip(-1).cumsum(-1).flip(-1) * evidence.mask_BT
    return Advantages(whiten(to_go_BT, evidence.learnt_BT), to_go_BT)


ESTIMATORS: dict[AdvantageEstimator, Callable[[Evidence, UpdateSettings], Advantages]] = {
    AdvantageEstimator.GAE: gae,
    AdvantageEstimator.GRPO: grpo,
    AdvantageEstimator.DR_GRPO: dr_grpo,
    AdvantageEstimator.RLOO: rloo,
    AdvantageEstimator.REINFORCE_PLUS_PLUS: reinforce_plus_plus,
}
"""The function of each estimator."""


def token_rewards(evidence: Evidence, kl_coefficient: float) -> Tensor:
    """Return the reward of each token, shape BT: the KL penalty at each, the score added at the last (ReFT, section 3).

    The penalty -β (log π_old - log π_ref) keeps the policy near the warmed-up one; without it training collapses (ReFT,
    ablation study).
    """
    rewards_BT = -kl_coefficient * evidence.log_ratios_BT
    last_B = evidence.mask_BT.sum(-1) - 1
    return rewards_BT.scatter_add(1, last_B[:, None], evidence.rewards_B.to(rewards_BT)[:, None])


def whiten(values_BT: Tensor, learnt_BT: Tensor) -> Tensor:
    """Shift and scale to mean 0 and variance 1 over the learnt tokens of the batch; 0 elsewhere.

    The variance is the sample's (n - 1), as in ReFT's repository. A single token has none and becomes 0.
    """
    learnt_N = values_BT[learnt_BT]
    if learnt_N.numel() < 2:
        return torch.zeros_like(values_BT)
    variance, mean = torch.var_mean(learnt_N)
    return (values_BT - mean) * torch.rsqrt(variance + WHITENING_EPSILON) * learnt_BT


def group_means(values_B: Tensor, groups_B: Tensor) -> Tensor:
    """Return for each completion the mean over its group, shape B."""
    sums_G = values_B.new_zeros(int(groups_B.max()) + 1).index_add(0, groups_B, values_B)
    return sums_G[groups_B] / group_sizes(groups_B)


def group_sizes(groups_B: Tensor) -> Tensor:
    """Return for each completion the number of completions in its group, shape B."""
    return groups_B.bincount()[groups_B]


def _same_for_all_tokens(advantages_B: Tensor, evidence: Evidence) -> Advantages:
    advantages_BT = (advantages_B[:, None] * evidence.mask_BT).to(evidence.log_ratios_BT)
    return Advantages(advantages_BT, advantages_BT)
