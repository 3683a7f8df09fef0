"""Advantages against plain loops in Python floats (float64), tolerance 1e-10."""

import math
import random
import statistics
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pinetune.learning.advantages import ESTIMATORS, Evidence, estimate, token_rewards, whiten
from pinetune.learning.settings import AdvantageEstimator, UpdateSettings

TOLERANCE = 1e-10
LENGTHS = [3, 1, 7, 4, 2, 5]
GROUPS = [0, 1, 0, 1, 2, 0]
REWARDS = [1.0, 0.0, 0.1, 0.7, 1.0, 0.1]


def evidence(*, seed: int = 0, dropped: tuple[tuple[int, int], ...] = ()) -> Evidence:
    draw = torch.Generator().manual_seed(seed)
    mask_BT = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    learnt_BT = mask_BT.clone()
    for row, column in dropped:
        learnt_BT[row, column] = False
    ratios_BT = torch.randn(mask_BT.shape, generator=draw, dtype=torch.float64) * learnt_BT
    values_BT = torch.randn(mask_BT.shape, generator=draw, dtype=torch.float64) * mask_BT
    return Evidence(
        rewards_B=torch.tensor(REWARDS, dtype=torch.float64),
        groups_B=torch.tensor(GROUPS),
        mask_BT=mask_BT,
        learnt_BT=learnt_BT,
        log_ratios_BT=ratios_BT,
        values_BT=values_BT,
    )


def rows_of(values_BT: Tensor) -> list[list[float]]:
    """The real tokens of each completion."""
    return [row[:length] for row, length in zip(values_BT.tolist(), LENGTHS, strict=True)]


def assert_equal(found_BT: Tensor, wanted: list[list[float]]) -> None:
    for found_row, wanted_row in zip(rows_of(found_BT), wanted, strict=True):
        assert found_row == pytest.approx(wanted_row, abs=TOLERANCE)
    padding = [x for row, n in zip(found_BT.tolist(), LENGTHS, strict=True) for x in row[n:]]
    assert padding == [0.0] * len(padding)


def plain_rewards(given: Evidence, beta: float) -> list[list[float]]:
    rewards = []
    for ratios, reward in zip(rows_of(given.log_ratios_BT), REWARDS, strict=True):
        row = [-beta * ratio for ratio in ratios]
        row[-1] += reward
        rewards.append(row)
    return rewards


def test_the_reward_comes_with_the_last_token_and_the_penalty_with_each() -> None:
    given = evidence()
    assert_equal(token_rewards(given, 0.05), plain_rewards(given, 0.05))


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.8), (1.0, 1.0), (0.95, 0.0)])
def test_gae_equals_the_sum_of_discounted_surprises(gamma: float, lam: float) -> None:
    given = evidence(dropped=((2, 3),))
    found = estimate(given, UpdateSettings(gamma=gamma, gae_lambda=lam, kl_coefficient=0.05, whiten_advantages=False))
    advantages, returns = [], []
    for rewards, values in zip(plain_rewards(given, 0.05), rows_of(given.values_BT), strict=True):
        after = [*values[1:], 0.0]
        surprises = [r + gamma * v1 - v0 for r, v0, v1 in zip(rewards, values, after, strict=True)]
        # The definition, an explicit sum over all later tokens, rather than the recursion.
        row = [
            sum((gamma * lam) ** (later - t) * surprises[later] for later in range(t, len(surprises)))
            for t in range(len(surprises))
        ]
        advantages.append(row)
        returns.append([a + v for a, v in zip(row, values, strict=True)])
    assert_equal(found.advantages_BT, advantages)
    assert_equal(found.returns_BT, returns)


def test_whitening_gives_mean_zero_and_variance_one_over_the_learnt_tokens_only() -> None:
    given = evidence(dropped=((0, 1), (5, 4)))
    values_BT = torch.randn(given.mask_BT.shape, dtype=torch.float64) * 3 + 5
    white_BT = whiten(values_BT, given.learnt_BT)
    plain = [v for row, learnt in zip(values_BT.tolist(), given.learnt_BT.tolist(), strict=True)
             for v, is_learnt in zip(row, learnt, strict=True) if is_learnt]  # fmt: skip
    mean, variance = statistics.fmean(plain), statistics.variance(plain)
    wanted = [(v - mean) / math.sqrt(variance + 1e-8) for v in plain]
    assert white_BT[given.learnt_BT].tolist() == pytest.approx(wanted, abs=TOLERANCE)
    assert white_BT[~given.learnt_BT].tolist() == [0.0] * int((~given.learnt_BT).sum())


