"""Finds the model that an order names: a folder, a hub id, another job's result, a checkpoint, or `nano`."""

import os
import re

from sqlalchemy.engine import Connection

from pinetune.jobs.model_names import PREFIX
from pinetune.jobs.spec import NANO
from pinetune.jobs.states import State
from pinetune.jobs.store import history
from pinetune.jobs.store.jobs import Job, find_job_of_model, get_job
from pinetune.pod.errors import Conflict, InvalidInput, NotFound
from pinetune.pod.storage import is_local, open_address

HUB_ID = re.compile(r"[\w-][\w.-]{0,95}(/[\w-][\w.-]{0,95})?")
JOB_PREFIX = "job:"
CHECKPOINT_PREFIX = "ftckpt-"


def resolve_model(connection: Connection, model: str, *, field: str = "model") -> str:
    """Return the folder or hub id behind a model's name; empty for `nano`, which the job makes itself.

    Raises InvalidInput, NotFound or Conflict MODEL_NOT_READY, which name the `field`.
    """
    if model == NANO:
        return ""
    if model.startswith(JOB_PREFIX):
        return _model_of_job(get_job(connection, model.removeprefix(JOB_PREFIX)), field)
    if model.startswith((PREFIX, CHECKPOINT_PREFIX)):
        return _model_of_name(connection, model, field)
    if _is_folder(model):
        return _checked_folder(model, field)
    if not HUB_ID.fullmatch(model):
        raise InvalidInput(
            f"{field} must be `nano`, a folder, a hub id such as org/name, job:<job id>, a fine-tuned model's name or "
            f"a checkpoint's id; it is {model!r}",
            reason="INVALID_MODEL",
            field=field,
        )
    return model


def _model_of_job(job: Job, field: str) -> str:
    if job.work.state is not State.SUCCEEDED:
        raise Conflict(
            f"{field}: job {job.work.work_id} is {job.work.state}; its model is there once it has succeeded",
            reason="MODEL_NOT_READY",
            field=field,
            state=str(job.work.state),
        )
    return job.model_uri


def _model_of_name(connection: Connection, name: str, field: str) -> str:
    job = find_job_of_model(connection, name) if name.startswith(PREFIX) else None
    if job is not None:
        return _model_of_job(job, field)
    checkpoint = history.find_checkpoint_of_name(connection, name)
    if checkpoint is None or not checkpoint.policy_uri:
        raise NotFound(f"{field}: there is no model or checkpoint {name!r}", reason="MODEL_NOT_FOUND", field=field)
    return checkpoint.policy_uri


def _is_folder(model: str) -> bool:
    """Return whether the name is an address; `org/name` is one only where such a folder is here."""
    if model.startswith(("/", "./", "../", "~")) or "://" in model:
        return True
    return os.path.isdir(model)  # Of any text; Path fails at a name too long for the disk.


def _checked_folder(model: str, field: str) -> str:
    try:
        filesystem, path = open_address(model, field=field)
        found = filesystem.exists(f"{path}/config.json")
    except (OSError, InvalidInput) as error:
        raise InvalidInput(f"{field}: {model} cannot be read: {error}", reason="INVALID_MODEL", field=field) from error
    if not found:
        raise InvalidInput(
            f"{field}: there is no config.json in {model}; give a folder in Hugging Face format",
            reason="INVALID_MODEL",
            field=field,
        )
    # Workers run elsewhere: what is relative here must not be there. Other addresses mean the same everywhere.
    return path if is_local(filesystem) else model
