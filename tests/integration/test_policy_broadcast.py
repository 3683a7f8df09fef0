"""Policies that are broadcast to samplers at once: all get them, and a fault of one is named and holds nobody up."""

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
import torch
from google.protobuf.json_format import ParseDict
from tests.unit.generation.test_adapters import QUERY, adapter_of, write_adapter
from tests.unit.generation.test_weights import tensors_of, write_policy
from tests.unit.generation.tiny_models import make_model

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.generation.v1.generation_pb2_grpc import GenerationServiceStub
from pinetune.client.calls import call
from pinetune.client.generation import GenerationClient
from pinetune.client.policy_stream import StreamedPolicy
from pinetune.generation.broadcasts import Group, host_of_peer, join
from pinetune.generation.engine import InFlight, LoadedPolicy
from pinetune.generation.receiving import Chunk
from pinetune.generation.service import GenerationService
from pinetune.learning.broadcasting import broadcast
from pinetune.learning.pushing import PolicySource, saved_policy
from pinetune.pod.channel import connect
from pinetune.pod.errors import Busy, Conflict, Corrupt, InvalidInput, Unavailable
from pinetune.pod.manifest import Manifest, TensorEntry
from pinetune.pod.manifest_messages import manifest_message

DEADLINE_SECONDS = 60.0


def send(folder: Path, *addresses: str, seconds: float = DEADLINE_SECONDS) -> list[StreamedPolicy]:
    return broadcast(saved_policy(str(folder)), addresses, deadline_seconds=seconds, backend="gloo")


def held(address: str) -> int:
    with connect(address) as channel:
        return GenerationClient(channel).describe().policy.policy_version


def test_all_samplers_hold_what_was_broadcast_and_sending_again_sends_nothing(
    start_sampler: Callable[..., str], tmp_path: Path
) -> None:
    addresses = [start_sampler() for _ in range(3)]
    manifest = write_policy(tmp_path, tensors_of("llama", seed=1), version=1)
    first, again = send(tmp_path, *addresses), send(tmp_path, *addresses)
    assert [(one.policy_version, one.content_hash) for one in first] == [(1, manifest.content_hash)] * 3
    # Norms begin as ones in every model.
    differing = len({name for name, tensor in tensors_of("llama", seed=1).items() if not tensor.eq(1).all()})
    assert {one.sent_tensor_count for one in first} == {differing}
    assert [one.load_time for one in again] == [one.load_time for one in first]
    assert {one.sent_bytes for one in again} == {0}


def test_what_one_sampler_lacks_is_sent_and_the_others_look_away(
    start_sampler: Callable[..., str], tmp_path: Path
) -> None:
    one, other = start_sampler(), start_sampler()
    tensors = tensors_of("llama", seed=0)
    changed = {f"{QUERY}.weight": tensors[f"{QUERY}.weight"] + 1}
    write_policy(tmp_path / "1", tensors | changed, version=1)
    send(tmp_path / "1", one)
    manifest = write_policy(tmp_path / "2", tensors | changed, version=2)
    sent = send(tmp_path / "2", one, other)
    assert [(it.policy_version, it.content_hash) for it in sent] == [(2, manifest.content_hash)] * 2
    assert sent[0].sent_tensor_count == 1


def test_an_adapter_is_broadcast(start_sampler: Callable[..., str], tmp_path: Path) -> None:
    one, other = start_sampler(), start_sampler()
    with connect(one) as channel:
        base = GenerationClient(channel).describe().policy.content_hash
    manifest = write_adapter(tmp_path, adapter_of(make_model("llama"), QUERY), 1, base)
    assert [it.content_hash for it in send(tmp_path, one, other)] == [manifest.content_hash] * 2


