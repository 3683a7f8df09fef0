"""A job file: the order as a person writes it, with paths where the service wants ids of data sets.

    model: nano                         # or a folder, relative to this file where it is there
    training_file: train.jsonl          # a path, relative to this file, or the id of a data set
    validation_file: file-3f2a
    method: {type: reinforcement, reinforcement: {grader: {type: number, reference: "{{item.answer}}"}}}
    pinetune: {dataset: {prompt: "{{item.question}}"}}

What the keys mean is checked by the service alone; here only the paths are found and replaced.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pinetune.cli.yaml_files import Json, read_object
from pinetune.pod.errors import InvalidInput

FILE_KEYS = (
    ("training_file",),
    ("validation_file",),
    ("pinetune", "evaluation", "test_file"),
    ("pinetune", "policies", "grader_test", "file"),
)
"""Where an order names data sets."""
GraderFile = Annotated[
    Path, typer.Argument(metavar="GRADER", help="A grader file, or a job file with a grader; YAML or JSON.")
]
"""The argument of commands that take a grader."""
ID_PREFIX = "file-"
NANO = "nano"
"""A model's name that is never a folder's."""


@dataclass(frozen=True)
class LocalFile:
    """A data set that an order names by its path."""

    key: tuple[str, ...]
    """Where in the order."""
    path: Path
    """The file."""


@dataclass(frozen=True)
class JobFile:
    """An order with the files it names."""

    order: dict[str, Json]
    """The order as it was written."""
    local_files: tuple[LocalFile, ...]
    """The data sets to upload."""

    def to_json(self, upload: Callable[[LocalFile], str]) -> str:
        """Return the order as JSON text, each path replaced by the id that `upload` gives for it."""
        order, ids = copy.deepcopy(self.order), dict[Path, str]()
        for file in self.local_files:
            if file.path not in ids:
                ids[file.path] = upload(file)
            place = order
            for key in file.key[:-1]:
                inner = place[key]
                assert isinstance(inner, dict)
                place = inner
            place[file.key[-1]] = ids[file.path]
        return json.dumps(order, ensure_ascii=False)


def read_job_file(path: Path) -> JobFile:
    """Read a job file; raises InvalidInput, one line per fault, where it or a file it names cannot be used."""
    order = read_object(path)
    found, faults = [], []
    for key in FILE_KEYS:
        value = _at(order, key)
        if value is None or value == "":
            continue
        local = path.parent / str(value)
        if local.is_file():
            found.append(LocalFile(key, local.resolve()))
        elif not str(value).startswith(ID_PREFIX):
            faults.append(f"{'.'.join(key)}: no file {local} and no data set's id ({ID_PREFIX}…); given {value!r}")
    if faults:
        raise InvalidInput("\n".join(faults), reason="FILE_NOT_FOUND")
    if isinstance(model := order.get("model"), str):
        order = {**order, "model": _model(model, path.parent)}
    return JobFile(order, tuple(found))


def _model(model: str, folder: Path) -> str:
    """Return a model's folder as a whole path, which the service can read; any other name is the service's to judge."""
    local = folder / Path(model).expanduser()
    if model != NANO and (local.is_dir() or model.startswith(("./", "../"))):
        return str(local.resolve())
    return model


def read_grader(path: Path) -> str:
    """Return the grader of a grader file, or of a job file, as JSON text."""
    content = read_object(path)
    method = content.get("method")
    if not isinstance(method, dict):
        if isinstance(content.get("grader"), dict) and "type" not in content:
            sentence = f"{path}: the grader stands inside `grader`; a grader file has its keys at the top, `type` first"
            raise InvalidInput(sentence, reason="GRADER_NOT_FOUND", field="grader")
        return json.dumps(content, ensure_ascii=False)
    settings = method.get(str(method.get("type")))
    grader = settings.get("grader") if isinstance(settings, dict) else None
    if not isinstance(grader, dict):
        raise InvalidInput(f"{path}: no grader at method.{method.get('type')}.grader", reason="GRADER_NOT_FOUND")
    return json.dumps(grader, ensure_ascii=False)


def _at(order: dict[str, Json], key: tuple[str, ...]) -> Json:
    value: Json = order
    for name in key:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value
