import dataclasses
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from safetensors.torch import load_file, save_file
from tests.unit.generation.tiny_models import make_model, plain_logprobs
from torch import Tensor
from transformers import PreTrainedModel

from pinetune.generation.samples import Prompt, SamplingParams
from pinetune.generation.transformers_engine import TransformersEngine
from pinetune.generation.weight_files import dtype_name, tensor_sha256
from pinetune.generation.weights import HeldWeights
from pinetune.pod.errors import Conflict, Corrupt, NotFound, PinetuneError
from pinetune.pod.manifest import Manifest, TensorEntry, content_hash, read_manifest, write_manifest

MakeEngine = Callable[..., TransformersEngine]
PROMPTS = [Prompt("a", (9, 50, 17)), Prompt("b", (30, 31, 32, 33, 34, 35))]


def write_policy(folder: Path, tensors: dict[str, Tensor], version: int, files: int = 1) -> Manifest:
    folder.mkdir(exist_ok=True)
    names = sorted(tensors)
    entries = []
    for number in range(files):
        file = f"model-{number}.safetensors"
        part = {name: tensors[name].contiguous() for name in names[number::files]}
        save_file(part, folder / file)
        entries += [
            TensorEntry(name, dtype_name(tensor.dtype), tuple(tensor.shape), tensor_sha256(tensor), file)
            for name, tensor in part.items()
        ]
    manifest = Manifest(version, content_hash(entries), tuple(entries), "full", "", "2026-01-31T12:00:00Z")
    write_manifest(str(folder), manifest)
    return manifest


def tensors_of(kind: str, seed: int) -> dict[str, Tensor]:
    """Return a model's tensors as `save_pretrained` names them: tied ones once."""
    return {name: tensor.detach() for name, tensor in make_model(kind, seed).named_parameters()}


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    write_policy(tmp_path / "policy", tensors_of("llama", seed=1), version=3, files=2)
    return tmp_path / "policy"


def sampled(engine: TransformersEngine) -> list[list[tuple[int, ...]]]:
    groups = engine.generate(PROMPTS, 2, SamplingParams(max_tokens=12, seed=1)).groups
    return [[completion.token_ids for completion in group] for group in groups]


def test_the_base_model_is_version_0_with_the_hash_of_its_tensors(make_engine: MakeEngine) -> None:
    state = make_engine("llama").describe().policy
    entries = [
        TensorEntry(name, "float32", tuple(tensor.shape), tensor_sha256(tensor), "")
        for name, tensor in tensors_of("llama", seed=0).items()
    ]
    assert state.policy_version == 0
    assert state.content_hash == content_hash(entries)


@pytest.mark.parametrize("kind", ["llama", "tied_llama", "gpt2"])
def test_a_loaded_policy_samples_as_the_model_it_came_from(kind: str, make_engine: MakeEngine, tmp_path: Path) -> None:
    engine = make_engine(kind)
    before = sampled(engine)
    model = make_model(kind, seed=1)
    model.save_pretrained(tmp_path / "model")
    manifest = write_policy(tmp_path / "policy", tensors_of(kind, seed=1), version=1, files=2)

    loaded = engine.load_policy(str(tmp_path / "policy"), 1, manifest.content_hash)

    assert loaded.state == engine.describe().policy
    assert (loaded.state.policy_version, loaded.state.content_hash) == (1, manifest.content_hash)
    assert sampled(engine) != before
    for prompt, group in zip(PROMPTS, engine.generate(PROMPTS, 2, SamplingParams(max_tokens=12)).groups, strict=True):
        for completion in group:
            expected = plain_logprobs(str(tmp_path / "model"), prompt.token_ids, completion.token_ids)
            assert completion.logprobs == pytest.approx(expected, abs=1e-5)
            assert [(span.policy_version, span.token_count) for span in completion.spans] == [
                (1, len(completion.token_ids))
            ]


def test_only_tensors_whose_hash_changed_are_read(make_engine: MakeEngine, tmp_path: Path) -> None:
    engine = make_engine("llama")
    tensors = tensors_of("llama", seed=0)
    tensors["model.norm.weight"] = tensors["model.norm.weight"] * 2
    write_policy(tmp_path / "policy", tensors, version=1)
    assert engine.load_policy(str(tmp_path / "policy"), 1, "").changed_tensor_count == 1


def test_loading_what_is_held_changes_nothing(make_engine: MakeEngine, policy: Path) -> None:
    engine = make_engine("llama")
    first = engine.load_policy(str(policy), 3, "")
    again = engine.load_policy(str(policy), 3, "")
    # All but the norms, which are ones in both.
    assert first.changed_tensor_count == len(read_manifest(str(policy)).tensors) - 5
    assert again == dataclasses.replace(first, changed_tensor_count=0, seconds=again.seconds)


