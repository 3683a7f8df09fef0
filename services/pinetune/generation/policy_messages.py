"""A streamed policy's messages, in the room's words."""

from collections.abc import Iterator

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.generation.engine import InFlight
from pinetune.generation.receiving import Chunk
from pinetune.generation.requests import read_in_flight
from pinetune.pod.errors import InvalidInput
from pinetune.pod.manifest import Manifest, check_manifest
from pinetune.pod.manifest_messages import manifest_of_message


def read_stream(messages: Iterator[wire.StreamPolicyRequest]) -> tuple[Manifest, InFlight, Iterator[Chunk]]:
    """Return what will come, what becomes of completions in flight, and the chunks as they come."""
    first = next(messages, None)
    if first is None or first.WhichOneof("piece") != "manifest":
        raise InvalidInput("the first message must have the manifest", reason="MANIFEST_MISSING", field="manifest")
    manifest = manifest_of_message(first.manifest)
    check_manifest("the stream", manifest)
    return manifest, read_in_flight(first.in_flight), _chunks(messages)


def _chunks(messages: Iterator[wire.StreamPolicyRequest]) -> Iterator[Chunk]:
    for message in messages:
        if message.WhichOneof("piece") != "chunk":
            raise InvalidInput("every message after the first must have a chunk", reason="CHUNK_MISSING", field="chunk")
        yield Chunk(message.chunk.name, message.chunk.offset_bytes, message.chunk.data)
