"""A learner as files and back: what a restored run needs to go on as if nothing had happened, bit for bit.

    states/
      reference-5f1c….safetensors        the frozen reference: never changes, so it is written once for all checkpoints
      step-000010/
        policy.safetensors               weights and value head
        training.pt                      optimiser, random states of python, numpy and torch
        checkpoint.json                  counters, last answers, settings, hashes of the files; written last

The folder appears whole or not at all (`folders.py`), and nothing is restored before every hash has been checked.
"""

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load, load_file, save, save_file
from torch import Tensor, nn

from pinetune.learning.folders import local_copy, new_folder, read_file
from pinetune.learning.learner import Learner, Order
from pinetune.learning.measurements import UpdateMetrics
from pinetune.learning.optimizer import make_optimizer
from pinetune.learning.policy_files import state_of
from pinetune.learning.steps import StepBook
from pinetune.learning.warm_up import WarmUpMetrics
from pinetune.pod.errors import Conflict, Corrupt, NotFound
from pinetune.pod.storage import open_address, write_whole

MANIFEST_FILE, POLICY_FILE, TRAINING_FILE = "checkpoint.json", "policy.safetensors", "training.pt"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """One file of a checkpoint."""

    sha256: str
    """SHA-256 of its bytes, in hexadecimal."""
    size_bytes: int
    """Its size."""


@dataclass(frozen=True, slots=True)
class CheckpointManifest:
    """What a checkpoint says about itself."""

    format_version: int
    """Version of this format."""
    order: Order
    """What the learner was opened with."""
    policy_version: int
    """Version of the last saved policy."""
    changed: bool
    """Whether weights had changed since."""
    warm_up_steps: StepBook[WarmUpMetrics]
    """The last warm-up step."""
    update_steps: StepBook[UpdateMetrics]
    """The last update step."""
    reference_file: str
    """Name of the reference's file beside the folder; empty where none was frozen."""
    data_position_json: str
    """Where the loop stood in its data; opaque here."""
    files: dict[str, CheckpointFile]
    """The files of the folder, and the reference's."""


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """A checkpoint that was written."""

    content_hash: str
    """SHA-256 of its manifest, in hexadecimal."""
    size_bytes: int
    """Size of all its files, the reference's included."""


_ADAPTER = TypeAdapter(CheckpointManifest)


def save_checkpoint(learner: Learner, checkpoint_uri: str, data_position_json: str) -> SavedCheckpoint:
    """Write all that is needed to go on; a checkpoint of the same moment that is there already is left as it is."""
    learner.refuse_half_done()
    there = read_file(checkpoint_uri, MANIFEST_FILE)
    if there is not None and _is_of_this_moment(_parse(checkpoint_uri, there), learner, data_position_json):
        return _saved(there)
    files: dict[str, CheckpointFile] = {}
    reference_file = ""
    if learner.reference is not None:
        reference_file, files_of_reference = _write_reference(learner.reference, checkpoint_uri)
        files |= files_of_reference
    with new_folder(checkpoint_uri, last=MANIFEST_FILE) as folder:
        save_file(state_of(learner.policy), folder / POLICY_FILE)
        optimizer = None if learner.optimizer is None else learner.optimizer.state_dict()
        torch.save({"optimizer": optimizer, "random": _random_states()}, folder / TRAINING_FILE)
        for name in (POLICY_FILE, TRAINING_FILE):
            files[name] = _described_file(folder / name)
        manifest = CheckpointManifest(
            format_version=FORMAT_VERSION,
            order=learner.order,
            policy_version=learner.policy_version,
            changed=learner.changed,
            warm_up_steps=learner.warm_up_steps,
            update_steps=learner.update_steps,
            reference_file=reference_file,
            data_position_json=data_position_json,
            files=files,
        )
        text = json.dumps(asdict(manifest), indent=1).encode()
        (folder / MANIFEST_FILE).write_bytes(text)
    return _saved(text)


def restore_checkpoint(learner: Learner, checkpoint_uri: str) -> str:
    """Bring the learner back to where it was saved; return the data position that was saved with it.

    Raises NotFound where there is no complete checkpoint, Conflict where it belongs to another order, Corrupt where a
    file is not what was written. The learner is then as it was.
    """
    text = read_file(checkpoint_uri, MANIFEST_FILE)
    if text is None:
        raise NotFound(
            f"checkpoint_uri {checkpoint_uri} holds no {MANIFEST_FILE}; it is unfinished or no checkpoint",
            reason="CHECKPOINT_NOT_FOUND",
            checkpoint_uri=checkpoint_uri,
        )
    manifest = _parse(checkpoint_uri, text)
    _check_order(manifest.order, learner.order)
    with local_copy(checkpoint_uri) as folder:
        policy = load_file(_checked(folder / POLICY_FILE, manifest))
        training = torch.load(_checked(folder / TRAINING_FILE, manifest), weights_only=True)
    reference = _read_reference(checkpoint_uri, manifest)
    _check_tensors(learner.policy, policy)
    _place(learner, manifest, policy, reference, training)
    return manifest.data_position_json