def test_going_back_to_an_older_policy_is_allowed(make_engine: MakeEngine, policy: Path, tmp_path: Path) -> None:
    engine = make_engine("llama")
    write_policy(tmp_path / "older", tensors_of("llama", seed=2), version=2)
    engine.load_policy(str(policy), 3, "")
    assert engine.load_policy(str(tmp_path / "older"), 2, "").state.policy_version == 2


def test_tied_weights_stay_tied_under_either_name(tmp_path: Path) -> None:
    embedding, head = "model.embed_tokens.weight", "lm_head.weight"
    tensors = tensors_of("tied_llama", seed=1)
    for number, names in enumerate([[embedding], [head], [embedding, head]]):
        model = make_model("tied_llama")
        rest = {name: tensor for name, tensor in tensors.items() if name != embedding}
        folder = tmp_path / str(number)
        manifest = write_policy(folder, rest | {name: tensors[embedding].clone() for name in names}, version=1)
        loaded = HeldWeights(model, threads=1).load(str(folder), 1, "")
        assert loaded.state.content_hash == manifest.content_hash
        held = model.state_dict()
        assert torch.equal(held[embedding], tensors[embedding])
        assert held[embedding].data_ptr() == held[head].data_ptr()


def test_an_untied_policy_does_not_fit_a_tied_model(tmp_path: Path) -> None:
    tensors = tensors_of("tied_llama", seed=1)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"] + 1
    write_policy(tmp_path, tensors, version=1)
    with pytest.raises(Corrupt, match="tied to another one in the model, but differs from it in the policy"):
        HeldWeights(make_model("tied_llama"), threads=1).load(str(tmp_path), 1, "")


