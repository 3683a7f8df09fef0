"""Folders that appear whole or not at all, on local disks and wherever else fsspec writes.

A folder counts once its last file is there, its manifest. On a local disk it is built beside its place and renamed; on
object storage the files are uploaded one by one, the last one last.
"""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from pinetune.pod.storage import FileSystem, fetch_files, files_in, is_local, make_parents, open_address


@contextlib.contextmanager
def new_folder(uri: str, *, last: str) -> Iterator[Path]:
    """Yield an empty local folder; when the block ends, its files replace whatever is at `uri`.

    `last` names the file without which the folder does not count. Where the block raises, `uri` stays as it was.
    """
    filesystem, target = open_address(uri)
    if is_local(filesystem):
        beside = Path(target).parent
        beside.mkdir(parents=True, exist_ok=True)
        building = beside / f".{Path(target).name}.{uuid.uuid4().hex}"
        building.mkdir()
        try:
            yield building
            _rename(building, Path(target))
        finally:
            shutil.rmtree(building, ignore_errors=True)
    else:
        with tempfile.TemporaryDirectory() as building_name:
            yield Path(building_name)
            _upload(filesystem, Path(building_name), target, last)


@contextlib.contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """Yield a local folder with the files of `uri`: itself where it is local, else a download kept for the block."""
    filesystem, source = open_address(uri)
    if is_local(filesystem):
        yield Path(source)
        return
    with tempfile.TemporaryDirectory() as downloaded:
        fetch_files(filesystem, files_in(filesystem, source), Path(downloaded))
        yield Path(downloaded)


def read_file(uri: str, name: str) -> bytes | None:
    """Return the bytes of one file of the folder `uri`, None where it is not there."""
    filesystem, folder = open_address(uri)
    try:
        content: bytes = filesystem.cat_file(f"{folder}/{name}")
    except FileNotFoundError:
        return None
    return content


def _rename(building: Path, target: Path) -> None:
    # A folder cannot be renamed over another, so an old one steps aside first.
    aside = building.with_name(building.name + ".old")
    if target.exists():
        os.rename(target, aside)
    os.rename(building, target)
    shutil.rmtree(aside, ignore_errors=True)


def _upload(filesystem: FileSystem, building: Path, target: str, last: str) -> None:
    if filesystem.exists(target):
        # The old last file goes first: from here on the folder does not count until the new one is there.
        if filesystem.exists(f"{target}/{last}"):
            filesystem.rm_file(f"{target}/{last}")
        filesystem.rm(target, recursive=True)
    files = sorted(path for path in building.rglob("*") if path.is_file() and path.name != last)
    for path in [*files, building / last]:
        place = f"{target}/{path.relative_to(building).as_posix()}"
        make_parents(filesystem, place)
        filesystem.put_file(str(path), place)
