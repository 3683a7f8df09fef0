"""One policy update: graded completions in, better weights out. All of PPO's mathematics is in this file's call tree.

In the loop: the learner calls `update` once a step, with completions that were sampled, graded and rewarded elsewhere.
This file knows no transport, no files and no graders. Top to bottom:

    update
      TrajectoryTensors.of  pad the trajectories; tokens without a finite sampler log-probability leave the loss
      _measure          old log-probabilities and values, reference log-probabilities: one forward pass each
      estimate          advantages.py: rewards, penalties and values to one advantage a token
      epoch_count passes over all completions, each cut into mini_batch_count mini-batches by the seed:
        _accumulate     gradients of one mini-batch, micro-batch by micro-batch
          _loss         losses.py: the clipped losses of some tokens
        take_step       clip the gradients, one optimiser step

What the ratio is. PPO compares the new policy with the one that sampled: exp(log π_new - log π_sampled). Sampler and
learner run the same weights through different code, so log π_sampled is the sampler's own number, which came with the
tokens, and not the learner's for the same weights; the importance weight is then the true one. How far the two are
apart is measured before anything is learnt (`sampler_gap_*`, `effective_sample_share`): a gap that grows means that one
of them holds other weights than it says.

Gradients do not depend on how the completions are cut into micro-batches: each token's weight in the loss is known
before the first of them (`losses.token_weights`).

Shapes: B completions of the step, T tokens of the longest, N tokens of a micro-batch.
"""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pinetune.learning.advantages import Advantages, Evidence, estimate
from pinetune.learning.batches import completion_mask
from pinetune.learning.losses import LOG_RATIO_LIMIT, policy_losses, reference_losses, token_weights, value_losses
from pinetune.learning.measurements import (
    Tally,
    UpdateMetrics,
    explained_variance,
    sampler_gap,
    zero_variance_group_share,
)
from pinetune.learning.optimizer import take_step
from pinetune.learning.policy import Policy, TokenOutputs
from pinetune.learning.settings import UpdateSettings

Watch = Callable[[Sequence[float]], None]
"""Told each trajectory's mean advantage over its learnt tokens, before anything is learnt."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One completion with its reward, as the learner sees it. It knows no text and no grader."""

    completion_id: str
    """For messages."""
    group_id: str
    """TrajectoryTensors with the same group id answer the same prompt."""
    prompt_token_ids: Sequence[int]
    """Ids of the prompt."""
    token_ids: Sequence[int]
    """Sampled ids, length T."""
    logprobs: Sequence[float]
    """The sampler's log-probabilities, length T. A token with a non-finite one is left out of the loss and counted."""
    reward: float
    """The reward, given at the last token."""
    policy_version: int = 0
    """The oldest version that wrote one of the tokens; the mathematics does not look at it."""


@dataclass(frozen=True, slots=True)
class TrajectoryTensors:
    """A step's trajectories as tensors on the policy's device."""

    trajectories: Sequence[Trajectory]
    """Where the token ids are."""
    mask_BT: Tensor
    """True at real tokens, False at padding."""
    learnt_BT: Tensor
    """True at real tokens with a finite log-probability from the sampler."""
    sampled_logprobs_BT: Tensor
    """The sampler's log-probabilities; 0 where nothing is learnt."""
    rewards_B: Tensor
    """Rewards, float64: groups of equal rewards must come out equal."""
    groups_B: Tensor
    """Number of each completion's group."""

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory], device: torch.device) -> "TrajectoryTensors":
        """Pad and number the trajectories."""
        mask_BT = completion_mask(trajectories)
        logprobs_BT = torch.full(mask_BT.shape, math.nan)
        logprobs_BT[mask_BT] = torch.tensor([logprob for trajectory in trajectories for logprob in trajectory.logprobs])
        numbers: dict[str, int] = {}
        groups = [numbers.setdefault(trajectory.group_id, len(numbers)) for trajectory in trajectories]
        return cls(
            trajectories=trajectories,
            mask_BT=mask_BT.to(device),
            learnt_BT=logprobs_BT.isfinite().to(device),
            sampled_logprobs_BT=logprobs_BT.nan_to_num(0.0, 0.0, 0.0).to(device),
            rewards_B=torch.tensor([t.reward for t in trajectories], dtype=torch.float64, device=device),
            groups_B=torch.tensor(groups, device=device),
        )


