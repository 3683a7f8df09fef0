"""Log-probabilities against a plain transformers forward pass, one sequence at a time; tolerance 1e-5."""

import math
from dataclasses import replace

import pytest
import torch
from tests.unit.learning.tiny import CONFIGS, VOCABULARY, WIDTH, tiny_model, tiny_policy, tiny_trajectories
from torch import nn
from transformers.modeling_outputs import CausalLMOutputWithPast

from pinetune.learning import policy as policy_module
from pinetune.learning.policy import Policy, TokenOutputs, make_value_head
from pinetune.learning.ppo import Trajectory


def plain_logprobs(policy: Policy, trajectory: Trajectory) -> list[float]:
    """The log-softmax of the whole model's logits, in float64."""
    ids = torch.tensor([[*trajectory.prompt_token_ids, *trajectory.token_ids]])
    with torch.no_grad():
        logits_LV = policy.model(input_ids=ids).logits[0].double()
    start = len(trajectory.prompt_token_ids) - 1
    rows = logits_LV[start : start + len(trajectory.token_ids)].log_softmax(-1)
    return [float(row[token]) for row, token in zip(rows, trajectory.token_ids, strict=True)]


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("max_tokens", [12, 10_000])
def test_log_probabilities_equal_those_of_a_plain_forward_pass(kind: str, max_tokens: int) -> None:
    policy = tiny_policy(kind)
    trajectories = tiny_trajectories(7, policy)
    scores = policy.score(trajectories, max_tokens)
    for row, trajectory in enumerate(trajectories):
        found = scores.logprobs_BT[row].tolist()
        assert found[: len(trajectory.token_ids)] == pytest.approx(plain_logprobs(policy, trajectory), abs=1e-5)
        assert found[len(trajectory.token_ids) :] == [0.0] * (len(found) - len(trajectory.token_ids))


@pytest.mark.parametrize("kind", ["llama, tied", "gemma2, soft-capped", "granite, scaled"])
def test_chunks_of_the_head_change_neither_loss_nor_gradient(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = []
    for rows in (1000, 3):
        monkeypatch.setattr(policy_module, "CHUNK_ROWS_MIN", rows)
        monkeypatch.setattr(policy_module, "LOGITS_CHUNK_BYTES", 4 * VOCABULARY * rows)
        policy = tiny_policy(kind)
        trajectories = tiny_trajectories(5, policy)
        for batch in policy.micro_batches(trajectories, 10_000):
            policy.backward(batch, lambda outputs, part: (outputs.logprobs_N.exp() + outputs.values_N).sum())
        gradients.append([parameter.grad for parameter in policy.parameters()])
    for whole, chunked in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, chunked, rtol=1e-5, atol=1e-5)


def test_the_entropy_is_that_of_the_whole_distribution() -> None:
    policy = tiny_policy()
    [batch] = policy.micro_batches(tiny_trajectories(3, policy), 10_000)
    with torch.no_grad():
        outputs = policy.heads(policy.hidden(batch), batch.targets_N)
    for row, found in zip(outputs.log_distribution_NV.tolist(), outputs.entropies().tolist(), strict=True):
        assert found == pytest.approx(-sum(math.exp(x) * x for x in row), abs=1e-5)
        assert sum(math.exp(x) for x in row) == pytest.approx(1, abs=1e-5)


def test_values_come_from_the_state_before_each_token() -> None:
    policy = tiny_policy()
    trajectories = tiny_trajectories(4, policy)
    values_BT = policy.score(trajectories, 10_000).values_BT
    for row, trajectory in enumerate(trajectories):
        ids = torch.tensor([[*trajectory.prompt_token_ids, *trajectory.token_ids]])
        with torch.no_grad():
            states = policy.model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0]
            assert policy.value_head is not None
            values = policy.value_head(states)[:, 0].tolist()
        start = len(trajectory.prompt_token_ids) - 1
        wanted = values[start : start + len(trajectory.token_ids)]
        assert values_BT[row, : len(wanted)].tolist() == pytest.approx(wanted, abs=1e-5)


def test_autocast_stays_near_float32_and_gives_float32_log_probabilities() -> None:
    exact, rounded = tiny_policy(), tiny_policy(autocast=True)
    trajectories = tiny_trajectories(5, exact)
    wanted_BT, found_BT = (policy.score(trajectories, 10_000).logprobs_BT for policy in (exact, rounded))
    assert found_BT.dtype == torch.float32
    assert 0 < float((wanted_BT - found_BT).abs().max()) < 0.2


def test_a_zero_value_head_says_zero_and_a_random_one_does_not() -> None:
    draw = torch.Generator().manual_seed(1)
    assert [p.count_nonzero().item() for p in make_value_head(WIDTH, zero=True, generator=draw).parameters()] == [0, 0]
    bound = WIDTH**-0.5
    for parameter in make_value_head(WIDTH, zero=False, generator=draw).parameters():
        assert 0 < float(parameter.detach().abs().max()) <= bound


def square_logits(module: nn.Module, args: object, output: CausalLMOutputWithPast) -> CausalLMOutputWithPast:
    assert output.logits is not None
    return CausalLMOutputWithPast(logits=torch.FloatTensor(output.logits.square()))


def test_a_model_that_changes_its_logits_in_an_unknown_way_is_refused() -> None:
    model = tiny_model()
    model.register_forward_hook(square_logits)
    with pytest.raises(ValueError, match="changes its logits after lm_head"):
        Policy(model)


def test_a_model_without_a_linear_head_is_refused() -> None:
    model = tiny_model("llama")
    model.set_output_embeddings(nn.Sequential(nn.Linear(WIDTH, VOCABULARY)))
    with pytest.raises(ValueError, match="no linear lm_head"):
        Policy(model)


def test_equal_batches_give_equal_gradients_on_many_threads() -> None:
    policy = tiny_policy()
    shared = tiny_trajectories(1, policy)[0]
    trajectories = [replace(shared, completion_id=str(number)) for number in range(600)]

    def gradient() -> list[torch.Tensor]:
        policy.zero_grad()
        for batch in policy.micro_batches(trajectories, 100_000):
            weights_N = torch.randn(len(batch.targets_N), generator=torch.Generator().manual_seed(0))

            def loss(outputs: TokenOutputs, part: slice, weights_N: torch.Tensor = weights_N) -> torch.Tensor:
                return (outputs.logprobs_N * weights_N[part]).sum()

            policy.backward(batch, loss)
        return [parameter.grad.clone() for parameter in policy.model.parameters() if parameter.grad is not None]

    torch.set_num_threads(16)  # Every border between threads is a place to race for.
    try:
        first = gradient()
        for _ in range(20):
            assert all(map(torch.equal, first, gradient()))
    finally:
        torch.set_num_threads(1)
