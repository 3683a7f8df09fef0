"""Takes the tensors of a policy from a broadcast: the learner sends, all samplers receive the same bytes at once.

The group is torch's (gloo over TCP, or NCCL from GPU to GPU) and lives for one policy. Its store is at the address that
the call came from, where each member says that it is there and then waits for a word of the learner, so that nobody
waits for one that was refused.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import torch
from torch import distributed
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]  # torch does not list them

from pinetune.client.broadcast_group import GO, MEMBERS, YES, Backend, present
from pinetune.generation.receiving import Chunk
from pinetune.pod.errors import InvalidInput, Unavailable, Unsupported
from pinetune.pod.manifest import TensorEntry
from pinetune.pod.tensor_files import size_bytes

CHUNK_BYTES_MAX = 1 << 30


@dataclass(frozen=True)
class Group:
    """A group as a member is told of it."""

    host: str
    """Where its store is."""
    port: int
    """And the port."""
    rank: int
    """This member's place, from 1."""
    size: int
    """Members in all."""
    backend: Backend
    """What carries the bytes."""
    timeout: timedelta
    """How long anything in it may take."""


def received(group: Group, entries: Sequence[TensorEntry], chunk_bytes: int) -> Generator[Chunk]:
    """Yield the pieces of these tensors as they are broadcast; a piece is valid until the next one is asked for.

    Who stops early still takes part until the last broadcast, without looking, so that the others get theirs. Raises
    Unavailable where the group does not come together or breaks, Unsupported for NCCL without a GPU.
    """
    if group.backend == "nccl" and not torch.cuda.is_available():
        raise Unsupported("a broadcast over NCCL needs a GPU at every sampler; use gloo", reason="GPU_MISSING")
    parts = [
        (entry.name, offset, min(chunk_bytes, size - offset))
        for entry in entries
        for size in [size_bytes(entry.dtype, entry.shape)]
        for offset in range(0, size, chunk_bytes)
    ]
    done = 0
    try:
        members = join(group)
        device = "cuda" if group.backend == "nccl" else "cpu"
        buffer = torch.empty(max((size for _, _, size in parts), default=0), dtype=torch.uint8, device=device)
        try:
            for name, offset, size in parts:
                members.broadcast(buffer[:size], 0).wait()
                done += 1
                yield Chunk(name, offset, buffer[:size].cpu().numpy().data)
        finally:
            for _, _, size in parts[done:]:
                members.broadcast(buffer[:size], 0).wait()
    except RuntimeError as error:  # What torch raises for all that goes wrong in a group.
        raise Unavailable(
            f"the broadcast broke after {done} of {len(parts)} pieces: {error}", reason="BROADCAST_BROKEN"
        ) from error


def host_of_peer(peer: str) -> str:
    """Return the host of a peer as gRPC names it: `ipv4:10.0.0.1:4711`, `ipv6:[::1]:4711`. Raises InvalidInput."""
    kind, _, rest = unquote(peer).partition(":")
    if kind not in ("ipv4", "ipv6"):
        raise InvalidInput(
            f"a broadcast comes from an address of IP, this call from {peer!r}; use a stream",
            reason="BROADCAST_ADDRESS",
        )
    return rest.rpartition(":")[0].strip("[]")


def join(group: Group) -> Any:
    """Say that this member is there, wait for the learner's word, and connect to the others: torch's process group."""
    store = TCPStore(group.host, group.port, is_master=False, timeout=group.timeout, wait_for_workers=False)
    store.set(present(group.rank), "")
    if store.get(GO) != YES.encode():
        raise Unavailable("the learner called the broadcast off", reason="BROADCAST_CALLED_OFF")
    # Not every build of torch has NCCL's.
    kind: Any = distributed.ProcessGroupNCCL if group.backend == "nccl" else distributed.ProcessGroupGloo
    return kind(PrefixStore(MEMBERS, store), group.rank, group.size, group.timeout)