@dataclass(frozen=True, slots=True)
class Before:
    """What was measured before the update."""

    logprobs_BT: Tensor
    """The learner's own log-probabilities of the sampled tokens."""
    reference_logprobs_BT: Tensor
    """The reference policy's."""
    values_BT: Tensor
    """The value head's values; zeros without one."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What the losses hold the new policy against: everything that stays fixed over the passes."""

    tensors: TrajectoryTensors
    """The tokens."""
    before: Before
    """What was measured before the update."""
    found: Advantages
    """Advantages and returns."""


def update(
    policy: Policy,
    reference: Policy,
    optimizer: torch.optim.Optimizer,
    trajectories: Sequence[Trajectory],
    settings: UpdateSettings,
    *,
    learning_rate: float,
    max_tokens_per_pass: int,
    order: random.Random,
    watch: Watch | None = None,
) -> UpdateMetrics:
    """Update the policy in place from one step's trajectories (ReFT, algorithm 1; Schulman et al. 2017).

    `order` draws which completions share a mini-batch. `watch` is told the advantages first. Raises
    FloatingPointError where a gradient is not finite; the optimiser steps before that one have been taken.
    """
    started = time.perf_counter()
    tensors = TrajectoryTensors.of(trajectories, policy.device)
    before = _measure(policy, reference, tensors, max_tokens_per_pass)
    evidence = _evidence(tensors, before)
    targets = Targets(tensors, before, estimate(evidence, settings))
    if watch is not None:
        watch(_advantages(targets))
    tally = Tally()
    for epoch in range(settings.epoch_count):
        last_pass = epoch == settings.epoch_count - 1
        for rows in _mini_batches(tensors.groups_B.tolist(), settings.mini_batch_count, order):
            _accumulate(policy, targets, rows, settings, max_tokens_per_pass, tally, last_pass=last_pass)
            tally.gradient_norms.append(take_step(optimizer, learning_rate, settings.optimizer.max_gradient_norm))
    return _metrics(targets, evidence, settings, tally, learning_rate, time.perf_counter() - started)


def _advantages(targets: Targets) -> list[float]:
    """Return each trajectory's mean advantage over its learnt tokens; 0 where none is learnt."""
    learnt_BT = targets.tensors.learnt_BT
    sums_B = (targets.found.advantages_BT * learnt_BT).sum(dim=1)
    means: list[float] = (sums_B / learnt_BT.sum(dim=1).clamp(min=1)).tolist()
    return means


def _measure(policy: Policy, reference: Policy, tensors: TrajectoryTensors, max_tokens: int) -> Before:
    own = policy.score(tensors.trajectories, max_tokens)
    theirs = reference.score(tensors.trajectories, max_tokens)
    return Before(own.logprobs_BT, theirs.logprobs_BT, own.values_BT)


def _evidence(tensors: TrajectoryTensors, before: Before) -> Evidence:
    return Evidence(
        rewards_B=tensors.rewards_B,
        groups_B=tensors.groups_B,
        mask_BT=tensors.mask_BT,
        learnt_BT=tensors.learnt_BT,
        log_ratios_BT=(tensors.sampled_logprobs_BT - before.reference_logprobs_BT) * tensors.learnt_BT,
        values_BT=before.values_BT,
    )


