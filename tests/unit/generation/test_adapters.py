import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.unit.generation.test_weights import tensors_of, write_policy
from tests.unit.generation.tiny_models import make_model
from torch import Tensor
from transformers import PreTrainedModel

from pinetune.generation.adapters import read_adapter
from pinetune.generation.weight_files import dtype_name, tensor_sha256
from pinetune.generation.weights import HeldWeights
from pinetune.pod.errors import Conflict, Corrupt, InvalidInput, PinetuneError, Unsupported
from pinetune.pod.manifest import Manifest, TensorEntry, content_hash, read_manifest, write_manifest

RANK, ALPHA = 4, 8.0
QUERY, GATE = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.gate_proj"
CONFIG = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none", "use_dora": False}


def adapter_of(model: PreTrainedModel, *modules: str, seed: int = 0, rank: int = RANK) -> dict[str, Tensor]:
    """Return an adapter's tensors as PEFT names them."""
    draw = torch.Generator().manual_seed(seed)
    tensors = {}
    for module in modules:
        high, low = model.get_parameter(f"{module}.weight").shape
        tensors[f"base_model.model.{module}.lora_A.weight"] = torch.randn(rank, low, generator=draw)
        tensors[f"base_model.model.{module}.lora_B.weight"] = torch.randn(high, rank, generator=draw)
    return tensors


def write_adapter(
    folder: Path, tensors: dict[str, Tensor], version: int, base: str, config: dict[str, object] | None = None
) -> Manifest:
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    text = json.dumps(config or CONFIG, indent=2)
    (folder / "adapter_config.json").write_text(text)
    entries = tuple(
        TensorEntry(name, dtype_name(one.dtype), tuple(one.shape), tensor_sha256(one), "adapter_model.safetensors")
        for name, one in tensors.items()
    )
    hashed = content_hash(entries, base_content_hash=base, adapter_config_json=text)
    manifest = Manifest(version, hashed, entries, "lora", base, "2026-01-31T12:00:00Z", text)
    write_manifest(str(folder), manifest)
    return manifest


def weights_of(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.fixture
def model() -> PreTrainedModel:
    return make_model("llama")


@pytest.fixture
def held(model: PreTrainedModel) -> HeldWeights:
    return HeldWeights(model, threads=2)


@pytest.mark.parametrize("rank_stabilised", [False, True])
def test_an_adapter_adds_what_peft_says_it_adds(
    rank_stabilised: bool, model: PreTrainedModel, held: HeldWeights, tmp_path: Path
) -> None:
    before = weights_of(model)
    tensors = adapter_of(model, QUERY, GATE)
    config = CONFIG | {"use_rslora": rank_stabilised}
    manifest = write_adapter(tmp_path, tensors, 1, held.state.content_hash, config)
    loaded = held.load(str(tmp_path), 1, manifest.content_hash)
    assert (loaded.state.content_hash, loaded.changed_tensor_count) == (manifest.content_hash, 2)
    scale = ALPHA / RANK**0.5 if rank_stabilised else ALPHA / RANK
    inputs = torch.randn(3, 32)
    for module in (QUERY, GATE):
        low, high = (tensors[f"base_model.model.{module}.lora_{part}.weight"] for part in "AB")
        # As PEFT's layer computes it: the base's output, plus the low-rank path.
        expected = inputs @ before[f"{module}.weight"].T + scale * (inputs @ low.T) @ high.T
        assert torch.allclose(model.get_submodule(module)(inputs), expected, atol=1e-4)
    changed = {f"{module}.weight" for module in (QUERY, GATE)}
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights_of(model).items() if name not in changed)


def test_the_next_adapter_begins_from_the_base_again(model: PreTrainedModel, tmp_path: Path) -> None:
    held = HeldWeights(model, threads=1)
    base = held.state.content_hash
    first = write_adapter(tmp_path / "1", adapter_of(model, QUERY, seed=1), 1, base)
    second = write_adapter(tmp_path / "2", adapter_of(model, GATE, seed=2), 2, base)
    held.load(str(tmp_path / "1"), 1, first.content_hash)
    held.load(str(tmp_path / "2"), 2, second.content_hash)
    fresh = make_model("llama")
    HeldWeights(fresh, threads=1).load(str(tmp_path / "2"), 2, "")
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), fresh.parameters(), strict=True))


def test_an_adapter_of_gpt2_is_turned_round(tmp_path: Path) -> None:
    model = make_model("gpt2")
    held = HeldWeights(model, threads=1)
    module = "transformer.h.0.attn.c_attn"
    before = model.get_parameter(f"{module}.weight").clone()
    rows, columns = before.shape  # Conv1D: [in, out].
    low, high = torch.randn(RANK, rows), torch.randn(columns, RANK)
    prefix = f"base_model.model.{module}.lora_"
    tensors = {f"{prefix}A.weight": low, f"{prefix}B.weight": high}
    write_adapter(tmp_path, tensors, 1, held.state.content_hash, CONFIG | {"fan_in_fan_out": True})
    held.load(str(tmp_path), 1, "")
    assert torch.allclose(model.get_parameter(f"{module}.weight"), before + ALPHA / RANK * (high @ low).T, atol=1e-5)


