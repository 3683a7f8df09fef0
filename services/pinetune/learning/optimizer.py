"""AdamW, the learning rate of a step, and one optimiser step with clipping.

The rate is a function of the step's number, not of a scheduler that remembers: a restored run cannot be out of tune.
The warm-up and the updates each have an optimiser of their own.
"""

import math
from collections.abc import Iterable

import torch
from torch import nn

from pinetune.learning.settings import OptimizerSettings, Schedule


def make_optimizer(parameters: Iterable[nn.Parameter], settings: OptimizerSettings) -> torch.optim.AdamW:
    """Return AdamW over the parameters that want gradients; only matrices decay, biases and norms do not."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        fused=True,
    )


def learning_rate(settings: OptimizerSettings, step: int, step_count: int) -> float:
    """Return the learning rate of `step` (from 1) of `step_count`.

    It rises evenly to its peak over the first `warm_up_ratio` of the steps. A falling schedule reaches 0 one step after
    the last, so that no step is wasted.
    """
    rise = math.ceil(settings.warm_up_ratio * step_count)
    if step <= rise:
        return settings.learning_rate * step / rise
    if settings.schedule is Schedule.CONSTANT:
        return settings.learning_rate
    done = min(1.0, (step - 1 - rise) / max(1, step_count - rise))
    if settings.schedule is Schedule.LINEAR:
        return settings.learning_rate * (1 - done)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def take_step(optimizer: torch.optim.Optimizer, rate: float, max_gradient_norm: float) -> float:
    """Clip the gradients, take one optimiser step at `rate`, forget the gradients; return their norm before clipping.

    Raises FloatingPointError, and steps nowhere, where the norm is not finite.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = float(nn.utils.clip_grad_norm_(parameters, max_gradient_norm or math.inf))
    if not math.isfinite(norm):
        optimizer.zero_grad()
        raise FloatingPointError(f"the gradient norm is {norm}")
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad()
    return norm
