"""Where a model comes from: a folder on this machine or at another address, or an id on the hub.

Looked at before torch is imported. Libraries read models as files, so a folder at an address is fetched to this machine
first: whole or not at all, once for all processes that want it, and again where a file of it has changed.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pinetune.pod.errors import InvalidInput, Unavailable
from pinetune.pod.storage import FileSystem, fetch_files, files_in, is_local, open_address

HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class ModelSource:
    """A place that transformers can load from."""

    name: str
    """Path of the folder, or the hub id."""
    local: bool
    """Whether it is a folder."""


def find_model(model: str, cache: Path | None = None) -> ModelSource:
    """Return where `model` is, fetched to `cache` where it is at an address (by default below the temporary folder).

    Raises InvalidInput MODEL_NOT_FOUND where it is no folder and cannot be a hub id.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return ModelSource(str(folder), local=True)
    if "://" in model:
        return ModelSource(str(_fetched(model, cache or _own_cache())), local=True)
    if HUB_ID.fullmatch(model):
        return ModelSource(model, local=False)
    raise model_not_found(f"there is no folder {model!r}")


def model_not_found(what: str) -> InvalidInput:
    """Return the error for a model that cannot be had; `what` says why."""
    return InvalidInput(
        f"PINETUNE_GENERATION_MODEL: {what}; name a folder in Hugging Face format or a hub id", reason="MODEL_NOT_FOUND"
    )


def _fetched(model: str, cache: Path) -> Path:
    """Return the local copy of a folder at an address."""
    try:
        filesystem, folder = open_address(model, field="model")
    except InvalidInput as error:
        raise model_not_found(f"{model!r} cannot be read: {error}") from error
    if is_local(filesystem):
        raise model_not_found(f"there is no folder {model!r}")
    try:
        names = files_in(filesystem, folder)
    except (FileNotFoundError, PermissionError) as error:
        raise model_not_found(f"{model!r} cannot be read: {error}") from error
    except OSError as error:
        # A store that is overloaded or away; the next start may find it.
        raise Unavailable(f"{model!r} cannot be read now: {error}", reason="MODEL_UNREADABLE") from error
    if CONFIG_FILE not in names.values():
        raise model_not_found(f"there is no {CONFIG_FILE} in {model!r}")
    target = cache / _fingerprint(model, filesystem, names)
    if target.is_dir():
        return target
    building = Path(tempfile.mkdtemp(dir=cache))
    try:
        fetch_files(filesystem, names, building)
        try:
            building.rename(target)
        except OSError:
            if not target.is_dir():  # Another process was faster; its copy is as good.
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def _fingerprint(model: str, filesystem: FileSystem, names: dict[str, str]) -> str:
    """Return what changes when a file of the folder does: its ETag or modification time, whatever the store has."""
    files = sorted((name, str(filesystem.ukey(path))) for path, name in names.items())
    return hashlib.sha256(json.dumps([model, files]).encode()).hexdigest()


def _own_cache() -> Path:
    folder = Path(tempfile.gettempdir()) / f"pinetune-models-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise InvalidInput(
            f"{folder} belongs to another user; set TMPDIR to a folder of your own", reason="CACHE_TAKEN"
        )
    return folder
