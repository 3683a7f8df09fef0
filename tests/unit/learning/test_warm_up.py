"""Supervised steps against transformers' own loss, and that they teach."""

import random
from dataclasses import replace

import pytest
import torch
from tests.unit.learning.tiny import VOCABULARY, tiny_policy

from pinetune.learning.optimizer import learning_rate, make_optimizer, take_step
from pinetune.learning.settings import OptimizerSettings, Schedule, WarmUpSettings
from pinetune.learning.warm_up import Example, warm_up

SETTINGS = OptimizerSettings(learning_rate=1e-2, epsilon=1e-3)


def examples(count: int) -> list[Example]:
    draw = random.Random(0)
    return [
        Example(
            [draw.randrange(VOCABULARY) for _ in range(draw.randint(1, 8))],
            [draw.randrange(VOCABULARY) for _ in range(draw.randint(1, 10))],
        )
        for _ in range(count)
    ]


def padded(given: list[Example]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    width = max(len(e.prompt_token_ids) + len(e.token_ids) for e in given)
    ids = torch.zeros(len(given), width, dtype=torch.long)
    labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
    for row, e in enumerate(given):
        start, end = len(e.prompt_token_ids), len(e.prompt_token_ids) + len(e.token_ids)
        ids[row, :end] = torch.tensor([*e.prompt_token_ids, *e.token_ids])
        labels[row, start:end] = torch.tensor(e.token_ids)
        mask[row, :end] = 1
    return ids, labels, mask


@pytest.mark.parametrize("kind", ["llama, tied", "gpt2", "qwen2"])
def test_a_step_equals_that_of_the_plain_loss_on_one_padded_batch(kind: str) -> None:
    ours, plain = tiny_policy(kind, values=False), tiny_policy(kind, values=False)
    given = examples(8)
    metrics = warm_up(
        ours, make_optimizer(ours.parameters(), SETTINGS), given,
        learning_rate=1e-2, max_gradient_norm=1.0, max_tokens_per_pass=30,
    )  # fmt: skip
    ids, labels, mask = padded(given)
    loss = plain.model(input_ids=ids, attention_mask=mask, labels=labels).loss
    loss.backward()
    norm = float(torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0))
    torch.optim.Adam(plain.parameters(), lr=1e-2, eps=1e-3).step()
    assert metrics.loss == pytest.approx(float(loss.detach()), abs=1e-5)
    assert metrics.gradient_norm == pytest.approx(norm, rel=1e-4)
    assert metrics.answer_token_count == int((labels >= 0).sum())
    for mine, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.detach(), other.detach(), rtol=0, atol=1e-5)


def test_warm_up_learns_the_answers_by_heart() -> None:
    policy = tiny_policy(values=False)
    optimizer = make_optimizer(policy.parameters(), SETTINGS)
    given = examples(4)
    seen = [
        warm_up(policy, optimizer, given, learning_rate=1e-2, max_gradient_norm=1.0, max_tokens_per_pass=1000)
        for _ in range(80)
    ]
    assert seen[-1].loss < 0.2 * seen[0].loss
    assert seen[-1].token_accuracy > 0.9


def test_the_rate_rises_evenly_then_stays_falls_or_follows_the_cosine() -> None:
    settings = OptimizerSettings(learning_rate=1.0, warm_up_ratio=0.2, schedule=Schedule.LINEAR)
    rates = [learning_rate(settings, step, 10) for step in range(1, 11)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])
    constant = replace(settings, schedule=Schedule.CONSTANT)
    assert [learning_rate(constant, step, 10) for step in (1, 2, 3, 10, 99)] == [0.5, 1.0, 1.0, 1.0, 1.0]
    cosine = replace(settings, schedule=Schedule.COSINE)
    assert learning_rate(cosine, 7, 10) == pytest.approx(0.5)
    assert learning_rate(cosine, 11, 10) == pytest.approx(0.0)


def test_reft_warms_up_over_a_tenth_of_the_steps() -> None:
    assert learning_rate(WarmUpSettings().optimizer, 10, 100) == 1e-5
    assert learning_rate(WarmUpSettings().optimizer, 5, 100) == pytest.approx(0.5e-5)


def test_gradients_are_clipped_to_the_largest_norm_and_zero_means_no_limit() -> None:
    for limit, wanted in ((1.0, 1.0), (0.0, 5.0)):
        weight = torch.nn.Parameter(torch.zeros(2))
        optimizer = torch.optim.SGD([weight], lr=1.0)
        weight.grad = torch.tensor([3.0, 4.0])
        assert take_step(optimizer, 1.0, limit) == 5.0
        assert float(weight.detach().norm()) == pytest.approx(wanted, rel=1e-5)


def test_decay_pulls_matrices_and_leaves_norms_and_biases_alone() -> None:
    matrix, bias = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    optimizer = make_optimizer([matrix, bias], OptimizerSettings(weight_decay=0.5))
    for parameter in (matrix, bias):
        parameter.grad = torch.zeros_like(parameter)
    take_step(optimizer, 0.1, 0.0)
    assert float(matrix.detach().max()) == pytest.approx(0.95)
    assert float(bias.detach().min()) == 1.0
