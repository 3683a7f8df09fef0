"""The tensors that one of vLLM's workers holds, and how a policy replaces them: all of it or nothing.

A load: read and check the changed tensors, hand all tensors to vLLM's reloading, read back what the layers then hold,
and put the old tensors in again where that is not the policy. Unchanged tensors come from the model itself.

An adapter is added to the weights: W + s·B·A stands in W's place, as in the transformers engine (`weights.py`), so that
sampling costs nothing more and what is held can be attested. W is kept aside, and the next adapter begins from it.

What is read back is compared by hash. On the CPU the sign of zeros cannot be read back (see `vllm_places.py`), so the
compared hash is that of the tensor plus zero. A tensor is read back where that gave the file's values when the engine
started. Otherwise (layers that are quantised, or spread over several GPUs) it counts as held once vLLM took it without
an error; then only the canary's log-probabilities attest it. Such a tensor is read from its source again where it is
needed once more, so that source must stay: `folders` says which do. Its source is the newest policy that has it, since
older ones may be deleted, or the base model, which stays.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from vllm.model_executor.layers.quantization.base_config import QuantizeMethodBase
from vllm.model_executor.model_loader import get_model_loader
from vllm.v1.worker.worker_base import WorkerBase

from pinetune.generation.adapters import Adapter
from pinetune.generation.vllm_places import Place, find_place
from pinetune.generation.vllm_reading import (
    HASH_THREADS,
    HeldTensor,
    ReadTensor,
    Source,
    find_copy,
    read_again,
    read_changed,
    unchanged,
)
from pinetune.generation.weight_files import dtype_name, tensor_sha256
from pinetune.pod.errors import Broken, Corrupt, PinetuneError

NAMES_SHOWN = 3


class HeldPolicy:
    """The tensors that one worker holds."""

    def __init__(self, worker: WorkerBase, first_names: Mapping[str, str], prefix: str) -> None:
        self._worker = worker
        self._first_names = first_names
        self._prefix = prefix
        self._held: dict[str, HeldTensor] = {}
        self._described: list[tuple[str, str, str, list[int]]] = []
        for name, file_name, tensor in self._base_tensors():
            held = HeldTensor.of(file_name, tensor, Source())
            held = replace(held, source=Source(sha256=held.sha256))
            self._held[name] = held
            self._described.append((name, held.sha256, dtype_name(tensor.dtype), list(tensor.shape)))
        self._base: dict[str, tuple[HeldTensor, Tensor | None]] = {}
        """What the adapter adds to: its hashes, and its values where they can be read back, by name."""
        self._adapter: Adapter | None = None
        self._targets: Mapping[str, str] = {}
        """What the adapter calls the weights that it adds to, by name."""
        self._unread: frozenset[str] = frozenset()
        self._unread = frozenset(self._differing(self._held))

    def describe(self) -> dict[str, Any]:
        """Return the tensors and which of them cannot be read back."""
        return {"tensors": self._described, "unread": sorted(self._unread)}

    @property
    def folders(self) -> list[str]:
        """Folders of policies that may be read again while this one is held."""
        return sorted({self._held[name].source.folder for name in self._unread} - {""})

    def load(
        self, policy_uri: str, changed: Sequence[Mapping[str, Any]], same: Sequence[Mapping[str, Any]]
    ) -> dict[str, str]:
        """Take the tensors of a policy that differ; on any error the old ones are put back. Returns all hashes.

        `changed` and `same` are the entries of its manifest, one a tensor.
        """
        names = [self._first_names[entry["name"]] for entry in changed]
        read = read_changed(policy_uri, changed, lambda name: self._held[self._first_names[name]].file_name)
        # Before anything is placed: an error leaves the old policy.
        copies = self._find_copies(policy_uri, same)
        self._replace(dict(zip(names, read, strict=True)))
        self._base, self._adapter, self._targets = {}, None, {}
        for name, source in copies.items():
            self._held[name] = replace(self._held[name], source=source)
        return self._hashes()

    def _find_copies(self, policy_uri: str, same: Sequence[Mapping[str, Any]]) -> dict[str, Source]:
        """Return where a policy has those tensors that stay and would be read again in an older policy's folder."""
        copies: dict[str, Source] = {}
        for entry in same:
            name = self._first_names[entry["name"]]
            if name not in self._unread or not self._held[name].source.folder:
                continue
            if (source := find_copy(policy_uri, entry)) is not None:
                copies[name] = source
        return copies

    def load_adapter(self, adapter: Adapter, targets: Mapping[str, str]) -> dict[str, str]:
        """Add an adapter to the base, and take away the one before; `targets` names weights as the adapter does.

        On any error the old tensors are put back. Returns all hashes.
        """
        names = [*self._base, *(name for name in targets if name not in self._base)]
        base = {name: self._base.get(name) or self._set_aside(name) for name in names}
        again = dict(self._read_sources([name for name in names if base[name][1] is None]))

        def read(name: str) -> ReadTensor:
            held, kept = base[name]
            tensor = again[name] if kept is None else kept
            if name not in targets:
                return ReadTensor(tensor, held)
            merged = adapter.merged(tensor, targets[name])
            return ReadTensor(merged, HeldTensor.of(held.file_name, merged, held.source))

        self._replace({name: read(name) for name in names})
        self._base = {name: base[name] for name in targets}
        self._adapter, self._targets = adapter, dict(targets)
        return self._hashes()

    def _hashes(self) -> dict[str, str]:
        return {name: held.sha256 for name, held in self._held.items()}

    def _set_aside(self, name: str) -> tuple[HeldTensor, Tensor | None]:
        return self._held[name], None if name in self._unread else self._read_back(name)

    def _replace(self, read: Mapping[str, ReadTensor]) -> None:
        """Place tensors, and read them back; on any error the old ones are put back."""
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

    def _read_back(self, name: str) -> Tensor:
        """Return a copy of a held tensor out of the model."""
        return next(self._copies(name)).to("cpu", copy=True)

    def _read_sources(self, names: Collection[str]) -> Iterator[tuple[str, Tensor]]:
        """Read tensors that cannot be read back where they were read first, without what an adapter adds."""
        for name, _, tensor in self._base_tensors() if names else ():
            if name in names and not self._held[name].source.folder:
                yield name, unchanged(name, tensor, self._held[name].source)
        for name in names:
            if self._held[name].source.folder:
                yield name, read_again(name, self._held[name].source)

    def _read_again(self, names: Collection[str]) -> Iterator[tuple[str, Tensor]]:
        """Return held tensors that cannot be read back."""
        for name, tensor in self._read_sources(names):
            yield (
                name,
                self._adapter.merged(tensor, self._targets[name])
                if self._adapter and name in self._targets
                else tensor,
            )

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
