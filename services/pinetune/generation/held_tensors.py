"""The tensors of a model in memory with their hashes, and how some are replaced: all of them or none.

Each new tensor is written into the model's own memory, the old one kept aside, and what the memory then holds is
hashed. That one hash proves both that the bytes were the right ones and that they arrived; where it is another than it
should be, every old tensor is put back.

Tied weights are one tensor with several names. They are known by the first, and stay tied.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor, nn

from pinetune.generation.weight_files import tensor_sha256

SPARE_BYTES_MAX = 2 << 30
"""Memory for old tensors is kept for the next policy up to this size: to fill fresh memory takes as long as to hash
it.
"""

T = TypeVar("T")

Fill = Callable[[Tensor], str]
"""Writes new bytes into a tensor and returns the SHA-256 that they should have."""


class WrongBytes(Exception):  # noqa: N818  caught and explained by weights.py
    """Tensors held other bytes than they should after they were replaced; the old ones were put back."""

    def __init__(self, computed: Mapping[str, str], count: int) -> None:
        super().__init__(f"{len(computed)} of {count} tensors")
        self.computed = computed
        """The hash of what each wrong tensor held, by first name."""
        self.count = count
        """How many tensors were replaced."""


class HeldTensors:
    """The parameters of one model, and the buffers that are saved."""

    def __init__(self, model: nn.Module, threads: int) -> None:
        self._threads = threads
        # Tied ones come under each of their names.
        self._tensors: dict[str, Tensor] = {
            name: tensor.detach()
            for name, tensor in model.state_dict(keep_vars=True).items()
            if isinstance(tensor, Tensor)
        }
        first: dict[tuple[object, ...], str] = {}
        self._first = {name: first.setdefault(_identity(name, t), name) for name, t in self._tensors.items()}
        self.names = tuple(first.values())
        """One name for each tensor: of tied ones, the first."""
        self._shares_memory = len({self._tensors[name].untyped_storage().data_ptr() for name in self.names}) < len(
            self.names
        )
        self._spares: dict[str, Tensor] = {}
        """Memory for the tensors that are kept aside."""
        self.hashes: Mapping[str, str] = self._hash(self.names)
        """SHA-256 of what each tensor holds, by first name."""

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def __getitem__(self, name: str) -> Tensor:
        """Return the tensor of any of its names."""
        return self._tensors[name]

    def first_name(self, name: str) -> str:
        """Return the first of a tensor's names."""
        return self._first[name]

    def is_tied(self, name: str) -> bool:
        """Return whether the tensor has other names too."""
        return sum(first == self._first[name] for first in self._first.values()) > 1

    def hash_of_every_name(self) -> dict[str, str]:
        """Return the SHA-256 of what each name stands for."""
        hashes = self.hashes
        return {name: hashes[first] for name, first in self._first.items()}

    def replace(self, fills: Mapping[str, Fill]) -> None:
        """Replace tensors, given by first name. Raises WrongBytes, or what a `Fill` raised; nothing is changed then."""
        aside: dict[str, Tensor] = {}
        if self._shares_memory:  # Writing one would change the other before it is kept.
            aside = {name: self._kept(name) for name in fills}

        def place(name: str) -> tuple[str, str]:
            held = self._tensors[name]
            if name not in aside:
                aside[name] = self._kept(name)
            return fills[name](held), tensor_sha256(held)

        # The largest first, so that the threads end together.
        order = sorted(fills, key=lambda name: -self._tensors[name].nbytes)
        try:
            placed = dict(zip(order, self._in_threads(place, order), strict=True))
            if self._shares_memory:  # A later one may have written over an earlier one.
                placed = {name: (placed[name][0], sha256) for name, sha256 in self._hash(order).items()}
            wrong = {name: computed for name, (expected, computed) in placed.items() if computed != expected}
            if wrong:
                raise WrongBytes(wrong, len(order))
        except BaseException:
            for name, tensor in aside.items():
                self._tensors[name].copy_(tensor)
            raise
        finally:
            if sum(spare.nbytes for spare in self._spares.values()) > SPARE_BYTES_MAX:
                self._spares.clear()
        self.hashes = {**self.hashes, **{name: computed for name, (_, computed) in placed.items()}}

    def _kept(self, name: str) -> Tensor:
        """Return a copy of what a tensor holds."""
        if name not in self._spares:
            self._spares[name] = torch.empty_like(self._tensors[name], device="cpu")
        return self._spares[name].copy_(self._tensors[name])

    def _hash(self, names: Iterable[str]) -> dict[str, str]:
        order = sorted(names, key=lambda name: -self._tensors[name].nbytes)
        hashes = self._in_threads(lambda name: (name, tensor_sha256(self._tensors[name])), order)
        return dict(hashes)

    def _in_threads(self, function: Callable[[str], T], names: Iterable[str]) -> list[T]:
        # Hashing, reading and copying let go of Python's lock.
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(function, names))


def _identity(name: str, tensor: Tensor) -> tuple[object, ...]:
    """Return what two names of one tensor have in common; one without memory is only itself."""
    if tensor.numel() == 0:
        return (name,)
    return tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride(), str(tensor.device)
