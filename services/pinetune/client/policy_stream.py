"""Sends a policy to one generation service, tensor by tensor, where there is no storage that both see.

Only what the service does not hold travels. A call that failed for a reason that may pass is made again, with what the
service holds asked anew; it may be repeated at will.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import grpc

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.generation.v1.generation_pb2_grpc import GenerationServiceStub
from pinetune.client.calls import call
from pinetune.pod.errors import Conflict, TimedOut, Transient, from_rpc_error
from pinetune.pod.manifest import Manifest, TensorEntry
from pinetune.pod.manifest_messages import manifest_message

CHUNK_BYTES = 2 << 20
"""Bytes in one message: enough to fill a connection, little beside the largest message."""
DESCRIBE_DEADLINE_SECONDS = 10.0
ATTEMPT_COUNT = 4
PAUSE_SECONDS = 1.0
# gRPC would keep up to 256 MiB of what was sent, to repeat it by itself; here the whole call is repeated.
CHANNEL_OPTIONS = (("grpc.enable_retries", 0),)

TensorBytes = Callable[[TensorEntry, int], Iterable[bytes | memoryview]]
"""Gives a tensor's bytes in pieces of at most so many."""


@dataclass(frozen=True)
class StreamedPolicy:
    """A policy that arrived."""

    policy_version: int
    """The version that the service holds now, by its own account."""
    content_hash: str
    """Computed from what it holds."""
    load_time: str
    """When it was loaded, RFC 3339."""
    sent_bytes: int
    """Bytes of tensors that were sent."""
    sent_tensor_count: int
    """Tensors that were sent."""


@dataclass
class _Sending:
    """The pieces of one call, and the error that ended them early."""

    manifest: Manifest
    tensors: list[TensorEntry]
    read: TensorBytes
    sent_bytes: int = 0
    error: Exception | None = field(default=None)

    def messages(self) -> Iterator[wire.StreamPolicyRequest]:
        """Yield the manifest and the chunks. gRPC only logs what is raised here, so it is kept."""
        yield wire.StreamPolicyRequest(manifest=manifest_message(self.manifest), in_flight=wire.IN_FLIGHT_POLICY_FINISH)
        try:
            for entry in self.tensors:
                offset = 0
                for data in self.read(entry, CHUNK_BYTES):
                    yield wire.StreamPolicyRequest(
                        chunk=wire.TensorChunk(name=entry.name, offset_bytes=offset, data=bytes(data))
                    )
                    offset += len(data)
                    self.sent_bytes += len(data)
        except Exception as error:
            self.error = error
            raise


def stream_policy(
    channel: grpc.Channel, manifest: Manifest, read: TensorBytes, *, deadline_seconds: float
) -> StreamedPolicy:
    """Make the service hold the policy; returns what it then holds.

    Raises what the service raised, TimedOut where the deadline passes first, and what `read` raised.
    """
    stub = GenerationServiceStub(channel)
    give_up = time.monotonic() + deadline_seconds
    for attempt in range(1, ATTEMPT_COUNT + 1):
        try:
            return _attempt(stub, manifest, read, _left(give_up))
        except (Transient, Conflict) as error:
            passes = isinstance(error, Transient) or error.reason == "TENSORS_NOT_SENT"
            pause = error.retry_after_seconds or PAUSE_SECONDS
            if not passes or attempt == ATTEMPT_COUNT or _left(give_up) <= pause:
                raise
            time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _attempt(stub: GenerationServiceStub, manifest: Manifest, read: TensorBytes, seconds: float) -> StreamedPolicy:
    deadline = min(seconds, DESCRIBE_DEADLINE_SECONDS)
    held = call(stub.DescribePolicy, wire.DescribePolicyRequest(), deadline_seconds=deadline).tensor_sha256
    # An adapter is no part of the model: nothing of it is held.
    whole = manifest.kind == "lora"
    tensors = [entry for entry in manifest.tensors if whole or held.get(entry.name) != entry.sha256]
    sending = _Sending(manifest, tensors, read)
    try:
        response = stub.StreamPolicy(sending.messages(), timeout=seconds)
    except grpc.RpcError as error:
        if sending.error is not None:
            raise sending.error from error
        raise from_rpc_error(error) from error
    policy = response.policy
    return StreamedPolicy(
        policy.policy_version, policy.content_hash, policy.load_time, sending.sent_bytes, len(tensors)
    )


def _left(give_up: float) -> float:
    seconds = give_up - time.monotonic()
    if seconds <= 0:
        raise TimedOut("the policy was not sent before the deadline", reason="PUSH_TIMED_OUT")
    return seconds