def test_a_whole_model_after_an_adapter_is_the_new_base(
    model: PreTrainedModel, held: HeldWeights, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "1", adapter_of(model, QUERY), 1, held.state.content_hash)
    held.load(str(tmp_path / "1"), 1, "")
    whole = write_policy(tmp_path / "2", tensors_of("llama", seed=1), version=2)
    held.load(str(tmp_path / "2"), 2, "")
    assert torch.equal(model.state_dict()[f"{QUERY}.weight"], tensors_of("llama", seed=1)[f"{QUERY}.weight"])
    with pytest.raises(Conflict, match=f"base with content hash {adapter.base_content_hash}, the engine holds base"):
        held.load(str(tmp_path / "1"), 1, "")
    assert held.state.content_hash == whole.content_hash


def test_what_another_alpha_makes_is_another_policy(model: PreTrainedModel, held: HeldWeights, tmp_path: Path) -> None:
    tensors = adapter_of(model, QUERY)
    base = held.state.content_hash
    one = write_adapter(tmp_path / "1", tensors, 1, base)
    other = write_adapter(tmp_path / "2", tensors, 1, base, CONFIG | {"lora_alpha": 16})
    assert one.content_hash != other.content_hash


def test_other_engines_take_the_adapter_as_it_is(model: PreTrainedModel, held: HeldWeights, tmp_path: Path) -> None:
    tensors = adapter_of(model, QUERY)
    manifest = write_adapter(tmp_path, tensors, 1, held.state.content_hash)
    adapter = read_adapter(str(tmp_path), manifest)
    assert adapter.config["lora_alpha"] == ALPHA
    assert adapter.content_hash == manifest.content_hash
    assert all(torch.equal(adapter.tensors[name], tensor) for name, tensor in tensors.items())


def flip_a_byte(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def change_alpha(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | {"lora_alpha": 80}))


def lose_the_configuration(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()


def again(folder: Path, tensors: dict[str, Tensor], config: dict[str, object] | None = None) -> None:
    write_adapter(folder, tensors, 1, read_manifest(str(folder)).base_content_hash, config)


LOW, HIGH = (f"base_model.model.{QUERY}.lora_{part}.weight" for part in "AB")
DAMAGES: list[tuple[str, Callable[[Path], None], type[PinetuneError], str]] = [
    ("flipped", flip_a_byte, Corrupt, "TENSOR_HASH_MISMATCH"),
    ("another alpha", change_alpha, Corrupt, "ADAPTER_CONFIG_MISMATCH"),
    ("no configuration", lose_the_configuration, Corrupt, "ADAPTER_CONFIG_MISMATCH"),
    ("half a pair", lambda f: again(f, {LOW: torch.zeros(4, 32)}), Corrupt, "TENSOR_MISSING"),
    ("two ranks", lambda f: again(f, {LOW: torch.zeros(4, 32), HIGH: torch.zeros(32, 3)}), Corrupt, "SHAPE_MISMATCH"),
    ("wrong shape", lambda f: again(f, {LOW: torch.zeros(4, 31), HIGH: torch.zeros(32, 4)}), Corrupt, "SHAPE_MISMATCH"),
    (
        "not a pair",
        lambda f: again(f, {"base_model.model.x.weight": torch.zeros(4)}),
        Unsupported,
        "ADAPTER_UNSUPPORTED",
    ),
    (
        "not in the model",
        lambda f: again(f, {LOW.replace(QUERY, "x"): torch.zeros(4, 32), HIGH.replace(QUERY, "x"): torch.zeros(32, 4)}),
        Corrupt,
        "TENSOR_UNKNOWN",
    ),
    (
        "DoRA",
        lambda f: again(f, {LOW: torch.zeros(4, 32), HIGH: torch.zeros(32, 4)}, CONFIG | {"use_dora": True}),
        Unsupported,
        "ADAPTER_UNSUPPORTED",
    ),
    (
        "no alpha",
        lambda f: again(f, {LOW: torch.zeros(4, 32), HIGH: torch.zeros(32, 4)}, {"r": 4}),
        InvalidInput,
        "ADAPTER_MALFORMED",
    ),
]


@pytest.mark.parametrize(("damage", "kind", "reason"), [d[1:] for d in DAMAGES], ids=[d[0] for d in DAMAGES])
def test_an_adapter_that_is_not_right_is_refused_and_the_old_policy_stays(
    damage: Callable[[Path], None],
    kind: type[PinetuneError],
    reason: str,
    model: PreTrainedModel,
    held: HeldWeights,
    tmp_path: Path,
) -> None:
    before, state = weights_of(model), held.state
    write_adapter(tmp_path, adapter_of(model, QUERY), 1, state.content_hash)
    damage(tmp_path)
    with pytest.raises(kind) as caught:
        held.load(str(tmp_path), 1, "")
    assert caught.value.reason == reason
    assert held.state == state
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights_of(model).items())


def test_a_tied_weight_takes_no_adapter(tmp_path: Path) -> None:
    model = make_model("tied_llama")
    held = HeldWeights(model, threads=1)
    write_adapter(tmp_path, adapter_of(model, "lm_head"), 1, held.state.content_hash)
    with pytest.raises(Unsupported, match="tied to another weight of the model that must not change"):
        held.load(str(tmp_path), 1, "")
