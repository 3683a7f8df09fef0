"""The weights an engine holds, and how a policy replaces them: all of it or nothing, and no byte unchecked.

1. manifest: version and content hash are those that were asked for; names, shapes and dtypes are the model's.
2. read: only tensors whose hash differs from what is held; each is hashed before the model is touched.
3. place: the tensors are copied into the model's own memory, the old ones kept aside.
4. attest: the content hash is computed again from what the model now holds; if it is not the manifest's, the old
   tensors are put back.

Tied weights are one tensor with several names. A policy may name them by any of these names, or by all of them if they
are equal; the copy goes into the one tensor, so they stay tied.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypeVar

import torch
from torch import Tensor, nn

from pinetune.generation.engine import LoadedPolicy, PolicyState
from pinetune.generation.weight_files import WeightFile, dtype_name
from pinetune.pod.errors import Conflict, Corrupt, Unsupported
from pinetune.pod.manifest import Manifest, TensorEntry, content_hash, read_manifest

NAMES_SHOWN = 3

T = TypeVar("T")
U = TypeVar("U")


def tensor_sha256(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's bytes in row-major order, in hexadecimal."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return hashlib.sha256(flat.view(torch.uint8).numpy().data).hexdigest()


class HeldWeights:
    """The weights of one model in memory, with their hashes."""

    def __init__(self, model: nn.Module, threads: int) -> None:
        self._threads = threads
        # Parameters and the buffers that are saved; tied ones come under each of their names.
        self._tensors: dict[str, Tensor] = {
            name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if isinstance(tensor, Tensor)
        }
        self._names = _first_names(self._tensors)
        self._hashes = self._hash(self._names)
        self.state = PolicyState(0, content_hash(self._entries(self._names, self._hashes)), _now())

    def load(self, policy_uri: str, policy_version: int, expected_content_hash: str) -> LoadedPolicy:
        """Replace the weights by the policy in `policy_uri`; loading what is held changes nothing.

        Raises NotFound and InvalidInput as `read_manifest` does, Conflict where the manifest is not of the version or
        content hash that was asked for, Corrupt where tensors are not what the manifest or the model says. The old
        policy then stays.
        """
        began = time.monotonic()
        manifest = read_manifest(policy_uri)
        _check_request(manifest, policy_version, expected_content_hash)
        if (self.state.policy_version, self.state.content_hash) == (manifest.policy_version, manifest.content_hash):
            return LoadedPolicy(self.state, changed_tensor_count=0, seconds=time.monotonic() - began)
        self._check_model(manifest)
        changed = self._read_changed(policy_uri, manifest)
        self._place(manifest, changed)
        self.state = PolicyState(manifest.policy_version, manifest.content_hash, _now())
        return LoadedPolicy(self.state, changed_tensor_count=len(changed), seconds=time.monotonic() - began)

    def _check_model(self, manifest: Manifest) -> None:
        """Raise Corrupt unless the manifest has each tensor of the model, in its shape and dtype, and no other."""
        for entry in manifest.tensors:
            held = self._tensors.get(entry.name)
            if held is None:
                raise _corrupt(f"tensor {entry.name!r} of the policy is not in the model", "TENSOR_UNKNOWN", entry.name)
            _check_entry(entry, "the model", tuple(held.shape), held.dtype)
        hash_of_tensor: dict[int, str] = {}
        for entry in manifest.tensors:
            if hash_of_tensor.setdefault(id(self._tensors[entry.name]), entry.sha256) != entry.sha256:
                raise _corrupt(
                    f"tensor {entry.name!r} is tied to another one in the model, but differs from it in the policy",
                    "TENSOR_UNTIED",
                    entry.name,
                )
        missing = [name for name in self._names if id(self._tensors[name]) not in hash_of_tensor]
        if missing:
            shown = ", ".join(map(repr, missing[:NAMES_SHOWN])) + (" …" if len(missing) > NAMES_SHOWN else "")
            raise _corrupt(
                f"the policy lacks {len(missing)} tensors of the model: {shown}", "TENSOR_MISSING", missing[0]
            )

    def _read_changed(self, policy_uri: str, manifest: Manifest) -> dict[str, Tensor]:
        """Return, by its first name in the model, each tensor whose hash is not the held one; every hash is checked."""
        first_name = {id(self._tensors[name]): name for name in self._names}
        files: dict[str, WeightFile] = {}
        wanted: dict[str, TensorEntry] = {}
        for entry in manifest.tensors:
            name = first_name[id(self._tensors[entry.name])]
            if self._hashes[name] == entry.sha256 or name in wanted:
                continue
            if entry.file not in files:
                files[entry.file] = WeightFile(policy_uri, entry.file)
            if entry.name not in files[entry.file]:
                raise _corrupt(f"tensor {entry.name!r} is not in {entry.file}", "TENSOR_MISSING", entry.name)
            stored = files[entry.file][entry.name]
            _check_entry(entry, entry.file, stored.shape, stored.dtype)
            wanted[name] = entry
        read = self._in_threads(lambda entry: _read_checked(files[entry.file], entry), wanted.values())
        return dict(zip(wanted, read, strict=True))

    @torch.no_grad()
    def _place(self, manifest: Manifest, changed: Mapping[str, Tensor]) -> None:
        """Copy tensors into the model and hash what it then holds; undo where that is not the manifest's."""
        old = {name: self._tensors[name].detach().to("cpu", copy=True) for name in changed}
        for name, tensor in changed.items():
            self._tensors[name].copy_(tensor)
        hashes = self._hash(self._names)
        by_tensor = {id(self._tensors[name]): sha256 for name, sha256 in hashes.items()}
        named = {entry.name: by_tensor[id(self._tensors[entry.name])] for entry in manifest.tensors}
        held = content_hash(self._entries(named, named))
        if held != manifest.content_hash:
            for name, tensor in old.items():
                self._tensors[name].copy_(tensor)
            raise Corrupt(
                f"the engine holds content hash {held} after loading, not {manifest.content_hash} as the policy has; "
                "the old policy was put back",
                reason="CONTENT_HASH_MISMATCH",
                policy_version=manifest.policy_version,
            )
        self._hashes = hashes

    def _entries(self, names: Iterable[str], hashes: Mapping[str, str]) -> list[TensorEntry]:
        return [
            TensorEntry(name, dtype_name(tensor.dtype), tuple(tensor.shape), hashes[name], file="")
            for name in names
            for tensor in [self._tensors[name]]
        ]

    def _hash(self, names: Sequence[str]) -> dict[str, str]:
        return dict(zip(names, self._in_threads(lambda name: tensor_sha256(self._tensors[name]), names), strict=True))

    def _in_threads(self, function: Callable[[T], U], arguments: Iterable[T]) -> list[U]:
        # Hashing and reading let go of Python's lock.
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(function, arguments))


