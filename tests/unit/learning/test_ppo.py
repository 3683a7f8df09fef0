"""The whole update against `plain_ppo.py`: weights after the step equal within 1e-6; and what an update promises."""

import copy
import math
import random
from collections.abc import Sequence
from dataclasses import fields, replace

import pytest
import torch
from tests.unit.learning.plain_ppo import plain_update
from tests.unit.learning.tiny import WIDTH, tiny_policy, tiny_trajectories, with_logprob
from torch import Tensor

from pinetune.learning.measurements import (
    SamplerGap,
    UpdateMetrics,
    effective_share,
    explained_variance,
    sampler_gap,
    zero_variance_group_share,
)
from pinetune.learning.optimizer import make_optimizer
from pinetune.learning.policy import Policy, make_value_head
from pinetune.learning.ppo import Trajectory, update
from pinetune.learning.settings import AdvantageEstimator, OptimizerSettings, UpdateSettings

# A large epsilon, so that Adam does not blow rounding errors of vanishing gradients up to whole steps.
OPTIMIZER = OptimizerSettings(learning_rate=2e-3, epsilon=1e-3)
GAE = UpdateSettings(optimizer=OPTIMIZER)
GRPO = UpdateSettings(
    optimizer=OPTIMIZER, advantage_estimator=AdvantageEstimator.GRPO, whiten_advantages=False, epoch_count=1
)
SETTINGS = {
    "ReFT's PPO": GAE,
    "mean over tokens, entropy bonus": replace(GAE, length_normalised=False, entropy_coefficient=0.1),
    "discounted, unwhitened, strong penalty": replace(GAE, gamma=0.9, whiten_advantages=False, kl_coefficient=0.3),
    "GRPO": GRPO,
    "GRPO, two passes over tokens": replace(GRPO, epoch_count=2, length_normalised=False, kl_coefficient=0.2),
}


def learn(
    policy: Policy, reference: Policy, given: list[Trajectory], settings: UpdateSettings, **how: int
) -> UpdateMetrics:
    optimizer = make_optimizer(policy.parameters(), settings.optimizer)
    return update(
        policy,
        reference,
        optimizer,
        given,
        settings,
        learning_rate=settings.optimizer.learning_rate,
        max_tokens_per_pass=how.get("max_tokens", 10_000),
        order=random.Random(how.get("order", 0)),
    )


def weights_of(policy: Policy) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in policy.parameters()]


def assert_weights_equal(left: Policy, right: Policy, *, atol: float = 1e-6) -> None:
    for mine, other in zip(weights_of(left), weights_of(right), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=atol)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("dropped", [False, True], ids=["all tokens", "some tokens dropped"])
def test_an_update_equals_the_plain_padded_one(settings: UpdateSettings, dropped: bool) -> None:
    values = settings.advantage_estimator.uses_values
    policy, plain = tiny_policy(values=values), tiny_policy(values=values)
    reference = tiny_policy(seed=1, values=False)
    given = tiny_trajectories(9, policy, group_size=3)
    if dropped:
        given[0] = with_logprob(given[0], 0, math.nan)
        given[4] = with_logprob(given[4], -1, -math.inf)
    before = weights_of(policy)
    learn(policy, reference, given, settings, max_tokens=40)
    plain_update(plain.model, plain.value_head, reference.model, given, settings)
    assert_weights_equal(policy, plain)
    moved = max(float((a - b).abs().max()) for a, b in zip(weights_of(policy), before, strict=True))
    assert moved > 1e-4, "the step must be far larger than the tolerance"


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen3", "gemma2, soft-capped"])
def test_gradients_do_not_depend_on_the_cut_into_micro_batches(kind: str) -> None:
    policies = [tiny_policy(kind) for _ in range(3)]
    reference = tiny_policy(kind, seed=1, values=False)
    given = tiny_trajectories(9, policies[0])
    settings = replace(GAE, mini_batch_count=2)
    for policy, max_tokens in zip(policies, (1, 50, 10_000), strict=True):
        learn(policy, reference, given, settings, max_tokens=max_tokens)
    assert_weights_equal(policies[0], policies[2])
    assert_weights_equal(policies[1], policies[2])


def test_the_same_seed_gives_the_same_weights_bit_for_bit_and_another_order_does_not() -> None:
    settings = replace(GAE, mini_batch_count=3)
    policies = [tiny_policy() for _ in range(3)]
    given = tiny_trajectories(9, policies[0])
    for policy, order in zip(policies, (5, 5, 6), strict=True):
        learn(policy, tiny_policy(seed=1, values=False), given, settings, order=order)
    assert_weights_equal(policies[0], policies[1], atol=0)
    with pytest.raises(AssertionError):
        assert_weights_equal(policies[0], policies[2], atol=0)


def test_the_order_of_the_trajectories_does_not_matter_where_a_pass_is_one_step() -> None:
    policies = [tiny_policy() for _ in range(2)]
    given = tiny_trajectories(8, policies[0])
    for policy, trajectories in zip(policies, (given, given[::-1]), strict=True):
        learn(policy, tiny_policy(seed=1, values=False), trajectories, GAE)
    assert_weights_equal(*policies)


