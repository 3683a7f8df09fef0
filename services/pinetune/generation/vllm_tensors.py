"""The tensors that one of vLLM's workers holds, and how a policy replaces them: all of it or nothing.

A load: read and check the changed tensors, hand all tensors to vLLM's reloading, read back what the layers then hold,
and put the old tensors in again where that is not the policy. Unchanged tensors come from the model itself.

What is read back is compared by hash. On the CPU the sign of zeros cannot be read back (see `vllm_places.py`), so the
compared hash is that of the tensor plus zero. A tensor is read back where that gave the file's values when the engine
started. Otherwise (layers that are quantised, or spread over several GPUs) it counts as held once vLLM took it without
an error; then only the canary's log-probabilities attest it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from vllm.model_executor.layers.quantization.base_config import QuantizeMethodBase
from vllm.model_executor.model_loader import get_model_loader
from vllm.v1.worker.worker_base import WorkerBase

from pinetune.generation.vllm_places import Place, find_place
from pinetune.generation.weight_files import WeightFile, dtype_name, tensor_sha256
from pinetune.pod.errors import Broken, Corrupt, PinetuneError

HASH_THREADS = 4
NAMES_SHOWN = 3


@dataclass(frozen=True)
class Source:
    """Where a tensor was read."""

    folder: str = ""
    """The policy's folder; empty for the base model."""
    file: str = ""
    """File in it."""
    name: str = ""
    """Its name in the file."""


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
    """Where it was read."""


@dataclass(frozen=True)
class ReadTensor:
    """A tensor of the policy to load."""

    tensor: Tensor
    """Its values, on the CPU."""
    held: HeldTensor
    """What is held once it is placed."""


