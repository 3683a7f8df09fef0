"""Engines on a real vLLM, one for each model and dtype of a module: starting one takes seconds.

Collected only where vllm is installed; `make test-vllm` makes such a place. vLLM's CPU build needs heads of 32 numbers.
"""

import gc
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.unit.generation.tiny_models import make_model, make_tokenizer

if TYPE_CHECKING:
    from pinetune.generation.vllm_engine import VllmEngine

HEAD_SIZE = 32
START_SECONDS = 300

if find_spec("vllm") is None:
    collect_ignore_glob = ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(START_SECONDS))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            make_model(kind, head_dim=HEAD_SIZE).save_pretrained(made[kind])
            make_tokenizer().save_pretrained(made[kind])
        return made[kind]

    return folder


@pytest.fixture(scope="module")
def make_engine(model_folder: Callable[[str], Path]) -> Iterator[Callable[..., "VllmEngine"]]:
    """A function that returns the module's engine for a kind of model and options, all closed with the module."""
    from pinetune.generation.vllm_engine import VllmEngine
    from pinetune.generation.vllm_settings import VllmOptions

    engines: dict[object, VllmEngine] = {}

    def make(kind: str = "llama", **options: object) -> VllmEngine:
        key = (kind, *sorted(options.items()))
        if key not in engines:
            defaults = {"threads": 1, "kv_cache_memory_bytes": 1 << 26}
            engines[key] = VllmEngine(VllmOptions(str(model_folder(kind)), **defaults | options))  # type: ignore[arg-type]
        return engines[key]

    yield make
    for engine in engines.values():
        engine.close()
    gc.collect()
