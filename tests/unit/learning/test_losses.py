"""Losses against plain scalar formulas in Python floats (float64), tolerance 1e-10."""

import math

import pytest
import torch

from pinetune.learning.losses import policy_losses, reference_losses, token_weights, value_losses

TOLERANCE = 1e-10
LOG_RATIOS = [-0.5, -0.1, 0.0, 0.1, 0.5, 0.5, -0.5]
ADVANTAGES = [1.0, -2.0, 0.5, 1.5, 2.0, -1.0, -1.0]


def doubles(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_policy_loss_is_the_pessimistic_one_of_plain_and_clipped() -> None:
    wanted, clipped = [], []
    for log_ratio, advantage in zip(LOG_RATIOS, ADVANTAGES, strict=True):
        ratio = math.exp(log_ratio)
        gain, clipped_gain = ratio * advantage, min(max(ratio, 0.8), 1.2) * advantage
        wanted.append(-min(gain, clipped_gain))
        clipped.append(clipped_gain < gain)
    losses_N, clipped_N = policy_losses(doubles(LOG_RATIOS), doubles(ADVANTAGES), 0.2)
    assert losses_N.tolist() == pytest.approx(wanted, abs=TOLERANCE)
    assert clipped_N.tolist() == clipped
    assert True in clipped, "the table must hold a clipped token"


def test_a_clipped_token_has_no_gradient_and_one_that_moved_the_wrong_way_has() -> None:
    log_ratios_N = doubles([0.5, 0.5]).requires_grad_()
    losses_N, _ = policy_losses(log_ratios_N, doubles([1.0, -1.0]), 0.2)
    losses_N.sum().backward()  # type: ignore[no-untyped-call]  # torch
    assert log_ratios_N.grad is not None
    assert log_ratios_N.grad.tolist() == pytest.approx([0.0, math.exp(0.5)], abs=TOLERANCE)


def test_a_huge_log_ratio_keeps_loss_and_gradient_finite() -> None:
    log_ratios_N = torch.tensor([500.0, -500.0], requires_grad=True)
    losses_N, _ = policy_losses(log_ratios_N, torch.tensor([-1.0, -1.0]), 0.2)
    losses_N.sum().backward()  # type: ignore[no-untyped-call]  # torch
    assert log_ratios_N.grad is not None
    assert bool(losses_N.isfinite().all())
    assert bool(log_ratios_N.grad.isfinite().all())


def test_the_value_loss_is_half_the_larger_square() -> None:
    new, old, returns = [0.0, 0.9, -0.4, 0.1], [0.0, 0.1, 0.3, 0.2], [1.0, 0.8, -0.5, 0.2]
    wanted = []
    for value, old_value, target in zip(new, old, returns, strict=True):
        clipped = old_value + min(max(value - old_value, -0.2), 0.2)
        wanted.append(0.5 * max((value - target) ** 2, (clipped - target) ** 2))
    found_N = value_losses(doubles(new), doubles(old), doubles(returns), 0.2)
    assert found_N.tolist() == pytest.approx(wanted, abs=TOLERANCE)


def test_the_reference_loss_is_never_negative_and_zero_where_policies_agree() -> None:
    new, reference = [-1.0, -2.0, -0.3], [-1.0, -1.0, -2.3]
    wanted = [math.exp(r - n) - (r - n) - 1 for n, r in zip(new, reference, strict=True)]
    found = reference_losses(doubles(new), doubles(reference)).tolist()
    assert found == pytest.approx(wanted, abs=TOLERANCE)
    assert found[0] == 0.0
    assert min(found) >= 0.0


LEARNT = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], dtype=torch.bool)


def test_length_normalised_weights_share_one_sample_weight_among_its_learnt_tokens() -> None:
    weights = token_weights(LEARNT, length_normalised=True)
    third = 1 / 3  # The last sample has nothing to learn from and does not count.
    wanted = [[third / 4] * 4, [third, 0, 0, 0], [0, third / 2, third / 2, 0], [0, 0, 0, 0]]
    torch.testing.assert_close(weights, torch.tensor(wanted))


def test_token_weights_are_equal_for_all_learnt_tokens_otherwise() -> None:
    torch.testing.assert_close(token_weights(LEARNT, length_normalised=False), LEARNT.float() / 7)


def test_weights_are_zero_and_finite_where_nothing_is_learnt() -> None:
    for length_normalised in (True, False):
        weights = token_weights(torch.zeros(2, 3, dtype=torch.bool), length_normalised=length_normalised)
        assert weights.tolist() == [[0.0] * 3] * 2
