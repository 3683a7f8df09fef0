"""Policies that a running vLLM loads: placed rightly, refused where they are wrong, caught where they are lost."""

import dataclasses
import gc
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.unit.generation.test_weights import write_policy
from tests.unit.generation.tiny_models import make_model, plain_logprobs, prompts_of
from torch import Tensor
from transformers import PreTrainedModel

from pinetune.generation.engine import Caller, InFlight, LoadedPolicy, TokenSequence
from pinetune.generation.samples import AnswerFormat, PolicySpan, Prompt, SampledCompletion, SamplingParams
from pinetune.pod.errors import Broken, Cancelled, Conflict, Corrupt, NotFound, PinetuneError, Unavailable
from pinetune.pod.manifest import content_hash, read_manifest, write_manifest

if TYPE_CHECKING:
    from pinetune.generation.vllm_engine import VllmEngine

MakeEngine = Callable[..., "VllmEngine"]
FLOAT32_GAP = 5e-5
PROMPTS = prompts_of(5, 40, 11)
GREEDY = SamplingParams(max_tokens=12, temperature=0.0)
LONG = SamplingParams(max_tokens=80, min_tokens=80, seed=1)


def model_of(kind: str, seed: int) -> PreTrainedModel:
    """Return a model all of whose tensors are its seed's; norms begin as ones otherwise."""
    model = make_model(kind, seed, head_dim=32)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if "norm" in name:
                tensor.add_(torch.randn_like(tensor), alpha=0.1)
    return model


def tensors_of(kind: str, seed: int) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in model_of(kind, seed).named_parameters()}


class Policies:
    """Policies with weights of their own, each written once, beside the plain model they are of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._version = 0

    def write(self, kind: str, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Path, int]:
        """Return a new policy's folder and version."""
        self._version += 1
        folder = self._folder / f"v{self._version}"
        tensors = {name: tensor.to(dtype) for name, tensor in tensors_of(kind, seed or self._version).items()}
        write_policy(folder, tensors, self._version, files=2)
        return folder, self._version

    def model(self, kind: str, seed: int) -> str:
        """Return the folder of a plain model."""
        folder = self._folder / f"{kind}-{seed}"
        if not folder.exists():
            model_of(kind, seed).save_pretrained(folder)
        return str(folder)


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Policies:
    return Policies(tmp_path_factory.mktemp("policies"))


def load(engine: "VllmEngine", policy: tuple[Path, int], in_flight: InFlight = "finish") -> LoadedPolicy:
    folder, version = policy
    return engine.load_policy(str(folder), version, read_manifest(str(folder)).content_hash, in_flight)


def greedy(engine: "VllmEngine") -> list[SampledCompletion]:
    return [group[0] for group in engine.generate(PROMPTS, 1, GREEDY).groups]


def assert_samples_as(engine: "VllmEngine", model: str) -> None:
    for prompt, one in zip(PROMPTS, greedy(engine), strict=True):
        assert one.logprobs == pytest.approx(plain_logprobs(model, prompt.token_ids, one.token_ids), abs=FLOAT32_GAP)


@pytest.mark.parametrize("kind", ["llama", "tied_llama"])
def test_a_loaded_policy_samples_as_the_model_it_came_from(
    kind: str, make_engine: MakeEngine, policies: Policies
) -> None:
    engine = make_engine(kind)
    before = greedy(engine)  # They fill the prefix cache with keys and values of the old policy.
    folder, version = policies.write(kind)
    manifest = read_manifest(str(folder))

    loaded = load(engine, (folder, version))

    assert loaded.state == engine.describe().policy
    assert (loaded.state.policy_version, loaded.state.content_hash) == (version, manifest.content_hash)
    assert loaded.changed_tensor_count == len(manifest.tensors)
    assert [one.token_ids for one in greedy(engine)] != [one.token_ids for one in before]
    assert_samples_as(engine, policies.model(kind, version))
    scored = engine.score([TokenSequence(PROMPTS[1].token_ids[:3], PROMPTS[1].token_ids[3:])])
    expected = plain_logprobs(policies.model(kind, version), PROMPTS[1].token_ids[:3], PROMPTS[1].token_ids[3:])
    assert scored.logprobs[0] == pytest.approx(expected, abs=FLOAT32_GAP)
    assert scored.policy == loaded.state
    assert load(engine, (folder, version)).changed_tensor_count == 0


