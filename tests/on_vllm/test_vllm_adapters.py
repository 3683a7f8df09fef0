"""Adapters on a running vLLM: added to the base's weights, replaced by the next one, put back where they are lost."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from tests.on_vllm.test_vllm_policies import assert_samples_as, greedy, load, model_of
from tests.unit.generation.test_adapters import ALPHA, GATE, QUERY, RANK, adapter_of, write_adapter
from tests.unit.generation.test_weights import write_policy
from torch import Tensor

from pinetune.generation.receiving import Chunk, Receiver
from pinetune.generation.weight_files import bytes_of
from pinetune.pod.errors import Conflict, Corrupt, Unsupported
from pinetune.pod.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    from pinetune.generation.vllm_engine import VllmEngine

MakeEngine = Callable[..., "VllmEngine"]
UNREADABLE = "tests.on_vllm.skipping_worker.UnreadableWorker"
VALUE = "model.layers.0.self_attn.v_proj"


class Adapters:
    """Adapters over one base, each with the plain model that the sum is."""

    def __init__(self, folder: Path, base_seed: int) -> None:
        self._folder, self._base_seed, self._version = folder, base_seed, 100

    def write(self, base: str, *modules: str) -> tuple[Path, int]:
        """Return a new adapter's folder and version."""
        self._version += 1
        write_adapter(self._folder / f"{self._version}", self._tensors(modules), self._version, base)
        return self._folder / f"{self._version}", self._version

    def model(self, *modules: str) -> str:
        """Return the folder of the base with the last adapter, of these modules, in its weights."""
        model = model_of("llama", self._base_seed)
        tensors = self._tensors(modules)
        with torch.no_grad():
            for module in modules:
                low, high = (tensors[f"base_model.model.{module}.lora_{part}.weight"] for part in "AB")
                model.get_parameter(f"{module}.weight").add_(high @ low, alpha=ALPHA / RANK)
        model.save_pretrained(self._folder / f"model-{self._version}")
        return str(self._folder / f"model-{self._version}")

    def _tensors(self, modules: tuple[str, ...]) -> dict[str, Tensor]:
        scaled = adapter_of(model_of("llama", self._base_seed), *modules, seed=self._version)
        return {name: tensor * 0.1 for name, tensor in scaled.items()}


@pytest.fixture(params=["read back", "unreadable"])
def engine(request: pytest.FixtureRequest, make_engine: MakeEngine, tmp_path: Path) -> "VllmEngine":
    """An engine that holds the whole policy 7, whose layers can be read back or not."""
    made = make_engine("llama", worker=UNREADABLE) if request.param == "unreadable" else make_engine("llama")
    write_policy(tmp_path / "base", dict(model_of("llama", 7).named_parameters()), 7)
    load(made, (tmp_path / "base", 7))
    return made


@pytest.fixture
def adapters(tmp_path: Path) -> Adapters:
    return Adapters(tmp_path, base_seed=7)


def test_an_adapter_samples_as_the_sum_and_the_next_one_begins_from_the_base(
    engine: "VllmEngine", adapters: Adapters, tmp_path: Path
) -> None:
    base = engine.describe().policy.content_hash
    plain = greedy(engine)

    first = adapters.write(base, QUERY, GATE)
    loaded = load(engine, first)

    assert loaded.state.content_hash == read_manifest(str(first[0])).content_hash
    assert loaded.changed_tensor_count == 2
    assert greedy(engine) != plain
    assert_samples_as(engine, adapters.model(QUERY, GATE))
    # The second leaves one module as it is in the base, and adds to another.
    loaded = load(engine, adapters.write(base, QUERY, VALUE))
    assert loaded.changed_tensor_count == 3
    assert_samples_as(engine, adapters.model(QUERY, VALUE))
    # And a whole policy takes all of it away.
    folder = tmp_path / "whole"
    write_policy(folder, dict(model_of("llama", 7).named_parameters()), 300)
    loaded = load(engine, (folder, 300))
    assert (loaded.changed_tensor_count, loaded.state.content_hash) == (2, base)
    assert [one.token_ids for one in greedy(engine)] == [one.token_ids for one in plain]


def test_an_adapter_of_another_base_is_refused(engine: "VllmEngine", adapters: Adapters) -> None:
    held = engine.describe().policy
    with pytest.raises(Conflict) as caught:
        load(engine, adapters.write("0" * 64, QUERY))
    assert caught.value.reason == "ADAPTER_BASE_MISMATCH"
    assert engine.describe().policy == held


def test_an_adapter_on_a_weight_that_is_missing_or_tied_is_refused(make_engine: MakeEngine, tmp_path: Path) -> None:
    engine = make_engine("tied_llama")
    base = engine.describe().policy.content_hash
    model = model_of("tied_llama", 1)
    tensors = adapter_of(model, QUERY)
    moved = {name.replace("layers.0", "layers.9"): tensor for name, tensor in tensors.items()}
    write_adapter(tmp_path / "moved", moved, 401, base)
    with pytest.raises(Corrupt) as unknown:
        load(engine, (tmp_path / "moved", 401))
    assert unknown.value.reason == "TENSOR_UNKNOWN"
    write_adapter(tmp_path / "tied", adapter_of(model, "lm_head"), 402, base)
    with pytest.raises(Unsupported) as tied:
        load(engine, (tmp_path / "tied", 402))
    assert tied.value.reason == "ADAPTER_UNSUPPORTED"


@pytest.mark.parametrize("worker", ["SkippingWorker", "UnreadableFailingWorker"])
def test_an_adapter_that_did_not_arrive_is_caught_and_the_base_put_back(
    worker: str, make_engine: MakeEngine, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    engine = make_engine("llama", worker=f"tests.on_vllm.skipping_worker.{worker}")
    held, before = engine.describe().policy, greedy(engine)
    write_adapter(tmp_path, adapter_of(model_of("llama", 1), QUERY), 403, held.content_hash)
    with pytest.raises(Exception, match="put back") as caught:
        load(engine, (tmp_path, 403))
    assert getattr(caught.value, "reason", "") in ("CONTENT_HASH_MISMATCH", "POLICY_NOT_TAKEN")
    assert engine.describe().policy == held
    assert greedy(engine) == before


def chunks(folder: Path, manifest: Manifest) -> Iterator[Chunk]:
    for name, tensor in model_of("llama", manifest.policy_version).named_parameters():
        yield Chunk(name, 0, bytes(bytes_of(tensor.contiguous())))


def test_a_streamed_policy_stays_in_its_folder_while_layers_cannot_be_read_back(
    engine: "VllmEngine", tmp_path: Path
) -> None:
    receiver = Receiver(tmp_path / "spool")
    (tmp_path / "spool").mkdir()
    readable = not engine.describe().folders
    for version in (501, 502):
        manifest = write_policy(tmp_path / f"{version}", dict(model_of("llama", version).named_parameters()), version)
        with receiver.receive(manifest, dict, chunks(tmp_path, manifest), bytes_max=1 << 30) as arrived:
            load(engine, (arrived.folder, version))
            receiver.keep(engine.describe().folders)
        assert arrived.folder.exists() != readable
        assert len(list((tmp_path / "spool").iterdir())) == (0 if readable else 1)
    # One tensor changes; the others are read once more where they were received.
    tensors = {name: tensor.detach().clone() for name, tensor in model_of("llama", 502).named_parameters()}
    tensors["model.norm.weight"] *= 2
    write_policy(tmp_path / "503", tensors, 503)
    assert load(engine, (tmp_path / "503", 503)).changed_tensor_count == 1
    receiver.keep(())
    assert not list((tmp_path / "spool").iterdir())
