"""The memory that keys and values take, and whether a batch fits into it before it is begun.

What a token takes is measured, not read off a configuration: one pass over two tokens, and the size of what the cache
then holds. Layers of a fixed size (sliding windows, linear attention) count with what they took for those.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers.cache_utils import DynamicLayer

from pinetune.generation.causal_model import CausalModel
from pinetune.generation.kv_cache import reserved_cache
from pinetune.pod.errors import Busy, InvalidInput

USABLE_SHARE = 0.9
"""Share of the free memory that keys and values may take; activations and logits need the rest."""
RETRY_SECONDS = 5.0
MEASURED_TOKENS = 2
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
GIB = 1 << 30
UNBOUNDED = 1 << 62
"""More bytes than any machine has."""


class KvMemory:
    """The room for keys and values of one engine, which runs one batch at a time."""

    def __init__(self, model: CausalModel, bytes_max: int) -> None:
        """`bytes_max` bounds it; 0 leaves that to the memory that is free now, with the model loaded."""
        self._device = model.device
        self.bytes_per_token = _measure(model)
        """Bytes of one token of one row, in all layers."""
        self.capacity_bytes = bytes_max or int(USABLE_SHARE * free_bytes(model.device))
        """What there is in all."""
        self._used_bytes = 0

    @property
    def usage(self) -> float:
        """Share of the room that the running batch has reserved, 0 to 1."""
        return min(self._used_bytes / self.capacity_bytes, 1.0) if self.capacity_bytes else 0.0

    def admit(self, token_count: int) -> None:
        """Let a call in whose largest batch has so many tokens, padding and room for answers included.

        Raises InvalidInput KV_CACHE_TOO_SMALL where it can never fit, Busy MEMORY_SHORT where others have the memory.
        """
        wanted = token_count * self.bytes_per_token
        if wanted > self.capacity_bytes:
            fitting = self.capacity_bytes // self.bytes_per_token
            raise InvalidInput(
                f"keys and values of {token_count} tokens take {wanted / GIB:.3g} GiB, and this replica has "
                f"{self.capacity_bytes / GIB:.3g} GiB for them, which is {fitting} tokens; lower max_tokens, or have "
                f"batches cut smaller with PINETUNE_GENERATION_MAX_BATCH_TOKENS={fitting}",
                reason="KV_CACHE_TOO_SMALL",
                field="sampling.max_tokens",
                limit=fitting,
                given=token_count,
            )
        free = int(USABLE_SHARE * free_bytes(self._device))
        if wanted > free:
            raise Busy(
                f"keys and values of {token_count} tokens take {wanted / GIB:.3g} GiB, and {free / GIB:.3g} GiB are "
                "free now; repeat the call later, or leave this machine to fewer processes",
                reason="MEMORY_SHORT",
                retry_after_seconds=RETRY_SECONDS,
                limit=free,
                given=wanted,
            )

    @contextmanager
    def reserved(self, token_count: int) -> Iterator[None]:
        """Show a batch's keys and values as used while the block runs."""
        self._used_bytes = token_count * self.bytes_per_token
        try:
            yield
        finally:
            self._used_bytes = 0


def free_bytes(device: torch.device) -> int:
    """Return how much memory can be had on a device now: of the GPU, or of this machine and this container."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # torch keeps freed blocks for itself, and gives them out again.
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    if not MEMINFO.exists():
        return UNBOUNDED  # Only Linux says it so; elsewhere the setting is the bound.
    available = next(line for line in MEMINFO.read_text().splitlines() if line.startswith("MemAvailable:"))
    return min(int(available.split()[1]) * 1024, _container_free())


def _container_free() -> int:
    """Return what the container's limit leaves."""
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
    except FileNotFoundError:
        return UNBOUNDED
    return UNBOUNDED if limit == "max" else max(int(limit) - used, 0)


@torch.inference_mode()
def _measure(model: CausalModel) -> int:
    cache = reserved_cache(model.model.config, 0)
    ids = torch.zeros(1, MEASURED_TOKENS, dtype=torch.long, device=model.device)
    positions = torch.arange(MEASURED_TOKENS, device=model.device)[None]
    model.logits(ids, positions, None, cache, last_only=True)
    total = 0
    for layer in cache.layers:
        if isinstance(layer, DynamicLayer) and layer.keys is not None and layer.values is not None:
            total += layer.keys.nbytes + layer.values.nbytes
    return max(1, total // MEASURED_TOKENS)
