"""The manifest of a policy: what a folder of weights consists of, with the SHA-256 of every tensor.

Learning writes it last, next to the weights it names, and generation reads it first: no manifest, no policy. This file
knows names and hashes only. It never opens the weights, so it needs no torch; whoever holds the tensors hashes them.

A policy folder holds the weights and their manifest:

    model.safetensors
    manifest.json       {"policy_version": 7,
                         "content_hash": "5f1c…",
                         "tensors": [{"name": "lm_head.weight", "dtype": "float32", "shape": [512, 32],
                                      "sha256": "90aa…", "file": "model.safetensors"}, …],
                         "kind": "full",
                         "base_content_hash": "",
                         "create_time": "2026-01-31T12:00:00Z",
                         "adapter_config_json": ""}
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from pinetune.pod import storage
from pinetune.pod.errors import Corrupt, InvalidInput, NotFound

MANIFEST_FILE = "manifest.json"
ADAPTER_CONFIG_FILE = "adapter_config.json"

_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a policy."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    """Its name in the model's state."""
    dtype: str
    """float32, bfloat16, float16 …, as torch spells it."""
    shape: tuple[_Count, ...]
    """Its shape; empty for a scalar."""
    sha256: _Sha256
    """SHA-256 of its bytes in row-major order, in hexadecimal."""
    file: str
    """File that holds it, relative to the manifest."""


@dataclass(frozen=True)
class Manifest:
    """A policy: its version and all its tensors."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    policy_version: _Count
    """Version of the policy; 0 is the base model."""
    content_hash: _Sha256
    """`content_hash` of the tensors."""
    tensors: tuple[TensorEntry, ...]
    """All tensors, each name once."""
    kind: Literal["full", "lora"]
    """Whether the tensors are a whole model or an adapter."""
    base_content_hash: str
    """Content hash of the base model an adapter belongs to; empty for a whole model."""
    create_time: str
    """When it was written, RFC 3339."""
    adapter_config_json: str = ""
    """The text of an adapter's `adapter_config.json`; empty for a whole model."""


_ADAPTER = TypeAdapter(Manifest)


def content_hash(tensors: Iterable[TensorEntry], *, base_content_hash: str = "", adapter_config_json: str = "") -> str:
    """Return the SHA-256 over names, dtypes, shapes and tensor hashes, in order of the names.

    Neither the files nor the policy version count, so two policies with equal weights have equal content hashes. For an
    adapter its configuration and its base count: the same tensors with another alpha are another model.
    """
    rows: list[object] = [*sorted((entry.name, entry.dtype, entry.shape, entry.sha256) for entry in tensors)]
    if base_content_hash or adapter_config_json:
        rows.append({"base_content_hash": base_content_hash, "adapter_config_json": adapter_config_json})
    # JSON separates the fields whatever characters a name has; joined text would let two tensor lists collide.
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def content_hash_of(manifest: Manifest) -> str:
    """Return the content hash that a manifest's own fields have."""
    return content_hash(
        manifest.tensors,
        base_content_hash=manifest.base_content_hash,
        adapter_config_json=manifest.adapter_config_json,
    )


def read_manifest(uri: str) -> Manifest:
    """Read and check the manifest of the policy folder `uri`, any address that fsspec reads.

    Raises NotFound where the folder holds no manifest, InvalidInput where it is malformed, names a tensor twice or a
    file outside the folder, Corrupt where its content hash is not that of its tensors.
    """
    text = read_text(uri, MANIFEST_FILE)
    if text is None:
        raise NotFound(
            f"{uri} holds no {MANIFEST_FILE}; a policy folder without it is unfinished or not a policy",
            reason="MANIFEST_NOT_FOUND",
            policy_uri=uri,
        )
    try:
        manifest = _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _malformed(uri, f"{place}: {first['msg']}" if place else first["msg"]) from error
    check_manifest(uri, manifest)
    return manifest


def read_text(uri: str, name: str) -> str | None:
    """Return the text of one file of the folder `uri`; None where it is not there.

    Raises InvalidInput where fsspec knows no such address, or the file is no UTF-8.
    """
    filesystem, folder = storage.open_address(uri, field="policy_uri")
    try:
        content: bytes = filesystem.cat_file(f"{folder}/{name}")
        return content.decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise _malformed(uri, f"{name}: {error}") from error


def write_manifest(uri: str, manifest: Manifest) -> None:
    """Write the manifest of the policy folder `uri`, whole or not at all; it replaces an older one.

    Raises InvalidInput or Corrupt for a manifest that `read_manifest` would refuse.
    """
    check_manifest(uri, manifest)
    storage.write_whole(f"{uri.rstrip('/')}/{MANIFEST_FILE}", json.dumps(asdict(manifest), indent=1).encode())


def check_manifest(uri: str, manifest: Manifest) -> None:
    """Raise what `read_manifest` raises for a manifest of these fields; `uri` says in messages where it is from."""
    names = [entry.name for entry in manifest.tensors]
    if not names:
        raise _malformed(uri, "tensors: a policy has at least one tensor")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise _malformed(uri, f"tensors: {twice!r} is there more than once")
    for entry in manifest.tensors:
        path = PurePosixPath(entry.file)
        if not entry.file or path.is_absolute() or ".." in path.parts:
            raise _malformed(uri, f"tensors: {entry.name!r} lies in {entry.file!r}, no file below the manifest")
    if manifest.kind == "full" and (manifest.base_content_hash or manifest.adapter_config_json):
        raise _malformed(uri, "base_content_hash and adapter_config_json must be empty for a whole model")
    if manifest.kind == "lora" and not (manifest.base_content_hash and manifest.adapter_config_json):
        raise _malformed(uri, "base_content_hash and adapter_config_json must be set for an adapter")
    computed = content_hash_of(manifest)
    if computed != manifest.content_hash:
        raise Corrupt(
            f"{MANIFEST_FILE} of {uri} says content hash {manifest.content_hash}, its tensors have {computed}",
            reason="CONTENT_HASH_MISMATCH",
            policy_uri=uri,
        )


def _malformed(uri: str, what: str) -> InvalidInput:
    return InvalidInput(f"{MANIFEST_FILE} of {uri} is malformed: {what}", reason="MANIFEST_MALFORMED", policy_uri=uri)
