"""With bfloat16 the learner still learns on float32 weights; only its passes and what it writes for samplers round."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.unit.learning.tiny import tiny_model
from transformers import AutoModelForCausalLM, PreTrainedModel

from pinetune.learning.checkpoints import restore_checkpoint, save_checkpoint
from pinetune.learning.learner import Learner, Order
from pinetune.learning.policy_files import WEIGHTS_FILE, tensor_sha256
from pinetune.learning.ppo import Trajectory
from pinetune.learning.settings import ComputeSettings, OptimizerSettings, UpdateSettings, WarmUpSettings
from pinetune.learning.warm_up import Example
from pinetune.pod.manifest import content_hash

RATE = 1e-6
"""Of the size that fine-tuning takes; next to a weight of 0.3, bfloat16 has no number nearer than 1e-3."""
STEPS = 8
EXAMPLE = Example([5, 6, 7], [8, 9, 3, 4])


@pytest.fixture(params=["llama", "llama, tied"])
def order(request: pytest.FixtureRequest, tmp_path: Path) -> Order:
    tiny_model(request.param).save_pretrained(tmp_path / "base")
    rates = OptimizerSettings(learning_rate=RATE)
    return Order(
        job_id="job-1",
        model_uri=str(tmp_path / "base"),
        warm_up=WarmUpSettings(rates),
        update=UpdateSettings(rates),
        compute=ComputeSettings(device="cpu", dtype="bfloat16", autocast=True, max_tokens_per_pass=64),
    )


def warmed_up(order: Order) -> Learner:
    learner = Learner(order)
    for step in range(1, STEPS + 1):
        learner.warm_up(step, [EXAMPLE], request_hash=str(step))
    return learner


def update(learner: Learner) -> None:
    learner.freeze_reference()
    version = learner.policy_version + learner.changed
    drawn = [Trajectory(f"c{i}", "g", [5, 6], [7, 8 + i], [], float(i), version) for i in range(2)]
    rows = learner.score(drawn)
    learner.update(1, [replace(t, logprobs=row) for t, row in zip(drawn, rows, strict=True)], request_hash="u")


def plainly_warmed_up(model: PreTrainedModel) -> PreTrainedModel:
    """AdamW written out, on float32 weights with the forward pass in bfloat16."""
    weights = [weight.requires_grad_() for weight in model.parameters()]
    first, second = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    ids = torch.tensor([[*EXAMPLE.prompt_token_ids, *EXAMPLE.token_ids]])
    for step in range(1, STEPS + 1):
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=ids[:, :-1]).logits[0, len(EXAMPLE.prompt_token_ids) - 1 :]
        loss = torch.nn.functional.cross_entropy(logits.float(), torch.tensor(EXAMPLE.token_ids))
        gradients = torch.autograd.grad(loss, weights)
        norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
        with torch.no_grad():
            for weight, gradient, mean, square in zip(weights, gradients, first, second, strict=True):
                clipped = gradient / max(1.0, float(norm))
                mean.mul_(0.9).add_(0.1 * clipped)
                square.mul_(0.999).add_(0.001 * clipped.square())
                weight -= RATE * (mean / (1 - 0.9**step)) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
    return model


def test_small_steps_add_up_as_in_a_plain_loop(order: Order) -> None:
    base = AutoModelForCausalLM.from_pretrained(order.model_uri).state_dict()
    wanted = plainly_warmed_up(AutoModelForCausalLM.from_pretrained(order.model_uri)).state_dict()
    held = warmed_up(order).policy.model.state_dict()
    for name, weight in held.items():
        assert weight.dtype == torch.float32
        moved, meant = weight - base[name], wanted[name] - base[name]
        assert float(moved.abs().max()) > 0.5 * STEPS * RATE, f"{name} has moved"
        # Adam's steps turn with the sign of the smallest gradients, which rounding decides: a few may differ.
        assert float((moved - meant).abs().mean()) < 0.02 * float(meant.abs().mean()), name


def test_policy_updates_move_float32_weights_too(order: Order) -> None:
    learner = Learner(order)
    before = {name: tensor.clone() for name, tensor in learner.policy.model.state_dict().items()}
    update(learner)
    moved = learner.policy.model.state_dict()
    assert all(not torch.equal(before[name], tensor) for name, tensor in moved.items())
    assert learner.reference is not None
    assert all(torch.equal(before[name], t) for name, t in learner.reference.model.state_dict().items())
    assert {t.dtype for t in [*moved.values(), *learner.reference.state_dict().values()]} == {torch.float32}


def test_the_written_policy_is_bfloat16_and_its_manifest_attests_that(order: Order, tmp_path: Path) -> None:
    learner = warmed_up(order)
    manifest = learner.save_policy(str(tmp_path / "p"), 1)
    stored = load_file(tmp_path / "p" / WEIGHTS_FILE)
    held = learner.policy.model.state_dict()
    assert {entry.dtype for entry in manifest.tensors} == {"bfloat16"}
    assert [entry.sha256 for entry in manifest.tensors] == [tensor_sha256(stored[e.name]) for e in manifest.tensors]
    assert manifest.content_hash == content_hash(manifest.tensors)
    assert all(torch.equal(tensor, held[name].bfloat16()) for name, tensor in stored.items())
    assert learner.save_policy(str(tmp_path / "p"), 1) == manifest, "writing it again changes nothing"


def test_the_written_policy_loads_as_bfloat16_and_scores_as_the_learner_does(order: Order, tmp_path: Path) -> None:
    learner = warmed_up(order)
    learner.save_policy(str(tmp_path / "p"), 1)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "p")
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    [row] = learner.score([EXAMPLE])
    ids = torch.tensor([[*EXAMPLE.prompt_token_ids, *EXAMPLE.token_ids]])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, len(EXAMPLE.prompt_token_ids) - 1 : -1]
    sampled = logits.float().log_softmax(-1).gather(1, torch.tensor(EXAMPLE.token_ids)[:, None])[:, 0]
    assert float((torch.tensor(row) - sampled).abs().mean()) < 0.1, "the default of policies.max_canary_gap"


def test_a_checkpoint_keeps_what_bfloat16_cannot_say(order: Order, tmp_path: Path) -> None:
    learner = warmed_up(order)
    update(learner)
    save_checkpoint(learner, str(tmp_path / "states" / "s"), "")
    restored = Learner(order)
    restore_checkpoint(restored, str(tmp_path / "states" / "s"))
    held = learner.policy.state_dict()
    assert all(torch.equal(held[name], tensor) for name, tensor in restored.policy.state_dict().items())
    assert any(not torch.equal(tensor, tensor.bfloat16().float()) for tensor in held.values())