def test_only_tensors_that_changed_are_read(make_engine: MakeEngine, policies: Policies, tmp_path: Path) -> None:
    engine = make_engine("llama")
    folder, version = policies.write("llama", seed=5)
    load(engine, (folder, version))
    tensors = tensors_of("llama", seed=5)
    # One of three tensors that vLLM keeps as one, with a zero below zero, whose sign cannot be read back.
    tensors["model.layers.1.self_attn.k_proj.weight"] = tensors["model.layers.1.self_attn.k_proj.weight"] * 2
    tensors["model.layers.1.self_attn.k_proj.weight"][0, 0] = -0.0
    manifest = write_policy(tmp_path / "next", tensors, version + 1000)
    # What did not change need not be there.
    save_file({name: tensors[name] for name in tensors if "k_proj" in name}, tmp_path / "next" / "model-0.safetensors")

    loaded = load(engine, (tmp_path / "next", version + 1000))

    assert loaded.changed_tensor_count == 1
    assert loaded.state.content_hash == manifest.content_hash
    model = model_of("llama", 5)
    model.load_state_dict(tensors)
    model.save_pretrained(tmp_path / "model")
    assert_samples_as(engine, str(tmp_path / "model"))


def test_a_bfloat16_policy_is_held_bit_by_bit(make_engine: MakeEngine, policies: Policies) -> None:
    engine = make_engine("tied_llama", dtype="bfloat16")
    policy = policies.write("tied_llama", dtype=torch.bfloat16)
    assert load(engine, policy).state.content_hash == read_manifest(str(policy[0])).content_hash
    with pytest.raises(Corrupt, match="is float32 in the manifest, bfloat16 in the model"):
        load(engine, policies.write("tied_llama"))


def damage_bytes(folder: Path) -> None:
    file = folder / "model-0.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def change_tensors(change: Callable[[dict[str, Tensor]], None], *, manifest_too: bool) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        manifest = read_manifest(str(folder))
        tensors = {
            name: tensor
            for number in (0, 1)
            for name, tensor in load_file(folder / f"model-{number}.safetensors").items()
        }
        change(tensors)
        if manifest_too:
            write_policy(folder, tensors, manifest.policy_version, files=2)
        else:
            for number in (0, 1):
                names = {entry.name for entry in manifest.tensors if entry.file == f"model-{number}.safetensors"}
                save_file(
                    {name: tensors[name] for name in names & set(tensors)}, folder / f"model-{number}.safetensors"
                )

    return damage


def drop(tensors: dict[str, Tensor]) -> None:
    del tensors["model.layers.0.mlp.up_proj.weight"]


def reshape(tensors: dict[str, Tensor]) -> None:
    tensors["model.norm.weight"] = torch.ones(33)


def rename(tensors: dict[str, Tensor]) -> None:
    tensors["model.layers.2.mlp.up_proj.weight"] = tensors["model.layers.0.mlp.up_proj.weight"].clone()


def halve(tensors: dict[str, Tensor]) -> None:
    tensors["model.norm.weight"] = tensors["model.norm.weight"].to(torch.bfloat16)


def lie_about_the_hash(folder: Path) -> None:
    manifest = read_manifest(str(folder))
    entries = [dataclasses.replace(entry, sha256="0" * 64) for entry in manifest.tensors[:1]] + list(
        manifest.tensors[1:]
    )
    lie = dataclasses.replace(manifest, tensors=tuple(entries), content_hash=content_hash(entries))
    write_manifest(str(folder), lie)


