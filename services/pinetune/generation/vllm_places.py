"""Where a tensor of a Hugging Face model lies inside vLLM's modules, and reading it back out of them.

vLLM stores some tensors together (`q_proj`, `k_proj` and `v_proj` are rows of one `qkv_proj`), pads vocabularies, and
on the CPU throws the weights of linear layers away once they are packed for oneDNN. So reading back means: cut the rows
out of the parameter; and where the layer multiplies with packed weights, multiply the identity matrix with them, which
gives each weight exactly, except for the sign of a zero.

A module may hold a tensor more than once: an output layer on the CPU has the parameter, and beside it the packed copy
that it multiplies with. All copies are read; that they are equal is for the caller to check.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# What vLLM calls the parts of fused query, key and value layers.
QKV = ("q", "k", "v")


@dataclass(frozen=True)
class Place:
    """Where one tensor lies."""

    module: nn.Module
    """The module of vLLM."""
    parameter: str
    """Its parameter or buffer."""
    rows: slice
    """Which rows of it are the tensor."""

    def copies(self) -> Iterator[Tensor]:
        """Read every copy that the module holds of the tensor."""
        stored = getattr(self.module, self.parameter)
        if stored.numel():
            yield stored.detach()[self.rows] if stored.dim() else stored.detach()
        if self.parameter == "weight" and hasattr(self.module, "cpu_linear"):
            yield _unpacked(self.module, stored)[self.rows]


def find_place(model: nn.Module, name: str) -> Place | None:
    """Return where the tensor that the model's files call `name` lies; None where that is not known.

    Whether the place is right is for the caller to check, by comparing what is read there with the file.
    """
    inner, shard = _vllm_name(model, name)
    module_name, _, parameter = inner.rpartition(".")
    try:
        module = model.get_submodule(module_name)
    except AttributeError:
        return None
    module = getattr(module, "base_layer", module)  # vLLM wraps layers that adapters may change.
    if not isinstance(getattr(module, parameter, None), Tensor):
        return None
    return Place(module, parameter, _rows(module, shard))


def _vllm_name(model: nn.Module, name: str) -> tuple[str, str | int | None]:
    """Return the name of vLLM's parameter, and which part of it the tensor is."""
    mapper = getattr(model, "hf_to_vllm_mapper", None)
    if mapper is not None:
        mapped = list(mapper.apply([(name, torch.empty(0))]))
        if len(mapped) == 1 and hasattr(mapped[0][1], "shard_id"):
            return mapped[0][0], mapped[0][1].shard_id
        name = mapped[0][0] if len(mapped) == 1 else name
    # Models that do not tell their mapper say at least which modules they fuse.
    packed: dict[str, list[str]] = getattr(model, "packed_modules_mapping", {})
    module_name, _, parameter = name.rpartition(".")
    outer, _, last = module_name.rpartition(".")
    for fused, parts in packed.items():
        if last in parts and len(parts) > 1:
            return f"{outer}.{fused}.{parameter}", parts.index(last)
    return name, None


def _rows(module: nn.Module, shard: str | int | None) -> slice:
    if shard is not None:
        sizes: list[int] = module.output_sizes  # type: ignore[assignment]  # of vLLM's fused linear layers
        position = QKV.index(shard) if isinstance(shard, str) else shard
        return slice(sum(sizes[:position]), sum(sizes[: position + 1]))
    vocabulary_size: int | None = getattr(module, "org_vocab_size", None)
    return slice(vocabulary_size)


def _unpacked(module: Any, stored: Tensor) -> Tensor:
    """Return the weight [outputs, inputs] that a layer on the CPU multiplies with."""
    sizes = (getattr(module, name, None) for name in ("input_size_per_partition", "embedding_dim"))
    size = next(size for size in sizes if size is not None)
    product: Tensor = module.cpu_linear(torch.eye(size, dtype=stored.dtype), stored, None)
    return product.T
