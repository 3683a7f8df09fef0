"""Sends a policy to all generation services at once.

What some service lacks is broadcast to all, over torch's own connections; each takes what it lacks, checks it, and
answers with what it then holds. The group lives for one policy: a service that comes or goes between two needs
no care. One that fails on the way fails the broadcast for all, and whoever ordered it sends what is missing by streams.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import torch
from torch import distributed
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]  # torch does not list them

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.generation.v1.generation_pb2_grpc import GenerationServiceStub
from pinetune.client.broadcast_group import BACKENDS, GO, MEMBERS, NO, YES, Backend, present
from pinetune.client.calls import CUT_OFF, call
from pinetune.client.policy_stream import CHANNEL_OPTIONS, DESCRIBE_DEADLINE_SECONDS, StreamedPolicy
from pinetune.learning.pushing import PolicySource
from pinetune.pod import trace
from pinetune.pod.channel import connect
from pinetune.pod.errors import Cancelled, PinetuneError, Unavailable
from pinetune.pod.manifest import TensorEntry
from pinetune.pod.manifest_messages import manifest_message
from pinetune.pod.tensor_files import size_bytes

CHUNK_BYTES = 64 << 20
"""Bytes of one broadcast: enough to fill a network, little beside a model."""
LOOK_SECONDS = 0.02
TIMEOUT_SECONDS = 30.0
"""How long a member may take to come, and one broadcast to arrive."""
ENDING_SECONDS = 5.0
"""How long services may take to say what is wrong once the broadcast is broken; then they are not asked any more."""
FOLLOWING = ("BROADCAST_BROKEN", "BROADCAST_CALLED_OFF")
"""Reasons of services that did nothing wrong."""


def broadcast(
    source: PolicySource, addresses: Sequence[str], *, deadline_seconds: float, backend: Backend
) -> list[StreamedPolicy]:
    """Make every service hold the policy; returns what each then holds.

    Raises what the first service that failed by itself raised, which names it, what reading the source raised, and
    Unavailable BROADCAST_BROKEN where the group broke.
    """
    with ExitStack() as stack:
        channels = [stack.enter_context(connect(address, options=CHANNEL_OPTIONS)) for address in addresses]
        stubs = [GenerationServiceStub(channel) for channel in channels]
        pool = stack.enter_context(ThreadPoolExecutor(len(stubs)))
        tensors = _lacking(source, list(pool.map(trace.carried(_held), stubs)))
        group = _Group(len(stubs) + 1, backend, timedelta(seconds=min(deadline_seconds, TIMEOUT_SECONDS)))
        answers = [
            pool.submit(
                trace.carried(_receive), stub, _request(source, tensors, group, rank), address, deadline_seconds
            )
            for rank, (stub, address) in enumerate(zip(stubs, addresses, strict=True), 1)
        ]
        fault: Exception | None = None
        try:
            if group.gathered(answers):
                group.send(data for entry in tensors for data in source.read(entry, CHUNK_BYTES))
        except Exception as error:
            fault = error
        if fault is not None:
            wait(answers, ENDING_SECONDS)
            for channel, answer in zip(channels, answers, strict=True):
                if not answer.done():  # It hangs, and would until the deadline of its call.
                    channel.close()
        wait(answers)
        _raise_first(answers, fault)
        sent = sum(size_bytes(entry.dtype, entry.shape) for entry in tensors)
        return [
            StreamedPolicy(held.policy_version, held.content_hash, held.load_time, sent, len(tensors))
            for held in (answer.result() for answer in answers)
        ]


class _Group:
    """The learner and the services, for one policy."""

    def __init__(self, size: int, backend: Backend, timeout: timedelta) -> None:
        self.size, self.backend, self.timeout = size, backend, timeout
        self._store = TCPStore("0.0.0.0", 0, is_master=True, timeout=timeout, wait_for_workers=False)
        self.port: int = self._store.port

    def gathered(self, answers: Sequence["Future[wire.PolicyState]"]) -> bool:
        """Wait until all are there and let them begin; where one has answered already, send the others home."""
        keys = [present(rank) for rank in range(1, self.size)]
        while not self._store.check(keys):
            if wait(answers, LOOK_SECONDS, FIRST_EXCEPTION).done:
                self._store.set(GO, NO)
                return False
        self._store.set(GO, YES)
        return True

    def send(self, pieces: Iterable[bytes | memoryview]) -> None:
        """Broadcast pieces, one after the other; raises RuntimeError where the group breaks."""
        # Not every build of torch has NCCL's.
        kind: Any = distributed.ProcessGroupNCCL if self.backend == "nccl" else distributed.ProcessGroupGloo
        members = kind(PrefixStore(MEMBERS, self._store), 0, self.size, self.timeout)
        device = "cuda" if self.backend == "nccl" else "cpu"
        try:
            for data in pieces:
                # A tensor's own memory is sent as it is; torch takes no bytes, which it could not write to.
                buffer = data if isinstance(data, memoryview) else bytearray(data)
                members.broadcast(torch.frombuffer(buffer, dtype=torch.uint8).to(device), 0).wait()
        finally:
            # An error would keep it alive, and the others would wait for what does not come.
            del members


def _held(stub: GenerationServiceStub) -> dict[str, str]:
    answer = call(stub.DescribePolicy, wire.DescribePolicyRequest(), deadline_seconds=DESCRIBE_DEADLINE_SECONDS)
    return dict(answer.tensor_sha256)


def _lacking(source: PolicySource, held: Sequence[dict[str, str]]) -> list[TensorEntry]:
    """Return the tensors that some service lacks; of an adapter nothing is held."""
    if source.manifest.kind == "lora":
        return list(source.manifest.tensors)
    return [entry for entry in source.manifest.tensors if any(one.get(entry.name) != entry.sha256 for one in held)]


def _request(
    source: PolicySource, tensors: Sequence[TensorEntry], group: _Group, rank: int
) -> wire.ReceivePolicyRequest:
    return wire.ReceivePolicyRequest(
        manifest=manifest_message(source.manifest),
        in_flight=wire.IN_FLIGHT_POLICY_FINISH,
        tensor_names=[entry.name for entry in tensors],
        chunk_bytes=CHUNK_BYTES,
        group=wire.BroadcastGroup(
            port=group.port,
            rank=rank,
            size=group.size,
            backend=BACKENDS[group.backend],
            timeout_seconds=group.timeout.total_seconds(),
        ),
    )


def _receive(
    stub: GenerationServiceStub, request: wire.ReceivePolicyRequest, address: str, deadline_seconds: float
) -> wire.PolicyState:
    try:
        return call(stub.ReceivePolicy, request, deadline_seconds=deadline_seconds).policy
    except PinetuneError as error:
        error.message = f"policy {request.manifest.policy_version} to {address}: {error.message}"
        error.metadata["address"] = address
        raise


def _raise_first(answers: Sequence["Future[wire.PolicyState]"], fault: Exception | None) -> None:
    """Raise what went wrong first: our own fault, that of a service, and last what it did to the others."""
    if fault is not None and not isinstance(fault, RuntimeError):
        raise fault
    errors = [error for answer in answers if (error := answer.exception()) is not None]
    errors.sort(key=lambda error: _is_cut_off(error) or getattr(error, "reason", "") in FOLLOWING)
    if errors and not _is_cut_off(errors[0]):
        raise errors[0]
    if fault is not None:
        raise Unavailable(f"the broadcast broke: {fault}", reason="BROADCAST_BROKEN") from fault


def _is_cut_off(error: BaseException) -> bool:
    """Return whether a call ended as its channel was closed here, which says nothing of the service."""
    return isinstance(error, Cancelled) or getattr(error, "reason", "") == CUT_OFF
