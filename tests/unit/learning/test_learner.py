"""The order in which a learner may change, what it refuses, and that a restored one goes on bit for bit."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from pinetune.learning.checkpoints import restore_checkpoint, save_checkpoint
from pinetune.learning.learner import Learner, Order
from pinetune.learning.nano import make_nano_model
from pinetune.learning.policy_files import WEIGHTS_FILE, tensor_sha256
from pinetune.learning.ppo import Trajectory
from pinetune.learning.settings import (
    AdvantageEstimator,
    ComputeSettings,
    NanoSettings,
    OptimizerSettings,
    Schedule,
    UpdateSettings,
    ValueHeadStart,
    WarmUpSettings,
)
from pinetune.learning.warm_up import Example
from pinetune.pod.errors import Conflict, Corrupt, InvalidInput, NotFound, PinetuneError
from pinetune.pod.manifest import content_hash, read_manifest

RATES = OptimizerSettings(learning_rate=1e-3)
EXAMPLES = [Example([5, 6, 7], [8, 9]), Example([6], [7, 8, 9, 10])]
OTHERS = [Example([9, 9], [5]), Example([5, 7], [6, 6, 6])]


@pytest.fixture(scope="module")
def model_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("base")
    (folder / "corpus.jsonl").write_text(json.dumps("Tom has 12 apples. The answer is 42.") + "\n")
    shape = NanoSettings(layer_count=1, width=16, head_count=2, vocabulary_size=270, max_tokens=32)
    make_nano_model(shape, corpus_uri=str(folder / "corpus.jsonl"), model_uri=str(folder / "model"), seed=0)
    return str(folder / "model")


@pytest.fixture
def order(model_uri: str) -> Order:
    return Order(
        job_id="job-1",
        model_uri=model_uri,
        warm_up=WarmUpSettings(RATES, step_count=4),
        update=UpdateSettings(RATES, step_count=10, mini_batch_count=2),
        compute=ComputeSettings(device="cpu", max_tokens_per_pass=64),
        seed=3,
    )


def trajectories(learner: Learner, *, version: int = 0, salt: int = 0) -> list[Trajectory]:
    drawn = [
        Trajectory(f"c{i}", f"g{i // 2}", [5 + i, 6], [7 + salt, 8, 9 + i][: 1 + i % 3], [], float(i % 2), version)
        for i in range(6)
    ]
    rows = learner.policy.score(drawn, 1000).logprobs_BT.tolist()
    return [replace(t, logprobs=row[: len(t.token_ids)]) for t, row in zip(drawn, rows, strict=True)]


def weights_of(learner: Learner) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in learner.policy.state_dict().items()}


def assert_equal(left: Learner, right: Learner) -> None:
    mine, other = weights_of(left), weights_of(right)
    assert mine.keys() == other.keys()
    assert all(torch.equal(mine[name], other[name]) for name in mine)


def warmed_up(order: Order) -> Learner:
    learner = Learner(order)
    learner.warm_up(1, EXAMPLES, request_hash="a")
    learner.warm_up(2, OTHERS, request_hash="b")
    learner.save_policy("memory://warmed-up", 1)
    learner.freeze_reference()
    return learner


def do_updates(learner: Learner, first: int, last: int) -> None:
    for step in range(first, last + 1):
        given = trajectories(learner, version=learner.policy_version, salt=step)
        learner.update(step, given, request_hash=str(step))
        learner.save_policy(f"memory://policy-{step}", learner.policy_version + 1)


def refused(kind: type[PinetuneError], action: Callable[[], object], reason: str) -> str:
    with pytest.raises(kind) as caught:
        action()
    assert caught.value.reason == reason
    return caught.value.message


# Order


def test_a_repeated_step_gets_the_stored_answer_and_nothing_is_learnt_twice(order: Order) -> None:
    learner = warmed_up(order)
    given = trajectories(learner, version=1)
    first = learner.update(1, given, request_hash="x")
    after = weights_of(learner)
    assert learner.update(1, given, request_hash="x") == first
    assert all(torch.equal(after[name], tensor) for name, tensor in weights_of(learner).items())


@pytest.mark.parametrize("step", [0, 3, 7])
def test_a_step_out_of_order_is_refused(order: Order, step: int) -> None:
    learner = Learner(order)
    learner.warm_up(1, EXAMPLES, request_hash="a")
    message = refused(Conflict, lambda: learner.warm_up(step, EXAMPLES, request_hash="a"), "STEP_OUT_OF_ORDER")
    assert f"must be 2, the next warm-up step, or the last one again; given {step}" in message


def test_a_repeated_step_with_another_content_is_refused(order: Order) -> None:
    learner = Learner(order)
    learner.warm_up(1, EXAMPLES, request_hash="a")
    refused(Conflict, lambda: learner.warm_up(1, OTHERS, request_hash="b"), "STEP_CONTENT_CHANGED")


def test_phases_come_in_order(order: Order) -> None:
    learner = Learner(order)
    refused(Conflict, lambda: learner.update(1, trajectories(learner), request_hash="x"), "REFERENCE_NOT_FROZEN")
    learner.freeze_reference()
    refused(Conflict, lambda: learner.warm_up(1, EXAMPLES, request_hash="a"), "WARM_UP_OVER")
    learner.freeze_reference()
    learner.update(1, trajectories(learner), request_hash="x")
    refused(Conflict, learner.freeze_reference, "REFERENCE_FROZEN")


def test_what_was_not_ordered_is_refused(order: Order) -> None:
    supervised = Learner(replace(order, update=None))
    supervised.freeze_reference()
    refused(Conflict, lambda: supervised.update(1, trajectories(supervised), request_hash="x"), "UPDATE_NOT_ORDERED")
    assert supervised.policy.value_head is None
    rewarded = Learner(replace(order, warm_up=None))
    refused(Conflict, lambda: rewarded.warm_up(1, EXAMPLES, request_hash="a"), "WARM_UP_NOT_ORDERED")
    refused(InvalidInput, lambda: Learner(replace(order, warm_up=None, update=None)), "NOTHING_TO_LEARN")


def test_a_step_beyond_a_falling_schedule_is_refused(order: Order) -> None:
    falling = replace(RATES, schedule=Schedule.LINEAR)
    learner = Learner(replace(order, warm_up=WarmUpSettings(falling, step_count=1)))
    learner.warm_up(1, EXAMPLES, request_hash="a")
    refused(InvalidInput, lambda: learner.warm_up(2, EXAMPLES, request_hash="b"), "STEP_BEYOND_PLAN")


def test_the_reference_does_not_move_with_the_policy(order: Order) -> None:
    learner = warmed_up(order)
    assert learner.reference is not None
    frozen = {name: tensor.clone() for name, tensor in learner.reference.state_dict().items()}
    do_updates(learner, 1, 2)
    assert all(torch.equal(frozen[name], tensor) for name, tensor in learner.reference.state_dict().items())
    assert any(not torch.equal(frozen[name], weights_of(learner)[name]) for name in frozen)


# What is refused


def test_an_old_completion_is_refused_by_name_version_and_limit(order: Order) -> None:
    assert order.update is not None
    learner = warmed_up(replace(order, update=replace(order.update, max_staleness=1)))
    do_updates(learner, 1, 2)
    assert learner.policy_version == 3
    learner.update(3, trajectories(learner, version=2), request_hash="3")
    # Updated and not saved yet: the weights are version 4.
    message = refused(
        Conflict, lambda: learner.update(4, trajectories(learner, version=2), request_hash="4"), "POLICY_TOO_STALE"
    )
    assert "completion 'c0' was sampled from policy version 2, 2 behind the learner's 4" in message
    assert "max_staleness allows 1" in message
    refused(
        InvalidInput, lambda: learner.update(4, trajectories(learner, version=9), request_hash="4"),
        "POLICY_VERSION_UNKNOWN",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason", "names"),
    [
        (lambda t: replace(t, token_ids=[]), "COMPLETION_EMPTY", "token_ids must not be empty"),
        (lambda t: replace(t, prompt_token_ids=[]), "PROMPT_EMPTY", "prompt_token_ids must not be empty"),
        (
            lambda t: replace(t, logprobs=[-1.0] * 9),
            "LOGPROBS_LENGTH",
            "logprobs must be as many as token_ids, 1; given 9",
        ),
        (lambda t: replace(t, token_ids=[100_000]), "TOKEN_ID_OUT_OF_RANGE", "given 100000"),
        (lambda t: replace(t, token_ids=[-1]), "TOKEN_ID_OUT_OF_RANGE", "given -1"),
        (lambda t: replace(t, prompt_token_ids=[5] * 32), "SEQUENCE_TOO_LONG", "may have 32 tokens"),
        (lambda t: replace(t, reward=math.nan), "REWARD_NOT_FINITE", "reward must be finite"),
    ],
)
def test_a_faulty_trajectory_is_refused_by_name_and_nothing_is_learnt(
    order: Order, change: Callable[[Trajectory], Trajectory], reason: str, names: str
) -> None:
    learner = warmed_up(order)
    before = weights_of(learner)
    given = trajectories(learner, version=1)
    given[3] = change(given[3])
    message = refused(InvalidInput, lambda: learner.update(1, given, request_hash="x"), reason)
    assert "completion 'c3'" in message
    assert names in message
    assert all(torch.equal(before[name], tensor) for name, tensor in weights_of(learner).items())
    learner.update(1, trajectories(learner, version=1), request_hash="x")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda u: replace(u, clip_range=-0.1), "update.clip_range"),
        (lambda u: replace(u, epoch_count=0), "update.epoch_count"),
        (lambda u: replace(u, gamma=1.5), "update.gamma"),
        (lambda u: replace(u, kl_coefficient=math.nan), "update.kl_coefficient"),
        (lambda u: replace(u, optimizer=OptimizerSettings(beta2=2.0)), "update.optimizer.beta2"),
        (
            lambda u: replace(u, optimizer=replace(RATES, schedule=Schedule.COSINE), step_count=0),
            "update.step_count",
        ),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(
    order: Order, change: Callable[[UpdateSettings], UpdateSettings], field: str
) -> None:
    assert order.update is not None
    wrong = replace(order, update=change(order.update))
    assert field in refused(InvalidInput, lambda: Learner(wrong), "SETTING_OUT_OF_RANGE")


def test_a_model_that_is_not_there_is_named(order: Order) -> None:
    message = refused(NotFound, lambda: Learner(replace(order, model_uri="/no/such/folder")), "MODEL_NOT_FOUND")
    assert "/no/such/folder" in message


def test_a_step_that_diverges_stops_all_but_a_restore(order: Order, tmp_path: Path) -> None:
    assert order.update is not None
    learner = warmed_up(replace(order, update=replace(order.update, whiten_advantages=False)))
    save_checkpoint(learner, str(tmp_path / "c"), "")
    before = weights_of(learner)
    given = [replace(t, reward=1e300) for t in trajectories(learner, version=1)]
    refused(Conflict, lambda: learner.update(1, given, request_hash="x"), "GRADIENT_NOT_FINITE")
    for action in (
        lambda: learner.update(1, trajectories(learner, version=1), request_hash="x"),
        lambda: learner.save_policy("memory://no", 1),
        lambda: learner.score(EXAMPLES),
        lambda: save_checkpoint(learner, str(tmp_path / "d"), ""),
    ):
        refused(Conflict, action, "STEP_HALF_DONE")
    restore_checkpoint(learner, str(tmp_path / "c"))
    assert all(torch.equal(before[name], tensor) for name, tensor in weights_of(learner).items())
    learner.update(1, trajectories(learner, version=1), request_hash="x")


# Policies


def test_a_saved_policy_is_a_whole_model_with_a_true_manifest(order: Order, tmp_path: Path) -> None:
    learner = Learner(order)
    learner.warm_up(1, EXAMPLES, request_hash="a")
    manifest = learner.save_policy(str(tmp_path / "p"), 1)
    assert read_manifest(str(tmp_path / "p")) == manifest
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "p")
    AutoTokenizer.from_pretrained(tmp_path / "p")
    held = dict(model.state_dict(keep_vars=True))
    ids = {id(held[entry.name]) for entry in manifest.tensors}
    assert len(ids) == len(manifest.tensors), "tied weights are named once"
    assert ids == {id(tensor) for tensor in held.values()}, "every tensor of the model is named"
    for entry in manifest.tensors:
        tensor = held[entry.name].detach()
        assert (tuple(tensor.shape), str(tensor.dtype)) == (entry.shape, f"torch.{entry.dtype}")
        assert tensor_sha256(tensor) == entry.sha256
        assert entry.file == WEIGHTS_FILE
    assert content_hash(manifest.tensors) == manifest.content_hash
    [row] = learner.score([EXAMPLES[0]])
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[5, 6, 7, 8, 9]])).logits[0].log_softmax(-1)
    assert row == pytest.approx([float(logits[2, 8]), float(logits[3, 9])], abs=1e-5)


def test_versions_follow_changes(order: Order, tmp_path: Path) -> None:
    learner = Learner(order)
    refused(Conflict, lambda: learner.save_policy(str(tmp_path / "p"), 1), "POLICY_VERSION_OUT_OF_ORDER")
    learner.save_policy(str(tmp_path / "p0"), 0)
    learner.warm_up(1, EXAMPLES, request_hash="a")
    refused(Conflict, lambda: learner.save_policy(str(tmp_path / "p"), 0), "POLICY_VERSION_OUT_OF_ORDER")
    first = learner.save_policy(str(tmp_path / "p1"), 1)
    assert learner.save_policy(str(tmp_path / "p1"), 1) == first
    assert learner.state.policy_version == 1


def test_saving_over_an_older_policy_replaces_it_whole(order: Order, tmp_path: Path) -> None:
    learner = Learner(order)
    learner.save_policy(str(tmp_path / "p"), 0)
    (tmp_path / "p" / "stray").write_text("left over")
    learner.warm_up(1, EXAMPLES, request_hash="a")
    manifest = learner.save_policy(str(tmp_path / "p"), 1)
    assert read_manifest(str(tmp_path / "p")) == manifest
    assert not (tmp_path / "p" / "stray").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["p"], "nothing is left beside it"


# Checkpoints


@pytest.mark.parametrize("place", ["local", "memory"])
def test_a_restored_run_equals_the_one_that_was_not_killed(order: Order, tmp_path: Path, place: str) -> None:
    uri = str(tmp_path / "states" / "s2") if place == "local" else f"memory://{tmp_path.name}/states/s2"
    straight, killed = warmed_up(order), warmed_up(order)
    do_updates(straight, 1, 4)
    do_updates(killed, 1, 2)
    saved = save_checkpoint(killed, uri, '{"row": 7}')
    assert save_checkpoint(killed, uri, '{"row": 7}') == saved, "saving the same moment again changes nothing"
    restored = Learner(order)
    assert restore_checkpoint(restored, uri) == '{"row": 7}'
    assert restored.state == killed.state
    assert_equal(restored, killed)
    do_updates(restored, 3, 4)
    assert_equal(restored, straight)
    mine, other = restored.update_steps.metrics, straight.update_steps.metrics
    assert mine is not None
    assert other is not None
    assert replace(mine, seconds=0.0) == replace(other, seconds=0.0)


def test_a_checkpoint_without_the_newer_measurements_is_restored(order: Order, tmp_path: Path) -> None:
    learner = warmed_up(order)
    do_updates(learner, 1, 1)
    save_checkpoint(learner, str(tmp_path / "c"), "")
    path = tmp_path / "c" / "checkpoint.json"
    written = json.loads(path.read_text())
    for name in ("sampler_gap_p50", "sampler_gap_p95", "effective_sequence_share", "bounded_token_count"):
        del written["update_steps"]["metrics"][name]
    path.write_text(json.dumps(written))
    restored = Learner(order)
    restore_checkpoint(restored, str(tmp_path / "c"))
    assert_equal(restored, learner)


def test_a_run_restored_in_the_warm_up_equals_the_one_that_was_not_killed(order: Order, tmp_path: Path) -> None:
    straight = warmed_up(order)
    killed = Learner(order)
    killed.warm_up(1, EXAMPLES, request_hash="a")
    save_checkpoint(killed, str(tmp_path / "c"), "")
    restored = Learner(order)
    restore_checkpoint(restored, str(tmp_path / "c"))
    restored.warm_up(2, OTHERS, request_hash="b")
    assert_equal(restored, straight)


def test_a_run_restored_in_a_new_process_equals_the_one_that_was_not_killed(order: Order, tmp_path: Path) -> None:
    straight = warmed_up(order)
    save_checkpoint(straight, str(tmp_path / "c"), "")
    program = f"""