def test_whitening_a_single_token_gives_zero_and_not_a_nan() -> None:
    assert whiten(torch.tensor([[5.0]]), torch.tensor([[True]])).tolist() == [[0.0]]


def plain_groups(rewards: list[float]) -> list[list[float]]:
    """For each completion the rewards of its group, its own among them."""
    return [[r for r, g in zip(rewards, GROUPS, strict=True) if g == group] for group in GROUPS]


def spread(per_completion: list[float]) -> list[list[float]]:
    return [[advantage] * length for advantage, length in zip(per_completion, LENGTHS, strict=True)]


def settings_of(estimator: AdvantageEstimator) -> UpdateSettings:
    return UpdateSettings(advantage_estimator=estimator, kl_coefficient=0.05, whiten_advantages=False)


def test_grpo_divides_by_the_deviation_of_the_group() -> None:
    wanted = []
    for reward, group in zip(REWARDS, plain_groups(REWARDS), strict=True):
        deviation = statistics.stdev(group) if len(group) > 1 else 0.0
        wanted.append((reward - statistics.fmean(group)) / (deviation + 1e-4))
    assert_equal(estimate(evidence(), settings_of(AdvantageEstimator.GRPO)).advantages_BT, spread(wanted))


def test_dr_grpo_subtracts_the_mean_of_the_group_only() -> None:
    wanted = [r - statistics.fmean(group) for r, group in zip(REWARDS, plain_groups(REWARDS), strict=True)]
    assert_equal(estimate(evidence(), settings_of(AdvantageEstimator.DR_GRPO)).advantages_BT, spread(wanted))


def test_rloo_subtracts_the_mean_of_the_others() -> None:
    given = evidence()
    rewards = [sum(row) for row in plain_rewards(given, 0.05)]
    wanted = []
    for reward, group in zip(rewards, plain_groups(rewards), strict=True):
        others = len(group) - 1
        wanted.append(reward - (sum(group) - reward) / others if others else 0.0)
    assert_equal(estimate(given, settings_of(AdvantageEstimator.RLOO)).advantages_BT, spread(wanted))


def test_reinforce_plus_plus_whitens_the_reward_to_go_over_all_tokens() -> None:
    given = evidence()
    to_go = [[sum(row[t:]) for t in range(len(row))] for row in plain_rewards(given, 0.05)]
    plain = [value for row in to_go for value in row]
    mean, deviation = statistics.fmean(plain), math.sqrt(statistics.variance(plain) + 1e-8)
    found = estimate(given, settings_of(AdvantageEstimator.REINFORCE_PLUS_PLUS))
    assert_equal(found.advantages_BT, [[(value - mean) / deviation for value in row] for row in to_go])


def test_a_group_of_equal_rewards_says_nothing() -> None:
    given = evidence()
    given = replace(given, rewards_B=torch.full_like(given.rewards_B, 0.1), log_ratios_BT=given.log_ratios_BT * 0)
    for estimator in (AdvantageEstimator.GRPO, AdvantageEstimator.DR_GRPO, AdvantageEstimator.RLOO):
        found_BT = estimate(given, settings_of(estimator)).advantages_BT
        assert float(found_BT.abs().max()) < 1e-9, estimator


@pytest.mark.parametrize("estimator", AdvantageEstimator)
def test_every_estimator_is_independent_of_the_order_of_completions(estimator: AdvantageEstimator) -> None:
    given = evidence()
    order = list(range(len(LENGTHS)))
    random.Random(1).shuffle(order)
    shuffled = Evidence(*(getattr(given, name)[order] for name in Evidence.__slots__))
    settings = UpdateSettings(advantage_estimator=estimator)
    wanted_BT = estimate(given, settings).advantages_BT[order]
    torch.testing.assert_close(estimate(shuffled, settings).advantages_BT, wanted_BT, rtol=0, atol=TOLERANCE)


def test_every_estimator_has_a_function() -> None:
    assert set(ESTIMATORS) == set(AdvantageEstimator)
