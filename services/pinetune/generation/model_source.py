"""Where a model comes from: a folder on this machine or an id on the hub. Looked at before torch is imported."""

import re
from dataclasses import dataclass
from pathlib import Path

from pinetune.pod.errors import InvalidInput

HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


@dataclass(frozen=True)
class ModelSource:
    """A place that transformers can load from."""

    name: str
    """Path of the folder, or the hub id."""
    local: bool
    """Whether it is a folder."""


def find_model(model: str) -> ModelSource:
    """Return where `model` is. Raises InvalidInput MODEL_NOT_FOUND where it is no folder and cannot be a hub id."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return ModelSource(str(folder), local=True)
    if HUB_ID.fullmatch(model):
        return ModelSource(model, local=False)
    raise model_not_found(f"there is no folder {model!r}")


def model_not_found(what: str) -> InvalidInput:
    """Return the error for a model that cannot be had; `what` says why."""
    return InvalidInput(
        f"PINETUNE_GENERATION_MODEL: {what}; name a folder in Hugging Face format or a hub id", reason="MODEL_NOT_FOUND"
    )
