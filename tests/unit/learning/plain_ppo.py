"""PPO once more, as plainly as it can be written: one padded batch, no micro-batches, loops over tokens, a fresh Adam.

Written from the papers and independent of `pinetune.learning`'s mathematics, which tests hold against it.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pinetune.learning.ppo import Trajectory
from pinetune.learning.settings import AdvantageEstimator, UpdateSettings

Forward = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""ids and attention mask to logits RLV and values RL."""


def forward_of(model: nn.Module, value_head: nn.Linear | None) -> Forward:
    """The whole model on the whole padded batch."""

    def forward(ids_RL: Tensor, mask_RL: Tensor) -> tuple[Tensor, Tensor]:
        output = model(input_ids=ids_RL, attention_mask=mask_RL, output_hidden_states=True, use_cache=False)
        values_RL = torch.zeros(ids_RL.shape) if value_head is None else value_head(output.hidden_states[-1])[..., 0]
        return output.logits, values_RL

    return forward


def token_outputs(forward: Forward, trajectories: Sequence[Trajectory]) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities, values and entropies of all completion tokens, padded: B x T."""
    rows = [[*t.prompt_token_ids, *t.token_ids] for t in trajectories]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    logits, values = forward(ids, mask)
    distribution = torch.log_softmax(logits, -1)
    longest = max(len(t.token_ids) for t in trajectories)
    found = [[torch.zeros(())] * longest * 3 for _ in rows]
    result = []
    for row, t in enumerate(trajectories):
        for index, token in enumerate(t.token_ids):
            at = len(t.prompt_token_ids) + index - 1
            found[row][index] = distribution[row, at, token]
            found[row][longest + index] = values[row, at]
            found[row][2 * longest + index] = -(distribution[row, at].exp() * distribution[row, at]).sum()
        result.append(torch.stack(found[row]).view(3, longest))
    logprobs, values, entropies = torch.stack(result, 1)
    return logprobs, values, entropies


def plain_advantages(
    trajectories: Sequence[Trajectory],
    reference: list[list[float]],
    values: list[list[float]],
    settings: UpdateSettings,
) -> tuple[list[list[float]], list[list[float]]]:
    """Advantages and returns of each real token."""
    advantages: list[list[float]] = []
    returns: list[list[float]] = []
    for row, t in enumerate(trajectories):
        penalties = [
            settings.kl_coefficient * (old - reference[row][i]) if math.isfinite(old) else 0.0
            for i, old in enumerate(t.logprobs)
        ]
        if settings.advantage_estimator is AdvantageEstimator.GAE:
            carry, after, found = 0.0, 0.0, [0.0] * len(t.token_ids)
            for i in reversed(range(len(t.token_ids))):
                reward = -penalties[i] + (t.reward if i == len(t.token_ids) - 1 else 0.0)
                carry = reward + settings.gamma * after - values[row][i] + settings.gamma * settings.gae_lambda * carry
                found[i], after = carry, values[row][i]
        else:
            group = [other.reward for other in trajectories if other.group_id == t.group_id]
            mean = sum(group) / len(group)
            deviation = math.sqrt(sum((r - mean) ** 2 for r in group) / max(1, len(group) - 1))
            found = [(t.reward - mean) / (deviation + 1e-4)] * len(t.token_ids)
        advantages.append(found)
        returns.append([a + values[row][i] for i, a in enumerate(found)])
    if settings.whiten_advantages:
        flat = [a for t, row in zip(trajectories, advantages, strict=True)
                for a, old in zip(row, t.logprobs, strict=True) if math.isfinite(old)]  # fmt: skip
        mean = sum(flat) / len(flat)
        scale = math.sqrt(sum((a - mean) ** 2 for a in flat) / (len(flat) - 1) + 1e-8)
        advantages = [[(a - mean) / scale for a in row] for row in advantages]
    return advantages, returns


def plain_update(
    model: nn.Module,
    value_head: nn.Linear | None,
    reference_model: nn.Module,
    trajectories: Sequence[Trajectory],
    settings: UpdateSettings,
) -> list[float]:
    """Update in place, one optimiser step a pass; return the loss of each pass."""
    forward = forward_of(model, value_head)
    with torch.no_grad():
        _, old_values, _ = token_outputs(forward, trajectories)
        reference, _, _ = token_outputs(forward_of(reference_model, None), trajectories)
    advantages, returns = plain_advantages(trajectories, reference.tolist(), old_values.tolist(), settings)
    parameters = [*model.parameters(), *(value_head.parameters() if value_head else [])]
    chosen = settings.optimizer
    optimizer = torch.optim.Adam(
        parameters, lr=chosen.learning_rate, betas=(chosen.beta1, chosen.beta2), eps=chosen.epsilon
    )
    losses = []
    for _ in range(settings.epoch_count):
        optimizer.zero_grad()
        logprobs, values, entropies = token_outputs(forward, trajectories)
        samples, tokens = [], []
        for row, t in enumerate(trajectories):
            own = []
            for i, old in enumerate(t.logprobs):
                if not math.isfinite(old):
                    continue
                ratio = torch.exp(logprobs[row, i] - old)
                a = advantages[row][i]
                loss = -torch.min(ratio * a, ratio.clamp(1 - settings.clip_range, 1 + settings.clip_range) * a)
                if settings.advantage_estimator is AdvantageEstimator.GAE:
                    v, v0, target = values[row, i], old_values[row, i], returns[row][i]
                    clipped = torch.max(torch.min(v, v0 + settings.value_clip_range), v0 - settings.value_clip_range)
                    loss = loss + settings.value_coefficient * 0.5 * torch.max(
                        (v - target) ** 2, (clipped - target) ** 2
                    )
                else:
                    gap = reference[row, i] - logprobs[row, i]
                    loss = loss + settings.kl_coefficient * (torch.exp(gap) - gap - 1)
                own.append(loss - settings.entropy_coefficient * entropies[row, i])
            tokens += own
            if own:
                samples.append(torch.stack(own).mean())
        total = torch.stack(samples).mean() if settings.length_normalised else torch.stack(tokens).mean()
        total.backward()  # type: ignore[no-untyped-call]  # torch
        nn.utils.clip_grad_norm_(parameters, chosen.max_gradient_norm)
        optimizer.step()
        losses.append(float(total.detach()))
    return losses
