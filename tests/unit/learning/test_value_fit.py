"""The first value head is the best linear one for the first rollouts."""

import numpy
import pytest
import torch
from tests.unit.learning.tiny import tiny_policy, tiny_trajectories

from pinetune.learning.ppo import Trajectory
from pinetune.learning.value_fit import RIDGE, fit_value_head


def test_the_head_equals_a_plain_ridge_regression_of_the_discounted_returns() -> None:
    policy, gamma = tiny_policy(values=True), 0.9
    trajectories = tiny_trajectories(6, policy)
    model = policy.model
    rows, returns = [], []
    for trajectory in trajectories:
        ids = torch.tensor([[*trajectory.prompt_token_ids, *trajectory.token_ids]])
        with torch.no_grad():
            states = model.base_model(input_ids=ids).last_hidden_state[0]
        for position in range(len(trajectory.token_ids)):
            rows.append([*states[len(trajectory.prompt_token_ids) - 1 + position].tolist(), 1.0])
            returns.append(gamma ** (len(trajectory.token_ids) - 1 - position) * trajectory.reward)
    features, targets = numpy.array(rows), numpy.array(returns)
    penalty = numpy.eye(features.shape[1]) * RIDGE * len(rows)
    penalty[-1, -1] = 0
    expected = numpy.linalg.solve(features.T @ features + penalty, features.T @ targets)
    fit_value_head(policy, trajectories, gamma=gamma, max_tokens=32)
    assert policy.value_head is not None
    found = [*policy.value_head.weight[0].tolist(), *policy.value_head.bias.tolist()]
    assert found == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_fit_does_not_touch_the_policy() -> None:
    policy = tiny_policy(values=True)
    before = {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
    fit_value_head(policy, tiny_trajectories(4, policy), gamma=1.0, max_tokens=64)
    assert all(torch.equal(tensor, before[name]) for name, tensor in policy.model.state_dict().items())


def test_equal_rewards_give_a_head_that_says_just_that() -> None:
    policy = tiny_policy(values=True)
    trajectories = [
        Trajectory(t.completion_id, t.group_id, t.prompt_token_ids, t.token_ids, t.logprobs, reward=0.5)
        for t in tiny_trajectories(5, policy)
    ]
    fit_value_head(policy, trajectories, gamma=1.0, max_tokens=64)
    values = policy.score(trajectories, 64).values_BT
    for row, trajectory in zip(values, trajectories, strict=True):
        assert row[: len(trajectory.token_ids)].tolist() == pytest.approx([0.5] * len(trajectory.token_ids), abs=1e-4)


def test_a_policy_without_a_value_head_cannot_be_fitted() -> None:
    policy = tiny_policy(values=False)
    with pytest.raises(ValueError, match="no value head"):
        fit_value_head(policy, tiny_trajectories(2, policy), gamma=1.0, max_tokens=64)