def test_a_tensor_larger_than_a_chunk_arrives_in_order(
    start_sampler: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinetune.learning.broadcasting.CHUNK_BYTES", 1000)
    manifest = write_policy(tmp_path, tensors_of("llama", seed=1), version=1)
    assert [it.content_hash for it in send(tmp_path, start_sampler(), start_sampler())] == [manifest.content_hash] * 2


class SpoilingSampler(GenerationService):
    """Gets one byte wrong."""

    def _take(
        self, manifest: Manifest, in_flight: InFlight, chunks: Generator[Chunk], context: grpc.ServicerContext
    ) -> tuple[LoadedPolicy, float]:
        def spoilt() -> Generator[Chunk]:
            for place, chunk in enumerate(chunks):
                data = bytearray(chunk.data)
                data[-1] ^= place == 1
                yield Chunk(chunk.name, chunk.offset_bytes, bytes(data))

        try:
            return super()._take(manifest, in_flight, spoilt(), context)
        finally:
            chunks.close()


def test_a_sampler_that_gets_a_byte_wrong_is_named_and_the_other_has_the_policy(
    start_sampler: Callable[..., str], tmp_path: Path
) -> None:
    bad, good = start_sampler(SpoilingSampler), start_sampler()
    write_policy(tmp_path, tensors_of("llama", seed=1), version=1)
    with pytest.raises(Corrupt, match=rf"policy 1 to {bad}: tensor '.*' arrived with SHA-256") as caught:
        send(tmp_path, bad, good)
    assert caught.value.reason == "TENSOR_HASH_MISMATCH"
    assert (held(bad), held(good)) == (0, 1)


class BusySampler(GenerationService):
    """Takes nothing."""

    def ReceivePolicy(
        self, request: wire.ReceivePolicyRequest, context: grpc.ServicerContext
    ) -> wire.ReceivePolicyResponse:
        raise Busy("not now", reason="SPOOL_FULL", retry_after_seconds=1.0)


def test_a_sampler_that_refuses_sends_the_others_home(start_sampler: Callable[..., str], tmp_path: Path) -> None:
    bad, good = start_sampler(BusySampler), start_sampler()
    write_policy(tmp_path, tensors_of("llama", seed=1), version=1)
    with pytest.raises(Busy, match=rf"policy 1 to {bad}: not now"):
        send(tmp_path, bad, good)
    assert held(good) == 0


class LeavingSampler(GenerationService):
    """Is lost after the first piece."""

    def ReceivePolicy(
        self, request: wire.ReceivePolicyRequest, context: grpc.ServicerContext
    ) -> wire.ReceivePolicyResponse:
        told = request.group
        group = Group(host_of_peer(context.peer()), told.port, told.rank, told.size, "gloo", timedelta(seconds=20))
        members = join(group)
        entry = next(one for one in request.manifest.tensors if one.name == request.tensor_names[0])
        size = 4
        for length in entry.shape:
            size *= length
        members.broadcast(torch.empty(size, dtype=torch.uint8), 0).wait()
        del members
        raise Unavailable("it has ended", reason="SERVICE_ENDED")


def test_a_sampler_that_is_lost_on_the_way_breaks_the_broadcast_for_all(
    start_sampler: Callable[..., str], tmp_path: Path
) -> None:
    bad, good = start_sampler(LeavingSampler), start_sampler()
    write_policy(tmp_path, tensors_of("llama", seed=1), version=1)
    with pytest.raises(Unavailable, match="it has ended"):
        send(tmp_path, bad, good, seconds=30.0)
    assert held(good) == 0


class HangingSampler(GenerationService):
    """Comes, and then says nothing any more, as a process that is frozen."""

    frozen = threading.Event()

    def ReceivePolicy(
        self, request: wire.ReceivePolicyRequest, context: grpc.ServicerContext
    ) -> wire.ReceivePolicyResponse:
        told = request.group
        group = Group(host_of_peer(context.peer()), told.port, told.rank, told.size, "gloo", timedelta(seconds=20))
        members = join(group)
        context.add_callback(self.frozen.set)
        self.frozen.wait(60)
        del members
        raise Unavailable("it has ended", reason="SERVICE_ENDED")


def test_a_sampler_that_hangs_is_not_waited_for(
    start_sampler: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinetune.learning.broadcasting.TIMEOUT_SECONDS", 2.0)
    monkeypatch.setattr("pinetune.learning.broadcasting.ENDING_SECONDS", 1.0)
    hung, good = start_sampler(HangingSampler), start_sampler()
    # More than a connection buffers, so that sending waits for the one that does not read.
    write_policy(tmp_path, tensors_of("llama", seed=1) | {"large": torch.zeros(8_000_000)}, version=1)
    # Were it waited for, the call's deadline would pass: TimedOut.
    with pytest.raises(Unavailable) as caught:
        send(tmp_path, hung, good, seconds=50.0)
    assert caught.value.reason == "BROADCAST_BROKEN"
    assert held(good) == 0


def test_a_learner_that_freezes_is_replaced_by_the_next_one_at_once(
    start_sampler: Callable[..., str], tmp_path: Path
) -> None:
    addresses = [start_sampler() for _ in range(2)]
    write_policy(tmp_path / "old", tensors_of("llama", seed=1), version=1)
    manifest = write_policy(tmp_path / "new", tensors_of("llama", seed=2), version=1)
    source, frozen, thaw = saved_policy(str(tmp_path / "old")), threading.Event(), threading.Event()
    sent: list[str] = []

    def read(entry: TensorEntry, size: int) -> Iterable[bytes | memoryview]:
        if len(sent) == 2:
            frozen.set()
            assert thaw.wait(DEADLINE_SECONDS)
        sent.append(entry.name)
        return source.read(entry, size)

    with ThreadPoolExecutor(1) as pool:
        old = pool.submit(
            broadcast,
            PolicySource(source.manifest, read),
            addresses,
            deadline_seconds=DEADLINE_SECONDS,
            backend="gloo",
        )
        assert frozen.wait(DEADLINE_SECONDS)
        assert [one.content_hash for one in send(tmp_path / "new", *addresses)] == [manifest.content_hash] * 2
        assert not old.done(), "it is frozen still"
        thaw.set()
        with pytest.raises(Conflict, match="a later call brings a policy to this sampler") as caught:
            old.result(DEADLINE_SECONDS)
    assert caught.value.reason == "STREAM_REPLACED"
    for address in addresses:
        with connect(address) as channel:
            assert GenerationClient(channel).describe().policy.content_hash == manifest.content_hash


def test_a_fault_of_the_source_ends_the_broadcast(start_sampler: Callable[..., str], tmp_path: Path) -> None:
    one, other = start_sampler(), start_sampler()
    write_policy(tmp_path, tensors_of("llama", seed=1), version=1)
    source = saved_policy(str(tmp_path))
    (tmp_path / "model-0.safetensors").write_bytes(b"")
    with pytest.raises(Corrupt, match="ends inside tensor"):
        broadcast(source, [one, other], deadline_seconds=30.0, backend="gloo")
    assert (held(one), held(other)) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tensor_names": ["model.unknown"]}, "tensor_names"),
        ({"chunk_bytes": 0}, "chunk_bytes"),
        ({"group": {"port": 0}}, "group.port"),
        ({"group": {"rank": 0}}, "group.rank"),
        ({"group": {"rank": 2}}, "group.rank"),
        ({"group": {"size": 1}}, "group.size"),
        ({"group": {"timeout_seconds": 0.0}}, "group.timeout_seconds"),
        ({"group": {"backend": 0}}, "group.backend"),
    ],
)
def test_what_is_no_group_is_refused_with_its_field(
    changes: dict[str, object], field: str, start_sampler: Callable[..., str], tmp_path: Path
) -> None:
    manifest = write_policy(tmp_path, tensors_of("llama", seed=1), version=1)
    group = {"port": 4711, "rank": 1, "size": 2, "backend": 1, "timeout_seconds": 5.0}
    good = {"chunk_bytes": 1024, "tensor_names": [], "group": group}
    given = good | changes | ({"group": group | changes["group"]} if "group" in changes else {})  # type: ignore[operator]
    request = ParseDict(given, wire.ReceivePolicyRequest(manifest=manifest_message(manifest)))
    with connect(start_sampler()) as channel, pytest.raises(InvalidInput) as caught:
        call(GenerationServiceStub(channel).ReceivePolicy, request, deadline_seconds=DEADLINE_SECONDS)
    assert caught.value.metadata["field"] == field


@pytest.mark.parametrize(
    ("peer", "host"),
    [("ipv4:10.0.0.3:4711", "10.0.0.3"), ("ipv6:%5B::1%5D:4711", "::1"), ("ipv6:[fd00::2]:1", "fd00::2")],
)
def test_the_host_of_a_peer_is_read_from_its_name(peer: str, host: str) -> None:
    assert host_of_peer(peer) == host


def test_a_peer_without_an_address_is_refused() -> None:
    with pytest.raises(InvalidInput, match="use a stream"):
        host_of_peer("unix:/run/x")