DAMAGES: dict[str, tuple[Callable[[Path], None], type[PinetuneError], str]] = {
    "bytes": (damage_bytes, Corrupt, "TENSOR_HASH_MISMATCH"),
    "hash": (lie_about_the_hash, Corrupt, "TENSOR_HASH_MISMATCH"),
    "tensor not in the file": (change_tensors(drop, manifest_too=False), Corrupt, "TENSOR_MISSING"),
    "tensor not in the manifest": (change_tensors(drop, manifest_too=True), Corrupt, "TENSOR_MISSING"),
    "unknown tensor": (change_tensors(rename, manifest_too=True), Corrupt, "TENSOR_UNKNOWN"),
    "shape in the file": (change_tensors(reshape, manifest_too=False), Corrupt, "SHAPE_MISMATCH"),
    "shape": (change_tensors(reshape, manifest_too=True), Corrupt, "SHAPE_MISMATCH"),
    "dtype in the file": (change_tensors(halve, manifest_too=False), Corrupt, "DTYPE_MISMATCH"),
    "dtype": (change_tensors(halve, manifest_too=True), Corrupt, "DTYPE_MISMATCH"),
    "no file": (lambda folder: (folder / "model-1.safetensors").unlink(), Corrupt, "WEIGHT_FILE_UNREADABLE"),
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), NotFound, "MANIFEST_NOT_FOUND"),
}


