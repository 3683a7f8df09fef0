"""One supervised step: imitate the given answers (ReFT, section 3, "Warm-up").

In the loop: before any reward, the base model learns from (question, chain of thought) how an answer looks, so that
sampling finds some right ones. The loss is the cross-entropy of the answer's tokens; the prompt is context only.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pinetune.learning.batches import TokenSequence
from pinetune.learning.measurements import Tally
from pinetune.learning.optimizer import take_step
from pinetune.learning.policy import Policy, TokenOutputs


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and the answer to imitate, as token ids."""

    prompt_token_ids: Sequence[int]
    """Ids of the prompt."""
    token_ids: Sequence[int]
    """Ids of the answer, the end-of-turn token included."""


@dataclass(frozen=True, slots=True)
class WarmUpMetrics:
    """What a warm-up step measured."""

    loss: float
    """Mean cross-entropy of the answers' tokens before the step, in nats."""
    token_accuracy: float
    """Share of answer tokens that were the most likely one."""
    gradient_norm: float
    """Gradient norm before clipping."""
    learning_rate: float
    """Learning rate of the step."""
    answer_token_count: int
    """Tokens with loss."""
    token_count: int
    """Tokens of prompts and answers together."""
    seconds: float
    """Duration in seconds."""


def warm_up(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    examples: Sequence[TokenSequence],
    *,
    learning_rate: float,
    max_gradient_norm: float,
    max_tokens_per_pass: int,
) -> WarmUpMetrics:
    """Take one optimiser step on the mean cross-entropy over all answer tokens of the examples.

    Raises FloatingPointError, and leaves the weights as they were, where the gradient is not finite.
    """
    started = time.perf_counter()
    answer_tokens = sum(len(example.token_ids) for example in examples)
    tally = Tally()

    def loss(outputs: TokenOutputs, part: slice) -> Tensor:
        loss_N = -outputs.logprobs_N / answer_tokens
        tally.add(loss=loss_N, right=outputs.most_likely())
        return loss_N.sum()

    for batch in policy.micro_batches(examples, max_tokens_per_pass):
        policy.backward(batch, loss)
    norm = take_step(optimizer, learning_rate, max_gradient_norm)
    return WarmUpMetrics(
        loss=float(tally.sums["loss"]),
        token_accuracy=float(tally.sums["right"]) / answer_tokens,
        gradient_norm=norm,
        learning_rate=learning_rate,
        answer_token_count=answer_tokens,
        token_count=answer_tokens + sum(len(example.prompt_token_ids) for example in examples),
        seconds=time.perf_counter() - started,
    )