@torch.no_grad()
def _place(
    learner: Learner,
    manifest: CheckpointManifest,
    policy: Mapping[str, Tensor],
    reference: Mapping[str, Tensor] | None,
    training: dict[str, Any],
) -> None:
    learner.half_done = "restoring a checkpoint"
    _copy_into(learner.policy, policy)
    learner.policy.zero_grad()
    learner.reference = None
    if reference is not None:
        learner.reference = learner.copy_of_policy()
        _copy_into(learner.reference, reference)
    learner.optimizer = None
    if training["optimizer"] is not None:
        phase = learner.order.update if manifest.update_steps.last_step else learner.order.warm_up
        assert phase is not None, "an optimiser was made for a phase that was ordered"
        learner.optimizer = make_optimizer(learner.policy.parameters(), phase.optimizer)
        learner.optimizer.load_state_dict(training["optimizer"])
    _set_random_states(training["random"])
    learner.policy_version, learner.changed = manifest.policy_version, manifest.changed
    learner.warm_up_steps, learner.update_steps = manifest.warm_up_steps, manifest.update_steps
    learner.half_done = ""


def _write_reference(reference: nn.Module, checkpoint_uri: str) -> tuple[str, dict[str, CheckpointFile]]:
    """Write the reference beside the checkpoint's folder, unless it is there; its name says what it holds."""
    content = save(state_of(reference))
    described = _described(content)
    name = f"reference-{described.sha256[:16]}.safetensors"
    uri = f"{checkpoint_uri.rstrip('/').rpartition('/')[0]}/{name}"
    filesystem, path = open_address(uri)
    if not filesystem.exists(path):
        write_whole(uri, content)
    return name, {name: described}


def _read_reference(checkpoint_uri: str, manifest: CheckpointManifest) -> dict[str, Tensor] | None:
    if not manifest.reference_file:
        return None
    content = read_file(checkpoint_uri.rstrip("/").rpartition("/")[0], manifest.reference_file)
    _check_file(manifest, manifest.reference_file, None if content is None else _described(content))
    return load(content or b"")


def _copy_into(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    held = module.state_dict(keep_vars=True)
    for name, tensor in tensors.items():
        held[name].copy_(tensor)


def _check_tensors(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    held = state_of(module)
    for name in sorted(held.keys() | tensors.keys()):
        mine, stored = held.get(name), tensors.get(name)
        if mine is None or stored is None or (mine.shape, mine.dtype) != (stored.shape, stored.dtype):
            raise Conflict(
                f"tensor {name!r} of the checkpoint and of the model differ in shape or dtype, or only one has it; "
                "open the learner with the model that the checkpoint was made of",
                reason="CHECKPOINT_OF_OTHER_MODEL",
                tensor=name,
            )


def _check_order(saved: Order, opened: Order) -> None:
    """Refuse a checkpoint whose run would go on otherwise; where to compute and where the model lies may differ."""
    differing = [
        name for name in ("job_id", "warm_up", "update", "seed") if getattr(saved, name) != getattr(opened, name)
    ]
    if differing:
        raise Conflict(
            f"the checkpoint was saved with another {', '.join(differing)} than the learner was opened with; open it "
            "with the settings of the checkpoint's job",
            reason="CHECKPOINT_OF_OTHER_ORDER",
            fields=", ".join(differing),
        )


def _is_of_this_moment(manifest: CheckpointManifest, learner: Learner, data_position_json: str) -> bool:
    def moment(of: CheckpointManifest | Learner) -> tuple[object, ...]:
        return of.order, of.policy_version, of.changed, of.warm_up_steps, of.update_steps

    same_reference = bool(manifest.reference_file) == (learner.reference is not None)
    return (moment(manifest), manifest.data_position_json) == (moment(learner), data_position_json) and same_reference


def _parse(checkpoint_uri: str, text: bytes) -> CheckpointManifest:
    try:
        manifest = _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise Corrupt(
            f"{MANIFEST_FILE} of {checkpoint_uri} is malformed: {first['loc']}: {first['msg']}",
            reason="CHECKPOINT_CORRUPT",
            checkpoint_uri=checkpoint_uri,
        ) from error
    if manifest.format_version != FORMAT_VERSION:
        raise Conflict(
            f"checkpoint {checkpoint_uri} has format {manifest.format_version}, this release reads {FORMAT_VERSION}",
            reason="CHECKPOINT_FORMAT",
            checkpoint_uri=checkpoint_uri,
        )
    return manifest


def _checked(path: Path, manifest: CheckpointManifest) -> Path:
    _check_file(manifest, path.name, _described_file(path) if path.exists() else None)
    return path


def _check_file(manifest: CheckpointManifest, name: str, found: CheckpointFile | None) -> None:
    wanted = manifest.files.get(name)
    if found is None or found != wanted:
        what = "is missing" if found is None else "is not what was written, its SHA-256 says"
        raise Corrupt(f"{name} of the checkpoint {what}", reason="CHECKPOINT_CORRUPT", file=name)


def _described(content: bytes) -> CheckpointFile:
    return CheckpointFile(hashlib.sha256(content).hexdigest(), len(content))


def _described_file(path: Path) -> CheckpointFile:
    with path.open("rb") as file:
        return CheckpointFile(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def _saved(text: bytes) -> SavedCheckpoint:
    files = _ADAPTER.validate_json(text).files.values()
    return SavedCheckpoint(hashlib.sha256(text).hexdigest(), len(text) + sum(file.size_bytes for file in files))


def _random_states() -> dict[str, object]:
    """Return every random state of the process, as what `torch.load` reads without running code."""
    state = numpy.random.get_state(legacy=False)
    assert isinstance(state, dict)
    return {
        "python": random.getstate(),
        "numpy_key": torch.from_numpy(state["state"]["key"].astype(numpy.int64)),
        "numpy_rest": (state["state"]["pos"], state["has_gauss"], state["gauss"]),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random_states(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    numpy.random.set_state(("MT19937", states["numpy_key"].numpy().astype(numpy.uint32), *states["numpy_rest"]))
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all(states["cuda"])