@pytest.mark.parametrize(("damage", "kind", "reason"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_policy_is_refused_and_the_old_one_stays(
    damage: Callable[[Path], None], kind: type[PinetuneError], reason: str, make_engine: MakeEngine, policies: Policies
) -> None:
    engine = make_engine("llama")
    state, before = engine.describe().policy, greedy(engine)
    folder, version = policies.write("llama")
    damage(folder)

    with pytest.raises(kind) as caught:
        engine.load_policy(str(folder), version, "")

    assert caught.value.reason == reason
    assert engine.describe().policy == state
    assert greedy(engine) == before


def test_another_version_or_hash_than_asked_for_is_refused(make_engine: MakeEngine, policies: Policies) -> None:
    engine = make_engine("llama")
    folder, version = policies.write("llama")
    with pytest.raises(Conflict) as caught:
        engine.load_policy(str(folder), version + 1, "")
    assert caught.value.reason == "POLICY_VERSION_MISMATCH"
    with pytest.raises(Conflict) as caught:
        engine.load_policy(str(folder), version, "0" * 64)
    assert caught.value.reason == "CONTENT_HASH_UNEXPECTED"


@pytest.mark.parametrize(
    ("kind", "worker", "error", "reason"),
    [
        ("llama", "SkippingWorker", Corrupt, "CONTENT_HASH_MISMATCH"),
        ("tied_llama", "UnpackedWorker", Corrupt, "CONTENT_HASH_MISMATCH"),
        ("llama", "LosingWorker", Broken, "POLICY_LOST"),
        ("llama", "FailingWorker", Broken, "POLICY_NOT_TAKEN"),
        ("llama", "UnreadableFailingWorker", Broken, "POLICY_NOT_TAKEN"),
    ],
    ids=["lost", "tied output layer not packed again", "old one lost too", "fails half-way", "fails unreadable"],
)
def test_an_update_that_did_not_arrive_is_caught(
    kind: str,
    worker: str,
    error: type[PinetuneError],
    reason: str,
    model_folder: Callable[[str], Path],
    policies: Policies,
) -> None:
    from pinetune.generation.vllm_engine import VllmEngine
    from pinetune.generation.vllm_settings import VllmOptions

    died: list[str] = []
    engine = VllmEngine(
        VllmOptions(
            str(model_folder(kind)),
            threads=1,
            kv_cache_memory_bytes=1 << 26,
            worker=f"tests.on_vllm.skipping_worker.{worker}",
            on_death=died.append,
        )
    )
    try:
        before = greedy(engine)
        policy = policies.write(kind)
        with pytest.raises(error) as caught:
            load(engine, policy)
        assert caught.value.reason == reason
        assert engine.describe().policy.policy_version == 0
        # Where the old policy cannot be put back either, the pod is told to end.
        assert bool(died) == (reason == "POLICY_LOST")
        if not died:
            assert [one.token_ids for one in greedy(engine)] == [one.token_ids for one in before]
            assert_samples_as(engine, str(model_folder(kind)))
    finally:
        engine.close()
        gc.collect()


def test_tensors_that_cannot_be_read_back_are_loaded_from_where_they_came(
    make_engine: MakeEngine, policies: Policies, tmp_path: Path
) -> None:
    engine = make_engine("tied_llama", worker="tests.on_vllm.skipping_worker.UnreadableWorker")
    folder, version = policies.write("tied_llama", seed=5)
    load(engine, (folder, version))
    assert_samples_as(engine, policies.model("tied_llama", 5))
    tensors = tensors_of("tied_llama", seed=5)
    tensors |= up_of(tensors, 2)
    manifest = write_policy(tmp_path / "next", tensors, version + 1000)
    loaded = load(engine, (tmp_path / "next", version + 1000))
    assert (loaded.changed_tensor_count, loaded.state.content_hash) == (1, manifest.content_hash)
    model = model_of("tied_llama", 5)
    model.load_state_dict(tensors, strict=False)
    model.save_pretrained(tmp_path / "model")
    assert_samples_as(engine, str(tmp_path / "model"))

    # The newest policy has all of them: shared storage deletes the older ones.
    shutil.rmtree(folder)
    assert engine.describe().folders == {str(tmp_path / "next")}
    tensors |= up_of(tensors, 0.5)
    write_policy(tmp_path / "last", tensors, version + 1001)
    assert load(engine, (tmp_path / "last", version + 1001)).changed_tensor_count == 1
    assert_samples_as(engine, policies.model("tied_llama", 5))

    # One that was received has only what changed; the others stay where they are.
    write_policy(tmp_path / "received", tensors | up_of(tensors, 4), version + 1002)
    save_file(up_of(tensors, 4), tmp_path / "received" / "model-0.safetensors")
    assert load(engine, (tmp_path / "received", version + 1002)).changed_tensor_count == 1
    assert engine.describe().folders == {str(tmp_path / "last"), str(tmp_path / "received")}
    write_policy(tmp_path / "after", tensors, version + 1003)
    assert load(engine, (tmp_path / "after", version + 1003)).changed_tensor_count == 1
    assert engine.describe().folders == {str(tmp_path / "after")}
    assert_samples_as(engine, policies.model("tied_llama", 5))


def up_of(tensors: dict[str, Tensor], factor: float) -> dict[str, Tensor]:
    """Return one tensor, changed."""
    name = "model.layers.0.mlp.up_proj.weight"
    return {name: tensors[name] * factor}


class LongCall:
    """A long call in a thread, begun when made."""

    def __init__(self, engine: "VllmEngine") -> None:
        self.groups: list[list[SampledCompletion]] = []
        self.error: PinetuneError | None = None
        self.versions_heard: list[int] = []
        self._engine = engine
        self._heard = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._heard.wait(60)

    def _run(self) -> None:
        def hears(piece: object) -> None:
            self.versions_heard.append(piece.policy_version)  # type: ignore[attr-defined]
            self._heard.set()

        try:
            self.groups = self._engine.generate(PROMPTS, 4, LONG, Caller(hears=hears)).groups
        except PinetuneError as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(120)
        assert not self._thread.is_alive()

    def pairs(self) -> Iterator[tuple[Prompt, SampledCompletion]]:
        for prompt, group in zip(PROMPTS, self.groups, strict=True):
            for one in group:
                yield prompt, one


@pytest.fixture
def at_seed_7(make_engine: MakeEngine, policies: Policies) -> "VllmEngine":
    engine = make_engine("llama")
    load(engine, policies.write("llama", seed=7))
    return engine


def test_finish_lets_what_is_sampled_end_on_the_old_policy(at_seed_7: "VllmEngine", policies: Policies) -> None:
    old = at_seed_7.describe().policy.policy_version
    running = LongCall(at_seed_7)
    loaded = load(at_seed_7, policies.write("llama", seed=8))
    running.join()
    assert loaded.state.policy_version == old + 1
    for prompt, one in running.pairs():
        assert one.spans == (PolicySpan(old, 80),)
        expected = plain_logprobs(policies.model("llama", 7), prompt.token_ids, one.token_ids)
        assert one.logprobs == pytest.approx(expected, abs=FLOAT32_GAP)


def test_continue_goes_on_under_the_new_policy_and_says_from_where(at_seed_7: "VllmEngine", policies: Policies) -> None:
    old = at_seed_7.describe().policy.policy_version
    running = LongCall(at_seed_7)
    load(at_seed_7, policies.write("llama", seed=8), "continue")
    running.join()
    assert running.error is None
    assert {old, old + 1} == set(running.versions_heard)
    for prompt, one in running.pairs():
        first, second = one.spans
        assert (first.policy_version, second.policy_version) == (old, old + 1)
        assert first.token_count + second.token_count == 80
        under = {
            seed: plain_logprobs(policies.model("llama", seed), prompt.token_ids, one.token_ids) for seed in (7, 8)
        }
        expected = under[7][: first.token_count] + under[8][first.token_count :]
        assert one.logprobs == pytest.approx(expected, abs=FLOAT32_GAP)
    assert_samples_as(at_seed_7, policies.model("llama", 8))


def test_an_answer_of_a_given_shape_ends_on_the_old_policy_though_others_continue(
    at_seed_7: "VllmEngine", policies: Policies
) -> None:
    old = at_seed_7.describe().policy.policy_version
    running = LongCall(at_seed_7)
    sampling = SamplingParams(80, seed=2, answer_format=AnswerFormat("regex", "[a-z ]{60,70}"))
    shaped: list[list[SampledCompletion]] = []
    thread = threading.Thread(target=lambda: shaped.extend(at_seed_7.generate(PROMPTS, 1, sampling).groups))
    thread.start()
    for _ in range(3000):
        if at_seed_7.load().running_count > len(PROMPTS) * 4:  # The long call alone has so many.
            break
        time.sleep(0.01)
    else:
        pytest.fail("the shaped call was never seen")
    load(at_seed_7, policies.write("llama", seed=8), "continue")
    thread.join(120)
    running.join()
    assert len(shaped) == len(PROMPTS)
    for prompt, (one,) in zip(PROMPTS, shaped, strict=True):
        assert one.spans == (PolicySpan(old, len(one.token_ids)),)
        expected = plain_logprobs(policies.model("llama", 7), prompt.token_ids, one.token_ids)
        assert one.logprobs == pytest.approx(expected, abs=FLOAT32_GAP)
    assert running.error is None


def test_abort_ends_what_is_sampled_with_an_error(at_seed_7: "VllmEngine", policies: Policies) -> None:
    running = LongCall(at_seed_7)
    load(at_seed_7, policies.write("llama", seed=8), "abort")
    running.join()
    assert isinstance(running.error, Unavailable)
    assert running.error.reason == "POLICY_REPLACED"
    assert at_seed_7.load().running_count == 0
    assert_samples_as(at_seed_7, policies.model("llama", 8))


def test_who_no_longer_waits_for_a_load_leaves_the_engine_as_it_was(
    at_seed_7: "VllmEngine", policies: Policies
) -> None:
    state = at_seed_7.describe().policy
    running = LongCall(at_seed_7)
    folder, version = policies.write("llama", seed=8)
    with pytest.raises(Cancelled):
        at_seed_7.load_policy(str(folder), version, "", caller=Caller(lambda: False))
    assert at_seed_7.describe().policy == state
    assert_samples_as(at_seed_7, policies.model("llama", 7))
    running.join()
    assert running.error is None