class VersionedStore(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Takes its arguments in the order in which s3fs has them."""

    protocol = "versioned"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped: str = super()._strip_protocol(path.replace("versioned://", "memory://"))
        return stripped

    def cat_file(
        self, path: str, version_id: str | None = None, start: int | None = None, end: int | None = None
    ) -> bytes:
        assert version_id is None
        content: bytes = super().cat_file(path, start=start, end=end)
        return content


def test_a_policy_is_read_from_a_store_whose_arguments_come_in_another_order(tmp_path: Path) -> None:
    fsspec.register_implementation("versioned", VersionedStore, clobber=True)
    manifest = write_policy(tmp_path, tensors_of("llama", seed=1), version=1)
    store = VersionedStore()
    for path in tmp_path.iterdir():
        store.pipe_file(f"/policy/{path.name}", path.read_bytes())
    held = HeldWeights(make_model("llama"), threads=1)
    assert held.load("versioned://policy", 1, "").state.content_hash == manifest.content_hash


def flip_a_byte(folder: Path) -> None:
    path = folder / "model-1.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def cut_a_file(folder: Path) -> None:
    path = folder / "model-1.safetensors"
    path.write_bytes(path.read_bytes()[:-5])


def lose_a_file(folder: Path) -> None:
    (folder / "model-1.safetensors").unlink()


def spoil_a_header(folder: Path) -> None:
    (folder / "model-1.safetensors").write_bytes(b"not safetensors at all")


def lose_a_tensor_in_the_file(folder: Path) -> None:
    tensors = load_file(folder / "model-0.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, folder / "model-0.safetensors")


def rewrite(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = tensors_of("llama", seed=1)
    change(tensors)
    write_policy(folder, tensors, version=3)


def change_the_shape_in_the_file(folder: Path) -> None:
    tensors = load_file(folder / "model-0.safetensors")
    head = tensors["lm_head.weight"].T.contiguous()
    save_file(tensors | {"lm_head.weight": head}, folder / "model-0.safetensors")


DAMAGES: list[tuple[Callable[[Path], None], str, str]] = [
    (flip_a_byte, "TENSOR_HASH_MISMATCH", "has SHA-256 .*, the manifest says"),
    (cut_a_file, "WEIGHT_FILE_UNREADABLE", "model-1.safetensors ends inside tensor"),
    (lose_a_file, "WEIGHT_FILE_UNREADABLE", "model-1.safetensors in .* cannot be read"),
    (spoil_a_header, "WEIGHT_FILE_UNREADABLE", "cannot be read as safetensors: its header is said to be"),
    (lose_a_tensor_in_the_file, "TENSOR_MISSING", "is not in model-0.safetensors"),
    (change_the_shape_in_the_file, "SHAPE_MISMATCH", "in the manifest, .* in model-0.safetensors"),
    (
        lambda folder: rewrite(folder, lambda tensors: tensors.pop("model.norm.weight")),
        "TENSOR_MISSING",
        "lacks 1 tensors of the model: 'model.norm.weight'",
    ),
    (
        lambda folder: rewrite(folder, lambda tensors: tensors.update(surplus=torch.zeros(2))),
        "TENSOR_UNKNOWN",
        "'surplus' of the policy is not in the model",
    ),
    (
        lambda folder: rewrite(folder, lambda tensors: tensors.update({"model.norm.weight": torch.zeros(31)})),
        "SHAPE_MISMATCH",
        r"'model.norm.weight' has shape \[31\] in the manifest, \[32\] in the model",
    ),
    (
        lambda folder: rewrite(
            folder, lambda tensors: tensors.update({"model.norm.weight": torch.zeros(32, dtype=torch.bfloat16)})
        ),
        "DTYPE_MISMATCH",
        "'model.norm.weight' is bfloat16 in the manifest, float32 in the model",
    ),
]


@pytest.mark.parametrize(("damage", "reason", "sentence"), DAMAGES, ids=[f"{d[1]}-{n}" for n, d in enumerate(DAMAGES)])
def test_a_damaged_policy_is_refused_and_the_old_one_stays(
    damage: Callable[[Path], None], reason: str, sentence: str, make_engine: MakeEngine, policy: Path
) -> None:
    engine = make_engine("llama")
    before, tokens = engine.describe().policy, sampled(engine)
    damage(policy)
    with pytest.raises(Corrupt, match=sentence) as caught:
        engine.load_policy(str(policy), 3, "")
    assert caught.value.reason == reason
    assert engine.describe().policy == before
    assert sampled(engine) == tokens


@pytest.mark.parametrize(
    ("version", "content", "kind", "reason"),
    [
        (2, "", Conflict, "POLICY_VERSION_MISMATCH"),
        (4, "", Conflict, "POLICY_VERSION_MISMATCH"),
        (3, "0" * 64, Conflict, "CONTENT_HASH_UNEXPECTED"),
    ],
)
def test_another_policy_than_asked_for_is_refused(
    version: int, content: str, kind: type[PinetuneError], reason: str, make_engine: MakeEngine, policy: Path
) -> None:
    engine = make_engine("llama")
    with pytest.raises(kind) as caught:
        engine.load_policy(str(policy), version, content)
    assert caught.value.reason == reason
    assert engine.describe().policy.policy_version == 0


def test_a_folder_without_a_manifest_is_not_a_policy(make_engine: MakeEngine, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        make_engine("llama").load_policy(str(tmp_path), 1, "")


class OverlappingModel(torch.nn.Module):
    """Holds a buffer that lies in the memory of its weight, so that it cannot hold any two values of both."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(4.0), requires_grad=False)
        self.register_buffer("part", self.weight.detach()[:2])


def test_what_the_model_holds_in_the_end_is_what_counts(tmp_path: Path) -> None:
    model = OverlappingModel()
    held = HeldWeights(model, threads=1)
    before = held.state
    write_policy(tmp_path, {"weight": torch.full((4,), 0.75), "part": torch.zeros(2)}, version=1)
    with pytest.raises(
        Corrupt, match=r"holds 1 of 2 changed tensors otherwise .* the old policy was put back"
    ) as caught:
        held.load(str(tmp_path), 1, "")
    assert caught.value.reason == "CONTENT_HASH_MISMATCH"
    assert held.state == before
    assert torch.equal(model.weight, torch.arange(4.0))


def test_a_policy_of_which_many_tensors_are_another_ones_says_how_many(tmp_path: Path) -> None:
    write_policy(tmp_path, tensors_of("llama", seed=1), version=3)
    old = {name: tensor.contiguous() for name, tensor in tensors_of("llama", seed=2).items()}
    save_file(old, tmp_path / "model-0.safetensors")
    held = HeldWeights(make_model("llama"), threads=2)
    changed = sum(tensor.dim() > 1 for tensor in old.values())
    with pytest.raises(Corrupt, match=f"; {changed} of {changed} changed tensors are not what the manifest says"):
        held.load(str(tmp_path), 3, "")


def test_a_saved_model_of_transformers_has_the_names_that_are_held(tmp_path: Path) -> None:
    for kind in ("llama", "tied_llama", "gpt2"):
        model: PreTrainedModel = make_model(kind)
        model.save_pretrained(tmp_path / kind)
        stored = load_file(tmp_path / kind / "model.safetensors")
        assert set(stored) == {name for name, _ in model.named_parameters()}