def _first_names(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return one name for each tensor: of tied ones, the first."""
    first: dict[int, str] = {}
    for name, tensor in tensors.items():
        first.setdefault(id(tensor), name)
    return tuple(first.values())


def _check_request(manifest: Manifest, policy_version: int, expected_content_hash: str) -> None:
    if manifest.kind != "full":
        raise Unsupported(
            f"the policy is of kind {manifest.kind!r}, the transformers engine loads whole models only; merge the "
            "adapter into its base before saving",
            reason="POLICY_KIND_UNSUPPORTED",
            kind=manifest.kind,
        )
    if manifest.policy_version != policy_version:
        raise Conflict(
            f"policy_version {policy_version} was asked for, the manifest names {manifest.policy_version}",
            reason="POLICY_VERSION_MISMATCH",
            asked=policy_version,
            named=manifest.policy_version,
        )
    if expected_content_hash and manifest.content_hash != expected_content_hash:
        raise Conflict(
            f"content_hash {expected_content_hash} was asked for, the manifest names {manifest.content_hash}",
            reason="CONTENT_HASH_UNEXPECTED",
            asked=expected_content_hash,
            named=manifest.content_hash,
        )


def _check_entry(entry: TensorEntry, place: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if entry.shape != shape:
        raise _corrupt(
            f"tensor {entry.name!r} has shape {list(entry.shape)} in the manifest, {list(shape)} in {place}",
            "SHAPE_MISMATCH",
            entry.name,
        )
    if entry.dtype != dtype_name(dtype):
        raise _corrupt(
            f"tensor {entry.name!r} is {entry.dtype} in the manifest, {dtype_name(dtype)} in {place}",
            "DTYPE_MISMATCH",
            entry.name,
        )


def _read_checked(file: WeightFile, entry: TensorEntry) -> Tensor:
    tensor = file.read(entry.name)
    computed = tensor_sha256(tensor)
    if computed != entry.sha256:
        raise _corrupt(
            f"tensor {entry.name!r} in {entry.file} has SHA-256 {computed}, the manifest says {entry.sha256}",
            "TENSOR_HASH_MISMATCH",
            entry.name,
        )
    return tensor


def _corrupt(what: str, reason: str, tensor: str) -> Corrupt:
    return Corrupt(f"{what}; the old policy stays", reason=reason, tensor=tensor)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
