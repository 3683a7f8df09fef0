"""The messages of a policy that is streamed or broadcast, in the room's words."""

from collections.abc import Generator, Iterator
from datetime import timedelta

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.client.broadcast_group import BACKENDS
from pinetune.generation.broadcasts import CHUNK_BYTES_MAX, Group, host_of_peer, received
from pinetune.generation.engine import InFlight
from pinetune.generation.receiving import Chunk
from pinetune.generation.requests import read_in_flight
from pinetune.pod.errors import InvalidInput
from pinetune.pod.manifest import Manifest, check_manifest
from pinetune.pod.manifest_messages import manifest_of_message

BACKEND_OF_MESSAGE = {message: backend for backend, message in BACKENDS.items()}
MEMBERS_MAX = 4096
TIMEOUT_SECONDS_MAX = 3600


def read_stream(messages: Iterator[wire.StreamPolicyRequest]) -> tuple[Manifest, InFlight, Generator[Chunk]]:
    """Return what will come, what becomes of completions in flight, and the chunks as they come."""
    first = next(messages, None)
    if first is None or first.WhichOneof("piece") != "manifest":
        raise InvalidInput("the first message must have the manifest", reason="MANIFEST_MISSING", field="manifest")
    manifest = manifest_of_message(first.manifest)
    check_manifest("the stream", manifest)
    return manifest, read_in_flight(first.in_flight), _chunks(messages)


def read_broadcast(request: wire.ReceivePolicyRequest, peer: str) -> tuple[Manifest, InFlight, Generator[Chunk]]:
    """Return the same of a broadcast from `peer`. Raises InvalidInput for what is no group."""
    manifest = manifest_of_message(request.manifest)
    check_manifest("the broadcast", manifest)
    entries = {entry.name: entry for entry in manifest.tensors}
    for name in request.tensor_names:
        if name not in entries:
            raise InvalidInput(
                f"tensor_names: {name!r} is not in the manifest", reason="CHUNK_UNKNOWN", field="tensor_names"
            )
    group = request.group
    _check("chunk_bytes", request.chunk_bytes, 1, CHUNK_BYTES_MAX)
    _check("group.port", group.port, 1, 65535)
    _check("group.size", group.size, 2, MEMBERS_MAX)
    _check("group.rank", group.rank, 1, group.size - 1)
    _check("group.timeout_seconds", group.timeout_seconds, 1, TIMEOUT_SECONDS_MAX)
    if group.backend not in BACKEND_OF_MESSAGE:
        raise InvalidInput("group.backend must be GLOO or NCCL", reason="BROADCAST_BACKEND", field="group.backend")
    told = Group(
        host_of_peer(peer),
        group.port,
        group.rank,
        group.size,
        BACKEND_OF_MESSAGE[group.backend],
        timedelta(seconds=group.timeout_seconds),
    )
    return (
        manifest,
        read_in_flight(request.in_flight),
        received(told, [entries[name] for name in request.tensor_names], request.chunk_bytes),
    )


def _check(field: str, given: float, least: int, most: int) -> None:
    if not least <= given <= most:
        raise InvalidInput(
            f"{field} must be {least} to {most}; it is {given:g}",
            reason="BROADCAST_GROUP",
            field=field,
            limit=f"{least} to {most}",
            given=f"{given:g}",
        )


def _chunks(messages: Iterator[wire.StreamPolicyRequest]) -> Generator[Chunk]:
    for message in messages:
        if message.WhichOneof("piece") != "chunk":
            raise InvalidInput("every message after the first must have a chunk", reason="CHUNK_MISSING", field="chunk")
        yield Chunk(message.chunk.name, message.chunk.offset_bytes, message.chunk.data)