import torch
torch.set_num_threads(1)
from pinetune.learning.checkpoints import restore_checkpoint, save_checkpoint
from pinetune.learning.learner import Learner, Order
from pinetune.learning.settings import *
from pinetune.learning.ppo import Trajectory
from tests.unit.learning.test_learner import do_updates
learner = Learner({order!r})
restore_checkpoint(learner, {str(tmp_path / "c")!r})
do_updates(learner, 1, 2)
save_checkpoint(learner, {str(tmp_path / "d")!r}, "")
"""
    # Enum members print as <Schedule.X: 'x'>, which is no Python.
    for kind in (Schedule, AdvantageEstimator, ValueHeadStart):
        for member in kind:
            program = program.replace(repr(member), f"{kind.__name__}.{member.name}")
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root, env={"PYTHONPATH": f"{root}/services:{root}"})
    do_updates(straight, 1, 2)
    restored = Learner(order)
    restore_checkpoint(restored, str(tmp_path / "d"))
    assert_equal(restored, straight)


def test_a_repeated_step_gets_its_answer_also_after_a_restore(order: Order, tmp_path: Path) -> None:
    learner = warmed_up(order)
    do_updates(learner, 1, 1)
    save_checkpoint(learner, str(tmp_path / "c"), "")
    restored = Learner(order)
    restore_checkpoint(restored, str(tmp_path / "c"))
    assert restored.update(1, trajectories(restored, version=1), request_hash="1") == learner.update_steps.metrics


def test_the_reference_is_written_once_for_all_checkpoints(order: Order, tmp_path: Path) -> None:
    learner = warmed_up(order)
    for step in (1, 2):
        do_updates(learner, step, step)
        save_checkpoint(learner, str(tmp_path / f"s{step}"), "")
    assert sorted(p.name.split("-")[0] for p in tmp_path.iterdir()) == ["reference", "s1", "s2"]
    restored = Learner(order)
    restore_checkpoint(restored, str(tmp_path / "s1"))
    assert restored.reference is not None
    assert learner.reference is not None
    for name, tensor in learner.reference.state_dict().items():
        assert torch.equal(restored.reference.state_dict()[name], tensor)


@pytest.mark.parametrize("file", ["policy.safetensors", "training.pt", "reference", "checkpoint.json"])
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_checkpoint_is_refused_and_the_learner_stays(
    order: Order, tmp_path: Path, file: str, damage: str
) -> None:
    learner = warmed_up(order)
    save_checkpoint(learner, str(tmp_path / "c"), "")
    [path] = tmp_path.glob("reference-*") if file == "reference" else [tmp_path / "c" / file]
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-8] + b"damaged!")
    do_updates(learner, 1, 1)
    before, state = weights_of(learner), learner.state
    kind: type[PinetuneError] = Corrupt
    reason = "CHECKPOINT_CORRUPT"
    if (file, damage) == ("checkpoint.json", "missing"):
        kind, reason = (NotFound, "CHECKPOINT_NOT_FOUND")
    refused(kind, lambda: restore_checkpoint(learner, str(tmp_path / "c")), reason)
    assert learner.state == state
    assert all(torch.equal(before[name], tensor) for name, tensor in weights_of(learner).items())


def test_a_checkpoint_of_another_order_is_refused_by_field(order: Order, tmp_path: Path) -> None:
    save_checkpoint(warmed_up(order), str(tmp_path / "c"), "")
    other = Learner(replace(order, seed=4))
    assert "seed" in refused(
        Conflict, lambda: restore_checkpoint(other, str(tmp_path / "c")), "CHECKPOINT_OF_OTHER_ORDER"
    )


def test_a_checkpoint_that_fails_half_way_leaves_nothing(order: Order, tmp_path: Path) -> None:
    learner = warmed_up(order)
    learner.optimizer = None
    learner.warm_up_steps.metrics = object()  # type: ignore[assignment]  # cannot be written
    with pytest.raises(TypeError):
        save_checkpoint(learner, str(tmp_path / "c"), "")
    assert [p.name.split("-")[0] for p in tmp_path.iterdir()] == ["reference"]


def test_policies_go_to_any_address_that_fsspec_writes(order: Order) -> None:
    learner = Learner(order)
    manifest = learner.save_policy("memory://anywhere/p", 0)
    assert read_manifest("memory://anywhere/p") == manifest
    assert fsspec.filesystem("memory").exists("/anywhere/p/tokenizer.json")
    again = Learner(replace(order, model_uri="memory://anywhere/p"))
    assert_equal(again, learner)
