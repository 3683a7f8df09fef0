"""A policy as a folder: what generation loads and what the user takes home.

The folder is a whole model in Hugging Face format, with its tokenizer and, last, the manifest that names every tensor
and its hash. `pinetune.pod.manifest` has the format.
"""

import copy
import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from pinetune.learning.folders import new_folder, read_file
from pinetune.pod.manifest import MANIFEST_FILE, Manifest, TensorEntry, content_hash, read_manifest, write_manifest

WEIGHTS_FILE = "model.safetensors"
HASH_THREADS = 4
"""Hashing lets go of Python's lock; a few threads keep up with what a disk takes."""


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
    tensors = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state_of(model).items()
    }
    entries = entries_of(tensors, WEIGHTS_FILE)
    hashed = content_hash(entries)
    if read_file(policy_uri, MANIFEST_FILE) is not None:
        held = read_manifest(policy_uri)
        if (held.policy_version, held.content_hash) == (policy_version, hashed):
            return held
    manifest = Manifest(
        policy_version=policy_version,
        content_hash=hashed,
        tensors=entries,
        kind="full",
        base_content_hash="",
        create_time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )
    with new_folder(policy_uri, last=MANIFEST_FILE) as folder:
        for name, content in tokenizer_files.items():
            (folder / name).write_bytes(content)
        config = copy.deepcopy(model.config)
        config.dtype = dtype
        config.save_pretrained(folder)
        if model.generation_config is not None:
            model.generation_config.save_pretrained(folder)
        # transformers asks for the format in the metadata.
        save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        write_manifest(str(folder), manifest)
    return manifest


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a module's state on the CPU; of tied ones, the first name only."""
    seen: set[int] = set()
    state: dict[str, Tensor] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            state[name] = tensor.detach().cpu().contiguous()
    return state


def entries_of(tensors: Mapping[str, Tensor], file: str) -> tuple[TensorEntry, ...]:
    """Return the manifest's entry of each tensor."""
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        hashes = list(pool.map(tensor_sha256, tensors.values()))
    return tuple(
        TensorEntry(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), sha256, file)
        for (name, tensor), sha256 in zip(tensors.items(), hashes, strict=True)
    )


def tensor_sha256(tensor: Tensor) -> str:
    """Return the SHA-256 of a CPU tensor's bytes in row-major order, in hexadecimal."""
    return hashlib.sha256(tensor.reshape(-1).view(torch.uint8).numpy().data).hexdigest()
