"""Files at addresses, on this machine and on a server that speaks S3."""

import subprocess
import sys
from pathlib import Path

import pytest
from fsspec.registry import _registry

from pinetune.jobs.rows import read_rows
from pinetune.pod import storage
from pinetune.pod.errors import Corrupt, InvalidInput
from pinetune.pod.tensor_files import TensorFile


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty folder of either kind."""
    if request.param == "local":
        return str(tmp_path)
    bucket: str = request.getfixturevalue("bucket")
    return f"{bucket}/folder"


def names_in(folder: str) -> list[str]:
    filesystem, path = storage.open_address(folder)
    return sorted(found.removeprefix(f"{path}/") for found in filesystem.find(path))


def test_a_file_is_replaced_and_nothing_else_is_left(folder: str) -> None:
    storage.write_whole(f"{folder}/new/file", b"old")
    storage.write_whole(f"{folder}/new/file", b"new")
    assert storage.read_whole(f"{folder}/new/file") == b"new"
    assert names_in(folder) == ["new/file"]


def test_a_file_that_is_not_there_is_not_found_and_may_be_deleted(folder: str) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read_whole(f"{folder}/absent")
    with pytest.raises(FileNotFoundError), storage.reading(f"{folder}/absent"):
        pass
    storage.delete_file(f"{folder}/absent")
    storage.delete_folder(f"{folder}/absent")


def test_rows_are_read_line_by_line(folder: str) -> None:
    storage.write_whole(f"{folder}/rows.jsonl", b'{"question": "a"}\n' * 3)
    with storage.reading(f"{folder}/rows.jsonl") as file:
        assert [row.table for row in read_rows(file)] == [{"question": "a"}] * 3


def test_a_copy_replaces_a_folder_and_deletion_takes_all_of_it(folder: str) -> None:
    for name in ("old/a", "old/below/b", "new/c"):
        storage.write_whole(f"{folder}/{name}", name.encode())
    storage.copy_folder(f"{folder}/old", f"{folder}/new")
    assert names_in(folder) == ["new/a", "new/below/b", "old/a", "old/below/b"]
    storage.delete_folder(f"{folder}/old")
    assert names_in(folder) == ["new/a", "new/below/b"]
    assert storage.read_whole(f"{folder}/new/below/b") == b"old/below/b"


def test_a_folder_that_is_not_there_replaces_nothing(folder: str) -> None:
    storage.write_whole(f"{folder}/old/a", b"a")
    with pytest.raises(FileNotFoundError):
        storage.copy_folder(f"{folder}/absent", f"{folder}/old")
    assert names_in(folder) == ["old/a"]


def test_what_another_process_wrote_is_seen_though_the_folder_was_listed_before(bucket: str) -> None:
    storage.write_whole(f"{bucket}/folder/first", b"1")
    filesystem, path = storage.open_address(f"{bucket}/folder")
    assert filesystem.ls(path, detail=False) == [f"{path}/first"]
    script = "import sys; from pinetune.pod.storage import write_whole; write_whole(sys.argv[1], b'2')"
    subprocess.run([sys.executable, "-c", script, f"{bucket}/folder/second"], check=True)
    assert filesystem.exists(f"{path}/second")
    assert filesystem.ls(path, detail=False) == [f"{path}/first", f"{path}/second"]


def test_a_bucket_that_is_misspelt_is_not_made(bucket: str) -> None:
    with pytest.raises(FileNotFoundError):
        storage.write_whole(f"{bucket}-x/folder/file", b"1")
    assert not storage.open_address(f"{bucket}-x")[0].exists(f"{bucket}-x")


def test_a_weight_file_that_was_cut_short_is_corrupt(folder: str) -> None:
    header = b'{"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}'
    storage.write_whole(f"{folder}/model.safetensors", len(header).to_bytes(8, "little") + header)
    file = TensorFile(folder, "model.safetensors")
    with pytest.raises(Corrupt, match="ends inside tensor 'w'"):
        file.read_into("w", memoryview(bytearray(16)))


def test_an_address_of_s3_without_s3fs_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(_registry, "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InvalidInput, match=r"^PINETUNE_JOBS_ARTIFACTS_URI 's3://x/y' .*install pinetune\[s3\]$"):
        storage.open_address("s3://x/y", field="PINETUNE_JOBS_ARTIFACTS_URI")
