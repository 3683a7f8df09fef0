"""Files at addresses: the only file that opens a file system, on this machine or in object storage.

Data sets, policies, checkpoints and rollouts lie at an address of the operator's choice; every room reads or writes
some of them. Two things are alike for all and easily forgotten, so they are here: nobody trusts a listing that was made
before (`s3fs` keeps them, and other processes write meanwhile), and a file appears whole or not at all.
"""

import io
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol

from pinetune.pod.errors import InvalidInput

FileSystem: TypeAlias = fsspec.AbstractFileSystem
OBJECT_STORE_PROTOCOLS = {"s3", "s3a"}
KEPT_LISTINGS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl"}
"""Protocols whose file systems keep listings unless told not to; others may not know the option."""
READ_AHEAD_BYTES = 1 << 20


def open_address(uri: str, *, field: str = "address") -> tuple[FileSystem, str]:
    """Return the file system of `uri` and the path inside it, without a slash at its end.

    Raises InvalidInput ADDRESS_INVALID, which names the `field`, where nothing reads such an address.
    """
    try:
        options = {"use_listings_cache": False} if get_protocol(uri) in KEPT_LISTINGS else {}
        filesystem, path = fsspec.core.url_to_fs(uri, **options)
    except (ValueError, ImportError) as error:
        lacks_extra = isinstance(error, ImportError) and get_protocol(uri) in OBJECT_STORE_PROTOCOLS
        advice = "; install pinetune[s3]" if lacks_extra else ""
        raise InvalidInput(
            f"{field} {uri!r} is no address that fsspec reads: {error}{advice}",
            reason="ADDRESS_INVALID",
            field=field,
            uri=uri,
        ) from error
    return filesystem, path.rstrip("/")


def is_local(filesystem: FileSystem) -> bool:
    """Return whether its files are files of this machine, which need no copy to be read by libraries."""
    return isinstance(filesystem, LocalFileSystem)


def read_whole(uri: str) -> bytes:
    """Return a file's bytes. Raises FileNotFoundError."""
    filesystem, path = open_address(uri)
    content: bytes = filesystem.cat_file(path)
    return content


def write_whole(uri: str, content: bytes) -> None:
    """Write a file, whole or not at all; readers see the old one or the new one."""
    filesystem, path = open_address(uri)
    make_parents(filesystem, path)
    if not is_local(filesystem):
        filesystem.pipe_file(path, content)  # Object stores show no object before all of it is there.
        return
    building = Path(path).with_name(f".{Path(path).name}.{uuid.uuid4().hex}")
    try:
        building.write_bytes(content)
        os.replace(building, path)
    finally:
        building.unlink(missing_ok=True)


@contextmanager
def reading(uri: str) -> Iterator[BinaryIO]:
    """Open a file for reading, piece by piece. Raises FileNotFoundError."""
    filesystem, path = open_address(uri)
    with filesystem.open(path, "rb") as file:
        # Remote files of fsspec read lines of any length only.
        yield file if is_local(filesystem) else cast(BinaryIO, io.BufferedReader(file, READ_AHEAD_BYTES))


def make_parents(filesystem: FileSystem, path: str) -> None:
    """Make the folders above a file. Object stores have none; `s3fs` would make a bucket whose name is misspelt."""
    if not OBJECT_STORE_PROTOCOLS.intersection(_protocols(filesystem)):
        filesystem.makedirs(filesystem._parent(path), exist_ok=True)


def delete_file(uri: str) -> None:
    """Delete a file; one that is gone already is fine."""
    filesystem, path = open_address(uri)
    if filesystem.exists(path):
        filesystem.rm_file(path)


def delete_folder(uri: str) -> None:
    """Delete a folder with all in it; one that is gone already is fine."""
    filesystem, path = open_address(uri)
    if filesystem.exists(path):
        filesystem.rm(path, recursive=True)


def copy_folder(source: str, target: str) -> None:
    """Copy a folder with all in it within one file system, replacing what is at `target`. Raises FileNotFoundError."""
    filesystem, path = open_address(source)
    if not filesystem.exists(path):
        raise FileNotFoundError(f"there is no folder {source}")
    delete_folder(target)
    _, target_path = open_address(target)
    for file, name in files_in(filesystem, path).items():
        place = f"{target_path}/{name}"
        make_parents(filesystem, place)
        filesystem.cp_file(file, place)


def files_in(filesystem: FileSystem, folder: str) -> dict[str, str]:
    """Return the paths of all files of a folder, and their names inside it.

    What is copied is copied file by file: fsspec's copy of a folder passes over files that have gone meanwhile.
    """
    return {path: path.removeprefix(folder).lstrip("/") for path in filesystem.find(folder)}


def fetch_files(filesystem: FileSystem, files: Mapping[str, str], target: Path) -> None:
    """Copy what `files_in` found into a folder of this machine. Raises FileNotFoundError where one has gone."""
    for path, name in files.items():
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        filesystem.get_file(path, str(place))


def _protocols(filesystem: FileSystem) -> tuple[str, ...]:
    protocol: str | tuple[str, ...] = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else protocol