def _mini_batches(groups: Sequence[int], mini_batch_count: int, order: random.Random) -> list[list[int]]:
    """Return the completions of one pass in mini-batches of equal size, give or take one.

    The groups are shuffled and their completions stay neighbours, so that most prompts are computed once a pass.
    """
    numbers = list(range(max(groups) + 1))
    order.shuffle(numbers)
    rank = {number: place for place, number in enumerate(numbers)}
    rows = sorted(range(len(groups)), key=lambda row: (rank[groups[row]], row))
    count = min(mini_batch_count, len(rows))
    return [rows[len(rows) * index // count : len(rows) * (index + 1) // count] for index in range(count)]


def _accumulate(
    policy: Policy,
    targets: Targets,
    rows: list[int],
    settings: UpdateSettings,
    max_tokens: int,
    tally: Tally,
    *,
    last_pass: bool,
) -> None:
    """Add the gradient of one mini-batch's loss to the weights' gradients."""
    tensors = targets.tensors
    weights_BT = torch.zeros_like(tensors.sampled_logprobs_BT)
    weights_BT[rows] = token_weights(tensors.learnt_BT[rows], length_normalised=settings.length_normalised)
    for batch in policy.micro_batches(tensors.trajectories, max_tokens, rows=rows):
        rows_N, columns_N = batch.places(tensors.mask_BT)

        def loss(outputs: TokenOutputs, part: slice, rows_N: Tensor = rows_N, columns_N: Tensor = columns_N) -> Tensor:
            at = (rows_N[part], columns_N[part])
            return _loss(outputs, targets, weights_BT[at], at, settings, tally, last_pass=last_pass)

        policy.backward(batch, loss)


def _loss(
    outputs: TokenOutputs,
    targets: Targets,
    weights_N: Tensor,
    at: tuple[Tensor, Tensor],
    settings: UpdateSettings,
    tally: Tally,
    *,
    last_pass: bool,
) -> Tensor:
    """Return the part of a mini-batch's loss that the N tokens `at` contribute.

    L = L_policy + α L_value, plus β KL where the algorithm has the penalty there, minus the entropy bonus.
    """
    learnt_N = targets.tensors.learnt_BT[at]
    log_ratios_N = (outputs.logprobs_N - targets.tensors.sampled_logprobs_BT[at]) * learnt_N
    policy_N, clipped_N = policy_losses(log_ratios_N, targets.found.advantages_BT[at], settings.clip_range)
    loss_N = policy_N
    if settings.advantage_estimator.uses_values:
        old_values_N, returns_N = targets.before.values_BT[at], targets.found.returns_BT[at]
        value_N = value_losses(outputs.values_N, old_values_N, returns_N, settings.value_clip_range)
        loss_N = loss_N + settings.value_coefficient * value_N
        tally.add(value_loss=value_N * weights_N)
    if settings.advantage_estimator.penalises_in_loss and settings.kl_coefficient:
        penalty_N = reference_losses(outputs.logprobs_N, targets.before.reference_logprobs_BT[at])
        loss_N = loss_N + settings.kl_coefficient * penalty_N
    with torch.set_grad_enabled(settings.entropy_coefficient != 0):
        entropy_N = outputs.entropies()
    if settings.entropy_coefficient:
        loss_N = loss_N - settings.entropy_coefficient * entropy_N
    tally.add(
        bounded=log_ratios_N.abs() > LOG_RATIO_LIMIT,
        tokens=learnt_N,
        policy_loss=policy_N * weights_N,
        clipped=clipped_N & learnt_N,
        entropy=entropy_N * learnt_N,
    )
    if last_pass:
        bounded_N = log_ratios_N.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
        tally.add(kl=(bounded_N.exp() - 1 - bounded_N) * learnt_N, last_tokens=learnt_N)
    return (loss_N * weights_N).sum()


def _metrics(
    targets: Targets, evidence: Evidence, settings: UpdateSettings, tally: Tally, learning_rate: float, seconds: float
) -> UpdateMetrics:
    tensors, before, learnt_BT = targets.tensors, targets.before, targets.tensors.learnt_BT
    gap = sampler_gap(before.logprobs_BT, tensors.sampled_logprobs_BT, learnt_BT)
    completion_tokens = int(tensors.mask_BT.sum())
    learnt_tokens = int(learnt_BT.sum())
    return UpdateMetrics(
        reward_mean=float(tensors.rewards_B.mean()),
        reward_deviation=float(tensors.rewards_B.std(correction=0)),
        kl_to_reference=float(evidence.log_ratios_BT.double().sum(-1).mean()),
        policy_loss=tally.per_step("policy_loss"),
        value_loss=tally.per_step("value_loss"),
        explained_variance=explained_variance(before.values_BT[learnt_BT], targets.found.returns_BT[learnt_BT])
        if settings.advantage_estimator.uses_values
        else 0.0,
        entropy=tally.mean("entropy", "tokens"),
        clip_fraction=tally.mean("clipped", "tokens"),
        approximate_kl=tally.mean("kl", "last_tokens"),
        gradient_norm=sum(tally.gradient_norms) / len(tally.gradient_norms),
        learning_rate=learning_rate,
        sampler_gap_mean=gap.mean,
        sampler_gap_p99=gap.p99,
        sampler_gap_max=gap.max,
        effective_sample_share=gap.effective_sample_share,
        dropped_token_count=completion_tokens - learnt_tokens,
        completion_token_count=learnt_tokens,
        token_count=completion_tokens + sum(len(trajectory.prompt_token_ids) for trajectory in tensors.trajectories),
        zero_variance_group_share=zero_variance_group_share(tensors.rewards_B, tensors.groups_B),
        seconds=seconds,
        sampler_gap_p50=gap.p50,
        sampler_gap_p95=gap.p95,
        effective_sequence_share=gap.effective_sequence_share,
        bounded_token_count=tally.count("bounded"),
    )