class HeldPolicy:
    """The tensors that one worker holds."""

    def __init__(self, worker: WorkerBase, first_names: Mapping[str, str], prefix: str) -> None:
        self._worker = worker
        self._first_names = first_names
        self._prefix = prefix
        self._held: dict[str, HeldTensor] = {}
        self._described: list[tuple[str, str, str, list[int]]] = []
        for name, file_name, tensor in self._base_tensors():
            held = HeldTensor(file_name, tensor_sha256(tensor), tensor_sha256(tensor + 0), Source())
            self._held[name] = held
            self._described.append((name, held.sha256, dtype_name(tensor.dtype), list(tensor.shape)))
        self._unread: frozenset[str] = frozenset()
        self._unread = frozenset(self._differing(self._held))

    def describe(self) -> dict[str, Any]:
        """Return the tensors and which of them cannot be read back."""
        return {"tensors": self._described, "unread": sorted(self._unread)}

    def load(self, policy_uri: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Replace tensors; on any error the old ones are put back."""
        read = self._read(policy_uri, entries)
        old = {name: self._read_back(name) for name in read if name not in self._unread}
        wanted = self._held | {name: one.held for name, one in read.items()}
        try:
            self._place({name: one.tensor for name, one in read.items()})
            if differing := self._differing(wanted):
                raise _not_held(differing)
        except Exception as error:
            self._put_back(old, error)
            if isinstance(error, PinetuneError):
                raise
            raise Broken(
                f"vLLM could not take the policy: {type(error).__name__}: {error}; the old policy was put back",
                reason="POLICY_NOT_TAKEN",
            ) from error
        self._held = wanted
        return {name: held.sha256 for name, held in self._held.items()}

    def _model(self) -> nn.Module:
        model: nn.Module = self._worker.get_model()
        return model

    def _base_tensors(self) -> Iterator[tuple[str, str, Tensor]]:
        """Read the base model's files: first name, name in the file, tensor in the engine's dtype."""
        config = self._worker.vllm_config
        loader: Any = get_model_loader(config.load_config)
        dtype = cast(torch.dtype, config.model_config.dtype)
        seen: set[str] = set()
        for file_name, tensor in loader.get_all_weights(config.model_config, self._model()):
            name = self._first_names.get(file_name) or self._first_names.get(f"{self._prefix}.{file_name}")
            if name is not None and name not in seen:
                seen.add(name)
                yield name, file_name, tensor.to(dtype) if tensor.is_floating_point() else tensor

    def _read(self, policy_uri: str, entries: Sequence[Mapping[str, Any]]) -> dict[str, ReadTensor]:
        """Read the changed tensors, each checked against the manifest before the model is touched."""
        files: dict[str, WeightFile] = {}
        for entry in entries:
            if entry["file"] not in files:
                files[entry["file"]] = WeightFile(policy_uri, entry["file"])
            _check_stored(files[entry["file"]], entry)

        def read(entry: Mapping[str, Any]) -> ReadTensor:
            tensor = files[entry["file"]].read(entry["name"])
            computed = tensor_sha256(tensor)
            if computed != entry["sha256"]:
                raise _corrupt(
                    f"tensor {entry['name']!r} in {entry['file']} has SHA-256 {computed}, the manifest says "
                    f"{entry['sha256']}",
                    "TENSOR_HASH_MISMATCH",
                    entry["name"],
                )
            file_name = self._held[self._first_names[entry["name"]]].file_name
            source = Source(policy_uri, entry["file"], entry["name"])
            return ReadTensor(tensor, HeldTensor(file_name, computed, tensor_sha256(tensor + 0), source))

        with ThreadPoolExecutor(HASH_THREADS) as pool:
            names = [self._first_names[entry["name"]] for entry in entries]
            return dict(zip(names, pool.map(read, entries), strict=True))

    def _read_back(self, name: str) -> Tensor:
        """Return a copy of a held tensor out of the model."""
        return next(self._copies(name)).to("cpu", copy=True)

    def _read_again(self, names: Collection[str]) -> Iterator[tuple[str, Tensor]]:
        """Return held tensors that cannot be read back from where they were read first."""
        for name, _, tensor in self._base_tensors():
            if name in names and not self._held[name].source.folder:
                yield name, self._unchanged(name, tensor)
        for name in names:
            source = self._held[name].source
            if source.folder:
                yield name, self._unchanged(name, WeightFile(source.folder, source.file).read(source.name))

    def _unchanged(self, name: str, tensor: Tensor) -> Tensor:
        if tensor_sha256(tensor) != self._held[name].sha256:
            raise _corrupt(f"tensor {name!r} has changed in the files it came from", "TENSOR_LOST", name)
        return tensor

    def _all_tensors(self, changed: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Return every tensor under its name in the model's files; vLLM wants whole layers."""
        again = []
        for name, held in self._held.items():
            if name in changed:
                yield held.file_name, changed[name]
            elif name in self._unread:
                again.append(name)
            else:
                yield held.file_name, self._read_back(name)
        if again:
            yield from ((self._held[name].file_name, tensor) for name, tensor in self._read_again(again))

    @torch.no_grad()
    def _place(self, changed: Mapping[str, Tensor]) -> None:
        """Give vLLM the changed tensors, and with them those that stay."""
        worker: Any = self._worker
        # All at once: reloading takes the model apart, and then nothing can be read back.
        worker.model_runner.reload_weights(weights_iterator=list(self._all_tensors(changed)))
        self._repack_tied()

    def _repack_tied(self) -> None:
        """Let layers that share a parameter pack it again: vLLM packs only for the layer that it loaded it into."""
        owners: dict[int, list[nn.Module]] = {}
        for module in self._model().modules():
            for parameter in module.parameters(recurse=False):
                owners.setdefault(id(parameter), []).append(module)
        for modules in owners.values():
            for module in modules if len(modules) > 1 else ():
                method = getattr(module, "quant_method", None)
                if isinstance(method, QuantizeMethodBase):
                    method.process_weights_after_loading(module)

    def _put_back(self, old: Mapping[str, Tensor], error: Exception) -> None:
        try:
            self._place(old)
            differing = self._differing(self._held)
        except Exception as again:
            raise _lost(f"{type(again).__name__}: {again}") from error
        if differing:
            raise _lost(f"{sorted(differing)[0]!r} is not what it was") from error

    def _copies(self, name: str) -> Iterator[Tensor]:
        """Read back all that the model holds of a tensor."""
        for place in self._places(name):
            yield from place.copies()

    def _places(self, name: str) -> list[Place]:
        names = [self._held[name].file_name, *(alias for alias, first in self._first_names.items() if first == name)]
        found = (self._find_place(one) for one in dict.fromkeys(names))
        return [place for place in found if place is not None]

    def _find_place(self, name: str) -> Place | None:
        return find_place(self._model(), name)

    @torch.no_grad()
    def _differing(self, wanted: Mapping[str, HeldTensor]) -> list[str]:
        """Return the names of those tensors of which the model holds something else, or cannot say."""

        def differs(name: str, copies: list[Tensor]) -> bool:
            return not copies or any(tensor_sha256(copy + 0) != wanted[name].readable_sha256 for copy in copies)

        with ThreadPoolExecutor(HASH_THREADS) as pool:
            futures = {
                name: pool.submit(differs, name, list(self._copies(name)))
                for name in wanted
                if name not in self._unread
            }
            return [name for name, future in futures.items() if future.result()]


def _check_stored(file: WeightFile, entry: Mapping[str, Any]) -> None:
    name = entry["name"]
    if name not in file:
        raise _corrupt(f"tensor {name!r} is not in {entry['file']}", "TENSOR_MISSING", name)
    stored = file[name]
    if list(stored.shape) != list(entry["shape"]):
        raise _corrupt(
            f"tensor {name!r} has shape {list(entry['shape'])} in the manifest, {list(stored.shape)} in "
            f"{entry['file']}",
            "SHAPE_MISMATCH",
            name,
        )
    if stored.dtype != entry["dtype"]:
        raise _corrupt(
            f"tensor {name!r} is {entry['dtype']} in the manifest, {stored.dtype} in {entry['file']}",
            "DTYPE_MISMATCH",
            name,
        )


def _corrupt(what: str, reason: str, tensor: str) -> Corrupt:
    return Corrupt(f"{what}; the old policy stays", reason=reason, tensor=tensor)


def _not_held(names: Sequence[str]) -> Corrupt:
    shown = ", ".join(map(repr, names[:NAMES_SHOWN])) + (" …" if len(names) > NAMES_SHOWN else "")
    return Corrupt(
        f"after loading, {len(names)} tensors that the engine holds are not the policy's: {shown}; the old policy was "
        "put back",
        reason="CONTENT_HASH_MISMATCH",
        tensor=names[0],
    )


def _lost(why: str) -> Broken:
    return Broken(
        f"loading failed and the old policy could not be put back ({why}); the engine has to be started again",
        reason="POLICY_LOST",
    )
