import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from pinetune.pod.errors import Corrupt, InvalidInput, NotFound
from pinetune.pod.manifest import MANIFEST_FILE, Manifest, TensorEntry, content_hash, read_manifest, write_manifest


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


EMBEDDING = TensorEntry("embed.weight", "float32", (8, 4), _digest("embedding"), "model.safetensors")
HEAD = TensorEntry("head.weight", "float32", (4, 8), _digest("head"), "model.safetensors")


def _manifest(*tensors: TensorEntry, version: int = 3) -> Manifest:
    return Manifest(version, content_hash(tensors), tensors, "full", "", "2026-01-31T12:00:00Z")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    manifest = _manifest(EMBEDDING, HEAD)
    write_manifest(str(tmp_path), manifest)
    assert read_manifest(str(tmp_path)) == manifest
    assert read_manifest(f"file://{tmp_path}") == manifest


def test_a_manifest_lives_on_any_address_of_fsspec() -> None:
    manifest = _manifest(EMBEDDING)
    write_manifest("memory://policies/7", manifest)
    assert read_manifest("memory://policies/7") == manifest


def test_writing_leaves_nothing_but_the_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "policy"
    write_manifest(str(folder), _manifest(EMBEDDING))
    write_manifest(str(folder), _manifest(HEAD))
    assert [path.name for path in folder.iterdir()] == [MANIFEST_FILE]
    assert read_manifest(str(folder)).tensors == (HEAD,)


def test_the_content_hash_ignores_order_file_and_version() -> None:
    moved = dataclasses.replace(HEAD, file="other.safetensors")
    assert content_hash([EMBEDDING, HEAD]) == content_hash([moved, EMBEDDING])


@pytest.mark.parametrize(
    "change",
    [{"name": "other"}, {"dtype": "bfloat16"}, {"shape": (8, 4)}, {"sha256": _digest("changed")}],
    ids=lambda change: next(iter(change)),
)
def test_the_content_hash_depends_on(change: dict[str, object]) -> None:
    changed = dataclasses.replace(HEAD, **change)  # type: ignore[arg-type]  # one field per case, of its own type
    assert content_hash([EMBEDDING, HEAD]) != content_hash([EMBEDDING, changed])


def test_the_content_hash_stays_what_it_was() -> None:
    rows = f'[["embed.weight","float32",[8,4],"{EMBEDDING.sha256}"],["head.weight","float32",[4,8],"{HEAD.sha256}"]]'
    assert content_hash([HEAD, EMBEDDING]) == _digest(rows)


def test_a_folder_without_a_manifest_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"holds no manifest\.json; a policy folder without it is unfinished"):
        read_manifest(str(tmp_path / "absent"))


def test_an_address_that_fsspec_does_not_know_is_invalid() -> None:
    with pytest.raises(InvalidInput, match="'carrier-pigeon://x' is no address that fsspec reads"):
        read_manifest("carrier-pigeon://x")


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("policy_version",), -1, "policy_version: Input should be greater than or equal to 0"),
        (("content_hash",), "abc", "content_hash: String should match pattern"),
        (("kind",), "quantised", "kind: Input should be 'full' or 'lora'"),
        (("surplus",), 1, "surplus: Unexpected keyword argument"),
        (("tensors",), [], "tensors: a policy has at least one tensor"),
        (("tensors", 0, "shape"), [8, -4], r"tensors\.0\.shape\.1: Input should be greater than or equal to 0"),
        (
            ("tensors", 0, "file"),
            "../x.safetensors",
            "'embed.weight' lies in '../x.safetensors', no file below",
        ),
        (("tensors", 0, "file"), "/x.safetensors", "no file below the manifest"),
        (("tensors", 1, "name"), "embed.weight", "'embed.weight' is there more than once"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_malformed_manifest_is_invalid(
    tmp_path: Path, path: tuple[str | int, ...], value: object, sentence: str
) -> None:
    write_manifest(str(tmp_path), _manifest(EMBEDDING, HEAD))
    written = json.loads((tmp_path / MANIFEST_FILE).read_text())
    holder = written
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = value
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(written))
    with pytest.raises(InvalidInput, match=rf"^manifest\.json of .* is malformed: .*{sentence}") as caught:
        read_manifest(str(tmp_path))
    assert caught.value.reason == "MANIFEST_MALFORMED"


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_text('{"policy_version": 1}')
    with pytest.raises(InvalidInput, match="content_hash: Field required"):
        read_manifest(str(tmp_path))


def test_a_half_written_manifest_is_malformed(tmp_path: Path) -> None:
    write_manifest(str(tmp_path), _manifest(EMBEDDING))
    text = (tmp_path / MANIFEST_FILE).read_text()
    (tmp_path / MANIFEST_FILE).write_text(text[: len(text) // 2])
    with pytest.raises(InvalidInput, match="Invalid JSON"):
        read_manifest(str(tmp_path))


def test_a_manifest_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    wrong = dataclasses.replace(_manifest(EMBEDDING), content_hash=_digest("other"))
    with pytest.raises(Corrupt, match="says content hash"):
        write_manifest(str(tmp_path), wrong)
    assert not list(tmp_path.iterdir())


def test_a_content_hash_of_other_tensors_is_corrupt(tmp_path: Path) -> None:
    write_manifest(str(tmp_path), _manifest(EMBEDDING))
    path = tmp_path / MANIFEST_FILE
    path.write_text(path.read_text().replace(EMBEDDING.sha256, HEAD.sha256))
    with pytest.raises(Corrupt, match=f"says content hash {content_hash([EMBEDDING])}, its tensors have") as caught:
        read_manifest(str(tmp_path))
    assert caught.value.reason == "CONTENT_HASH_MISMATCH"