def test_a_token_without_a_finite_log_probability_is_dropped_and_counted() -> None:
    policy = tiny_policy()
    given = tiny_trajectories(6, policy)
    tokens = sum(len(t.token_ids) for t in given)
    given[1] = with_logprob(given[1], 0, math.nan)
    given[2] = with_logprob(given[2], 0, math.inf)
    metrics = learn(policy, tiny_policy(seed=1, values=False), given, GAE)
    assert metrics.dropped_token_count == 2
    assert metrics.completion_token_count == tokens - 2
    assert all(math.isfinite(getattr(metrics, name)) for name in UpdateMetrics.__slots__)
    assert all(bool(weight.isfinite().all()) for weight in weights_of(policy))


def test_nothing_is_learnt_where_every_token_is_dropped() -> None:
    policy = tiny_policy()
    given = [replace(t, logprobs=[math.nan] * len(t.token_ids)) for t in tiny_trajectories(3, policy)]
    before = weights_of(policy)
    metrics = learn(policy, tiny_policy(seed=1, values=False), given, GAE)
    assert metrics.completion_token_count == 0
    for old, new in zip(before, weights_of(policy), strict=True):
        assert torch.equal(old, new)


def test_the_metrics_are_those_of_the_data() -> None:
    policy = tiny_policy()
    reference = tiny_policy(seed=1, values=False)
    given = tiny_trajectories(8, policy, group_size=4)
    given = [replace(t, reward=0.0 if t.group_id == "g0" else float(i % 2)) for i, t in enumerate(given)]
    own, theirs = (p.score(given, 10_000).logprobs_BT.tolist() for p in (policy, reference))
    metrics = learn(policy, reference, given, GAE)
    gaps = [abs(new - old) for t, row in zip(given, own, strict=True)
            for new, old in zip(row[: len(t.token_ids)], t.logprobs, strict=True)]  # fmt: skip
    kls = [sum(old - ref for old, ref in zip(t.logprobs, row[: len(t.token_ids)], strict=True))
           for t, row in zip(given, theirs, strict=True)]  # fmt: skip
    assert metrics.reward_mean == pytest.approx(0.25)
    assert metrics.zero_variance_group_share == 0.5
    assert metrics.sampler_gap_mean == pytest.approx(sum(gaps) / len(gaps), abs=1e-5)
    for share, found in (
        (0.5, metrics.sampler_gap_p50),
        (0.95, metrics.sampler_gap_p95),
        (0.99, metrics.sampler_gap_p99),
    ):
        assert found == pytest.approx(sorted(gaps)[math.ceil(share * len(gaps)) - 1], abs=1e-5)
    assert metrics.sampler_gap_max == pytest.approx(max(gaps), abs=1e-5)
    assert metrics.kl_to_reference == pytest.approx(sum(kls) / len(kls), abs=1e-4)
    assert metrics.token_count == sum(len(t.prompt_token_ids) + len(t.token_ids) for t in given)
    assert metrics.learning_rate == OPTIMIZER.learning_rate
    assert 0 < metrics.clip_fraction < 1
    assert 0 < metrics.effective_sequence_share < metrics.effective_sample_share < 1
    assert metrics.bounded_token_count == 0
    assert metrics.approximate_kl > 0


def test_a_gradient_that_is_not_finite_stops_the_update() -> None:
    policy = tiny_policy()
    given = [replace(t, reward=math.inf) for t in tiny_trajectories(2, policy)]
    with pytest.raises(FloatingPointError, match="gradient norm"):
        learn(policy, tiny_policy(seed=1, values=False), given, replace(GAE, whiten_advantages=False))


def test_no_gap_means_every_sample_is_effective() -> None:
    logprobs_N = torch.tensor([-1.0, -2.0, -0.5])
    assert sampler_gap(logprobs_N[None], logprobs_N[None], torch.ones(1, 3, dtype=torch.bool)) == SamplerGap()


def plain_share(weights: Sequence[float]) -> float:
    return sum(weights) ** 2 / (len(weights) * sum(weight * weight for weight in weights))


