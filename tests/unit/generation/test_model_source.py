"""Models at addresses that are no paths: fetched whole, once, and again when they changed."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from tests.unit.generation.tiny_models import make_model, make_tokenizer

from pinetune.generation.model_source import find_model
from pinetune.generation.transformers_engine import EngineOptions, TransformersEngine
from pinetune.pod.errors import InvalidInput, Unavailable

ADDRESS = "memory://models/tiny"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryFileSystem]:
    """A model in memory."""
    make_model("llama").save_pretrained(tmp_path / "model")
    make_tokenizer().save_pretrained(tmp_path / "model")
    filesystem = fsspec.filesystem("memory")
    filesystem.put(f"{tmp_path}/model/", "/models/tiny/", recursive=True)
    yield filesystem
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def test_a_model_at_an_address_is_fetched_once(store: MemoryFileSystem, cache: Path, tmp_path: Path) -> None:
    first, again = find_model(ADDRESS, cache), find_model(ADDRESS, cache)
    assert first == again
    assert first.local
    stored, fetched = ({path.name for path in Path(one).iterdir()} for one in (tmp_path / "model", first.name))
    assert stored == fetched
    assert len(list(cache.iterdir())) == 1


def test_a_model_that_changed_is_fetched_again(store: MemoryFileSystem, cache: Path) -> None:
    before = find_model(ADDRESS, cache)
    store.pipe_file("/models/tiny/config.json", b"{}")
    after = find_model(ADDRESS, cache)
    assert before != after
    assert (Path(after.name) / "config.json").read_text() == "{}"


def test_an_engine_starts_from_what_was_fetched(store: MemoryFileSystem, cache: Path, tmp_path: Path) -> None:
    engine = TransformersEngine(EngineOptions(find_model(ADDRESS, cache).name, threads=1))
    local = TransformersEngine(EngineOptions(str(tmp_path / "model"), threads=1))
    assert engine.describe().policy.content_hash == local.describe().policy.content_hash


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("memory://models/absent", r"there is no config\.json in 'memory://models/absent'"),
        ("carrier-pigeon://models/x", "'carrier-pigeon://models/x' cannot be read: .*Protocol not known"),
        ("file:///models/absent", "there is no folder 'file:///models/absent'"),
    ],
)
def test_an_address_without_a_model_is_refused(address: str, sentence: str, cache: Path) -> None:
    with pytest.raises(InvalidInput, match=sentence) as caught:
        find_model(address, cache)
    assert caught.value.reason == "MODEL_NOT_FOUND"
    assert list(cache.iterdir()) == []


class OverloadedStore(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A store that answers nobody now."""

    protocol = "overloaded"

    def find(self, path: str, *arguments: object, **options: object) -> list[str]:
        raise OSError("503 SlowDown: please reduce your request rate")


def test_a_store_that_is_away_says_nothing_about_the_model(cache: Path) -> None:
    fsspec.register_implementation("overloaded", OverloadedStore, clobber=True)
    with pytest.raises(Unavailable, match="SlowDown"):
        find_model("overloaded://models/tiny", cache)
