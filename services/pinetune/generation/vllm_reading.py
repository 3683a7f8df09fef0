"""The tensors of a policy as one of vLLM's workers reads them: from its files, each checked against the manifest."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pinetune.generation.weight_files import WeightFile, tensor_sha256
from pinetune.pod.errors import Corrupt

HASH_THREADS = 4


@dataclass(frozen=True)
class Source:
    """Where a tensor was read."""

    folder: str = ""
    """The policy's folder; empty for the base model."""
    file: str = ""
    """File in it."""
    name: str = ""
    """Its name in the file."""
    sha256: str = ""
    """SHA-256 of what is there."""


@dataclass(frozen=True)
class HeldTensor:
    """A tensor of the held policy."""

    file_name: str
    """Its name in the model's files."""
    sha256: str
    """SHA-256 of its bytes, as policies name it."""
    readable_sha256: str
    """SHA-256 of the tensor plus zero, which can be compared with what is read back."""
    source: Source
    """Where it was read; where an adapter adds to it, where that was read which it adds to."""

    @classmethod
    def of(cls, file_name: str, tensor: Tensor, source: Source) -> "HeldTensor":
        """Hash a tensor."""
        return cls(file_name, tensor_sha256(tensor), tensor_sha256(tensor + 0), source)


@dataclass(frozen=True)
class ReadTensor:
    """A tensor to place."""

    tensor: Tensor
    """Its values, on the CPU."""
    held: HeldTensor
    """What is held once it is placed."""


def read_changed(
    policy_uri: str, entries: Sequence[Mapping[str, Any]], file_name: Callable[[str], str]
) -> list[ReadTensor]:
    """Read a policy's tensors; `entries` are those of its manifest, `file_name` says what the model's files call each.

    Raises Corrupt where names, shapes, dtypes or hashes are not the manifest's.
    """
    files: dict[str, WeightFile] = {}
    for entry in entries:
        if entry["file"] not in files:
            files[entry["file"]] = WeightFile(policy_uri, entry["file"])
        _check_stored(files[entry["file"]], entry)

    def read(entry: Mapping[str, Any]) -> ReadTensor:
        tensor = files[entry["file"]].read(entry["name"])
        source = Source(policy_uri, entry["file"], entry["name"], entry["sha256"])
        held = HeldTensor.of(file_name(entry["name"]), tensor, source)
        if held.sha256 != entry["sha256"]:
            raise corrupt(
                f"tensor {entry['name']!r} in {entry['file']} has SHA-256 {held.sha256}, the manifest says "
                f"{entry['sha256']}",
                "TENSOR_HASH_MISMATCH",
                entry["name"],
            )
        return ReadTensor(tensor, held)

    with ThreadPoolExecutor(HASH_THREADS) as pool:
        return list(pool.map(read, entries))


def read_again(name: str, source: Source) -> Tensor:
    """Read a tensor of a policy once more; raises Corrupt TENSOR_LOST where it is not what it was."""
    return unchanged(name, WeightFile(source.folder, source.file).read(source.name), source)


def find_copy(policy_uri: str, entry: Mapping[str, Any]) -> Source | None:
    """Return where a policy has a tensor that is held already; None where its folder does not have it.

    A folder that was received holds only what was sent.
    """
    source = Source(policy_uri, entry["file"], entry["name"], entry["sha256"])
    try:
        file = WeightFile(policy_uri, entry["file"])
        _check_stored(file, entry)
        unchanged(entry["name"], file.read(entry["name"]), source)
    except (Corrupt, OSError):
        return None
    return source


def unchanged(name: str, tensor: Tensor, source: Source) -> Tensor:
    """Return the tensor that was read from `source`; raises Corrupt TENSOR_LOST where it is not what it was."""
    if tensor_sha256(tensor) != source.sha256:
        raise corrupt(f"tensor {name!r} has changed in the files it came from", "TENSOR_LOST", name)
    return tensor


def corrupt(what: str, reason: str, tensor: str) -> Corrupt:
    """Return the error for a policy that is refused before anything was placed."""
    return Corrupt(f"{what}; the old policy stays", reason=reason, tensor=tensor)


def _check_stored(file: WeightFile, entry: Mapping[str, Any]) -> None:
    name = entry["name"]
    if name not in file:
        raise corrupt(f"tensor {name!r} is not in {entry['file']}", "TENSOR_MISSING", name)
    stored = file[name]
    if list(stored.shape) != list(entry["shape"]):
        raise corrupt(
            f"tensor {name!r} has shape {list(entry['shape'])} in the manifest, {list(stored.shape)} in "
            f"{entry['file']}",
            "SHAPE_MISMATCH",
            name,
        )
    if stored.dtype != entry["dtype"]:
        raise corrupt(
            f"tensor {name!r} is {entry['dtype']} in the manifest, {stored.dtype} in {entry['file']}",
            "DTYPE_MISMATCH",
            name,
        )
