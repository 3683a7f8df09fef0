"""What the learner and the samplers of a broadcast agree on: how they meet at the group's store.

Each sampler says there that it is present and waits for the learner's word; with `YES` all connect below `MEMBERS`.
"""

from collections.abc import Mapping
from typing import Literal

from pinetune.api.generation.v1 import generation_pb2 as wire

Backend = Literal["gloo", "nccl"]
"""What carries the bytes."""
BACKENDS: Mapping[Backend, wire.BroadcastBackend] = {
    "gloo": wire.BROADCAST_BACKEND_GLOO,
    "nccl": wire.BROADCAST_BACKEND_NCCL,
}
GO, YES, NO = "go", "1", "0"
"""The key of the learner's word, and what it may be."""
MEMBERS = "members"
"""Prefix of the keys by which torch connects the members."""


def present(rank: int) -> str:
    """Return the key by which a sampler says that it is there."""
    return f"present/{rank}"