def test_the_gap_and_both_effective_shares_are_those_of_plain_loops() -> None:
    draw = random.Random(3)
    lengths = [7, 1, 12, 5, 3]
    rows = [[(draw.uniform(-4, 0), draw.uniform(-4, 0)) for _ in range(length)] for length in lengths]
    learnt = [[draw.random() < 0.8 for _ in row] for row in rows]
    learnt[1] = [False]  # A completion of which nothing is learnt counts nowhere.
    tensors = [torch.full((5, 12), math.nan), torch.full((5, 12), math.nan)]
    mask_BT = torch.zeros(5, 12, dtype=torch.bool)
    for index, (row, used) in enumerate(zip(rows, learnt, strict=True)):
        for at, (pair, is_learnt) in enumerate(zip(row, used, strict=True)):
            mask_BT[index, at] = is_learnt
            for tensor, value in zip(tensors, pair, strict=True):
                tensor[index, at] = value
    gap = sampler_gap(tensors[0], tensors[1], mask_BT)

    kept = [[pair for pair, is_learnt in zip(row, used, strict=True) if is_learnt]
            for row, used in zip(rows, learnt, strict=True)]  # fmt: skip
    gaps = sorted(abs(one - other) for row in kept for one, other in row)
    assert gap.mean == pytest.approx(sum(gaps) / len(gaps), abs=1e-6)
    for share, found in ((0.5, gap.p50), (0.95, gap.p95), (0.99, gap.p99), (1.0, gap.max)):
        # The smallest gap that this share of the tokens does not pass.
        expected = next(one for one in gaps if sum(other <= one for other in gaps) >= share * len(gaps))
        assert found == pytest.approx(expected, abs=1e-6)
    tokens = [math.exp(one - other) for row in kept for one, other in row]
    sequences = [math.exp(sum(one - other for one, other in row)) for row in kept if row]
    assert gap.effective_sample_share == pytest.approx(plain_share(tokens), rel=1e-5)
    assert gap.effective_sequence_share == pytest.approx(plain_share(sequences), rel=1e-5)


def test_effective_shares_survive_huge_weights() -> None:
    assert effective_share(torch.tensor([0.0, 1.0])) == pytest.approx(plain_share([1.0, math.e]))
    assert effective_share(torch.tensor([0.0, 5000.0])) == pytest.approx(0.5)


def test_ratios_beyond_the_bound_are_counted_and_leave_every_number_finite() -> None:
    policy = tiny_policy()
    given = tiny_trajectories(4, policy)
    given[0] = with_logprob(given[0], 0, -500.0)  # The learner finds likely what the sampler found impossible.
    metrics = learn(policy, tiny_policy(seed=1, values=False), given, GAE)
    assert metrics.bounded_token_count == GAE.epoch_count
    assert metrics.sampler_gap_max > 400
    assert all(math.isfinite(getattr(metrics, field.name)) for field in fields(metrics))


def test_explained_variance_is_one_for_perfect_values_and_zero_for_constant_ones() -> None:
    returns_N = torch.tensor([0.0, 1.0, 2.0])
    assert explained_variance(returns_N, returns_N) == 1.0
    assert explained_variance(torch.ones(3), returns_N) == 0.0
    assert explained_variance(torch.ones(3), torch.ones(3)) == 0.0


def test_a_group_counts_as_without_variance_only_where_all_its_rewards_are_equal() -> None:
    rewards_B = torch.tensor([0.1, 0.1, 0.1, 0.2, 1.0], dtype=torch.float64)
    assert zero_variance_group_share(rewards_B, torch.tensor([0, 0, 1, 1, 2])) == pytest.approx(2 / 3)


@pytest.mark.parametrize("estimator", AdvantageEstimator)
def test_the_reward_of_a_bandit_rises(estimator: AdvantageEstimator) -> None:
    """Two prompts; a token is right where it leaves the same remainder as the prompt, divided by 3."""
    policy = tiny_policy(values=False)
    policy = Policy(policy.model, make_value_head(WIDTH, zero=True, generator=torch.Generator()))
    reference = copy.deepcopy(policy)
    settings = UpdateSettings(
        optimizer=OptimizerSettings(learning_rate=1e-2),
        advantage_estimator=estimator,
        value_coefficient=0.5,
        kl_coefficient=0.001,
    )
    optimizer = make_optimizer(policy.parameters(), settings.optimizer)
    draw = torch.Generator().manual_seed(0)
    means = []
    for step in range(25):
        given = [t for prompt in (3, 7) for t in sample(policy, prompt, 16, draw)]
        metrics = update(
            policy, reference, optimizer, given, settings,
            learning_rate=1e-2, max_tokens_per_pass=1000, order=random.Random(step),
        )  # fmt: skip
        means.append(metrics.reward_mean)
    assert sum(means[:3]) / 3 < 0.5
    assert sum(means[-3:]) / 3 > 0.85, means


@torch.no_grad()
def sample(policy: Policy, prompt: int, count: int, draw: torch.Generator) -> list[Trajectory]:
    ids, logprobs = torch.full((count, 1), prompt), torch.zeros(count, 0)
    for _ in range(2):
        distribution = policy.model(input_ids=ids).logits[:, -1].log_softmax(-1)
        tokens = torch.multinomial(distribution.exp(), 1, generator=draw)
        ids, logprobs = torch.cat([ids, tokens], 1), torch.cat([logprobs, distribution.gather(1, tokens)], 1)
    rewards = (ids[:, 1:] % 3 == prompt % 3).float().mean(-1)
    return [
        Trajectory("", str(prompt), [prompt], row[1:], given, reward)
        for row, given, reward in zip(ids.tolist(), logprobs.tolist(), rewards.tolist(), strict=True)
    ]
