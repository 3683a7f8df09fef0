"""A policy as a folder: what generation loads and what the user takes home.

The folder is a whole model in Hugging Face format, with its tokenizer and, last, the manifest that names every tensor
and its hash. `pinetune.pod.manifest` has the format.
"""

import copy
import hashlib
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from pinetune.learning.folders import new_folder, read_file
from pinetune.pod.manifest import MANIFEST_FILE, Manifest, TensorEntry, content_hash, read_manifest, write_manifest
from pinetune.pod.tensor_files import layout

WEIGHTS_FILE = "model.safetensors"
HASH_THREADS = 4
"""Hashing lets go of Python's lock; a few threads keep up with what a disk takes."""
WRITE_BYTES_MAX = 1 << 30  # Linux writes at most 2 GiB at once.


def write_policy(
    model: PreTrainedModel,
    policy_uri: str,
    policy_version: int,
    tokenizer_files: Mapping[str, bytes],
    *,
    dtype: torch.dtype,
) -> Manifest:
    """Write the model's folder in `dtype`, whole or not at all, and return its manifest, which attests what is written.

    A folder that holds this very policy already is left as it is.
    """
    tensors = policy_tensors(model, dtype)
    if read_file(policy_uri, MANIFEST_FILE) is not None:
        held = read_manifest(policy_uri)
        if held == replace(
            manifest_of(entries_of(tensors, WEIGHTS_FILE), policy_version), create_time=held.create_time
        ):
            return held
    with new_folder(policy_uri, last=MANIFEST_FILE) as folder:
        for name, content in tokenizer_files.items():
            (folder / name).write_bytes(content)
        config = copy.deepcopy(model.config)
        config.dtype = dtype
        config.save_pretrained(folder)
        if model.generation_config is not None:
            model.generation_config.save_pretrained(folder)
        manifest = manifest_of(write_tensors(folder / WEIGHTS_FILE, tensors), policy_version)
        write_manifest(str(folder), manifest)
    return manifest


def policy_tensors(model: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the tensors of the policy that samplers get, in `dtype`, on the CPU."""
    return {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state_of(model).items()
    }


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a module's state on the CPU; of tied ones, the first name only."""
    seen: set[int] = set()
    state: dict[str, Tensor] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            state[name] = tensor.detach().cpu().contiguous()
    return state


def manifest_of(entries: Iterable[TensorEntry], policy_version: int) -> Manifest:
    """Return the manifest of a whole model that is written now."""
    tensors = tuple(entries)
    return Manifest(
        policy_version=policy_version,
        content_hash=content_hash(tensors),
        tensors=tensors,
        kind="full",
        base_content_hash="",
        create_time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )


def entries_of(tensors: Mapping[str, Tensor], file: str) -> tuple[TensorEntry, ...]:
    """Return the manifest's entry of each tensor."""
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        hashes = dict(pool.map(lambda name: (name, tensor_sha256(tensors[name])), _largest_first(tensors)))
    return tuple(_entry(name, tensor, hashes[name], file) for name, tensor in tensors.items())


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> tuple[TensorEntry, ...]:
    """Write a safetensors file; return the entry of each tensor. Each is hashed while others are written."""
    unhashed = [_entry(name, tensor, "", path.name) for name, tensor in tensors.items()]
    # transformers asks for the format in the metadata.
    first, starts, size = layout(unhashed, {"format": "pt"})
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)

    def write(name: str) -> tuple[str, str]:
        data = bytes_of(tensors[name])
        _write_at(descriptor, data, starts[name])
        return name, hashlib.sha256(data).hexdigest()

    try:
        os.truncate(descriptor, size)
        _write_at(descriptor, memoryview(first), 0)
        with ThreadPoolExecutor(HASH_THREADS) as pool:
            hashes = dict(pool.map(write, _largest_first(tensors)))
    finally:
        os.close(descriptor)
    return tuple(replace(entry, sha256=hashes[entry.name]) for entry in unhashed)


def tensor_sha256(tensor: Tensor) -> str:
    """Return the SHA-256 of a CPU tensor's bytes in row-major order, in hexadecimal."""
    return hashlib.sha256(bytes_of(tensor)).hexdigest()


def bytes_of(tensor: Tensor) -> memoryview:
    """Return the memory of a contiguous CPU tensor."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _entry(name: str, tensor: Tensor, sha256: str, file: str) -> TensorEntry:
    return TensorEntry(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), sha256, file)


def _largest_first(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names so ordered that threads which take them one by one end together."""
    return sorted(tensors, key=lambda name: -tensors[name].nbytes)


def _write_at(descriptor: int, data: memoryview, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done : done + WRITE_BYTES_MAX], offset + done)
