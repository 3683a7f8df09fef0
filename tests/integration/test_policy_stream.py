"""Policies over gRPC without storage between: what travels, what is repeated, and which error names what."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from tests.unit.generation.test_adapters import QUERY, adapter_of, write_adapter
from tests.unit.generation.test_weights import tensors_of, write_policy
from tests.unit.generation.tiny_models import make_model

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.generation.v1.generation_pb2_grpc import (
    GenerationServiceStub,
    add_GenerationServiceServicer_to_server,
)
from pinetune.api.learning.v1 import learning_pb2
from pinetune.api.learning.v1.learning_pb2_grpc import add_LearningServiceServicer_to_server
from pinetune.client.calls import call
from pinetune.client.generation import GenerationClient
from pinetune.client.learning import LearningClient
from pinetune.client.policy_stream import StreamedPolicy, stream_policy
from pinetune.generation.service import SERVICE_NAME, GenerationService
from pinetune.generation.transformers_engine import EngineOptions, TransformersEngine
from pinetune.learning.pushing import saved_policy
from pinetune.learning.service import SERVICE_NAME as LEARNING
from pinetune.learning.service import LearningService
from pinetune.pod.channel import connect
from pinetune.pod.errors import Conflict, Corrupt, TimedOut, Unavailable
from pinetune.pod.manifest import TensorEntry
from pinetune.pod.server import RegisteredService

Serve = Callable[..., str]
DEADLINE_SECONDS = 60.0


@pytest.fixture
def channel(start_sampler: Callable[[], str]) -> Iterator[grpc.Channel]:
    with connect(start_sampler()) as channel:
        yield channel


@pytest.fixture
def learner(tiny_llama: Path, serve: Serve) -> Iterator[LearningClient]:
    service = LearningService()
    address = serve([RegisteredService(LEARNING, lambda it: add_LearningServiceServicer_to_server(service, it))])
    with connect(address) as channel:
        client = LearningClient(channel)
        compute = learning_pb2.ComputeSettings(device="cpu", dtype="float32", max_tokens_per_pass=256)
        optimizer = learning_pb2.OptimizerSettings(learning_rate=1e-3, epsilon=1e-8, beta1=0.9, beta2=0.999)
        warm_up = learning_pb2.WarmUpSettings(optimizer=optimizer, step_count=1)
        client.open(
            learning_pb2.OpenRequest(job_id="job-1", model_uri=str(tiny_llama), compute=compute, warm_up=warm_up)
        )
        yield client


def send(channel: grpc.Channel, folder: Path, seconds: float = DEADLINE_SECONDS) -> StreamedPolicy:
    source = saved_policy(str(folder))
    return stream_policy(channel, source.manifest, source.read, deadline_seconds=seconds)


def test_only_what_is_not_held_travels_and_sending_again_sends_nothing(channel: grpc.Channel, tmp_path: Path) -> None:
    tensors = tensors_of("llama", seed=0)
    changed = f"{QUERY}.weight"
    manifest = write_policy(tmp_path, tensors | {changed: tensors[changed] + 1}, version=1)
    first, again = send(channel, tmp_path), send(channel, tmp_path)
    assert (first.policy_version, first.content_hash) == (1, manifest.content_hash)
    assert (first.sent_tensor_count, first.sent_bytes) == (1, tensors[changed].nbytes)
    assert (again.content_hash, again.load_time) == (first.content_hash, first.load_time)
    assert (again.sent_tensor_count, again.sent_bytes) == (0, 0)


def test_an_adapter_travels(channel: grpc.Channel, tmp_path: Path) -> None:
    base = call(
        GenerationServiceStub(channel).DescribePolicy,
        wire.DescribePolicyRequest(),
        deadline_seconds=DEADLINE_SECONDS,
    ).policy.content_hash
    manifest = write_adapter(tmp_path, adapter_of(make_model("llama"), QUERY), 1, base)
    sent = send(channel, tmp_path)
    assert (sent.content_hash, sent.sent_tensor_count) == (manifest.content_hash, 2)


class ChangesItsMind(GenerationService):
    """Holds other tensors than it said a moment ago, the first time it is asked."""

    asked = 0

    def DescribePolicy(
        self, request: wire.DescribePolicyRequest, context: grpc.ServicerContext
    ) -> wire.DescribePolicyResponse:
        self.asked += 1
        response = super().DescribePolicy(request, context)
        if self.asked == 1:
            response.tensor_sha256.update({name: self.promised[name] for name in response.tensor_sha256})
        return response

    promised: dict[str, str]


def test_what_went_missing_between_asking_and_sending_is_sent_the_second_time(
    tiny_llama: Path, serve: Serve, tmp_path: Path
) -> None:
    manifest = write_policy(tmp_path, tensors_of("llama", seed=1), version=1)
    service = ChangesItsMind()
    service.promised = {entry.name: entry.sha256 for entry in manifest.tensors}
    service.hold(TransformersEngine(EngineOptions(str(tiny_llama), threads=1)))
    address = serve([RegisteredService(SERVICE_NAME, lambda it: add_GenerationServiceServicer_to_server(service, it))])
    with connect(address) as channel:
        assert send(channel, tmp_path).content_hash == manifest.content_hash
    assert service.asked == 2


def test_a_stream_begins_with_its_manifest(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        GenerationServiceStub(channel).StreamPolicy(iter([wire.StreamPolicyRequest()]), timeout=DEADLINE_SECONDS)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "the first message must have the manifest"


def test_a_fault_of_the_source_is_raised_as_it_is(channel: grpc.Channel, tmp_path: Path) -> None:
    write_policy(tmp_path, tensors_of("llama", seed=1), version=1)
    path = tmp_path / "model-0.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(Corrupt, match=r"model-0\.safetensors ends inside tensor"):
        send(channel, tmp_path)


def test_a_push_keeps_its_deadline(channel: grpc.Channel, tmp_path: Path) -> None:
    write_policy(tmp_path, tensors_of("llama", seed=1), version=1)
    with pytest.raises(TimedOut):
        send(channel, tmp_path, seconds=0.0)


class FrozenSender:
    """A learner that stops in the middle of a policy, and goes on when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.source = saved_policy(str(folder))
        self.frozen, self.thaw = threading.Event(), threading.Event()
        self._sent_count = 0

    def read(self, entry: TensorEntry, size: int) -> Iterable[bytes | memoryview]:
        if self._sent_count == 2:
            self.frozen.set()
            assert self.thaw.wait(DEADLINE_SECONDS)
        self._sent_count += 1
        return self.source.read(entry, size)

    def send(self, address: str) -> StreamedPolicy:
        with connect(address) as channel:
            return stream_policy(channel, self.source.manifest, self.read, deadline_seconds=DEADLINE_SECONDS)


def test_a_learner_that_freezes_is_replaced_by_the_next_one_at_once(
    start_sampler: Callable[..., str], tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    address = start_sampler(lambda: GenerationService(spool))
    write_policy(tmp_path / "old", tensors_of("llama", seed=1), version=1)
    manifest = write_policy(tmp_path / "new", tensors_of("llama", seed=2), version=1)
    old = FrozenSender(tmp_path / "old")
    with connect(address) as channel, ThreadPoolExecutor(1) as pool:
        sent = pool.submit(old.send, address)
        assert old.frozen.wait(DEADLINE_SECONDS)
        # The old one is frozen all the time, and may have been told already.
        assert send(channel, tmp_path / "new").content_hash == manifest.content_hash
        assert list(spool.iterdir()) == [], "what it had sent is discarded"
        old.thaw.set()
        with pytest.raises(Conflict, match="a later call brings a policy to this sampler") as caught:
            sent.result(DEADLINE_SECONDS)
        assert caught.value.reason == "STREAM_REPLACED"
        assert GenerationClient(channel).describe().policy.content_hash == manifest.content_hash


def test_two_learners_that_are_alive_leave_one_of_their_policies_whole(
    start_sampler: Callable[..., str], tmp_path: Path
) -> None:
    address = start_sampler()
    hashes = [
        write_policy(tmp_path / f"{seed}", tensors_of("llama", seed=seed), version=seed).content_hash for seed in (1, 2)
    ]

    def repeat(seed: int) -> set[str]:
        outcomes = set()
        with connect(address) as channel:
            for _ in range(5):
                try:
                    outcomes.add(send(channel, tmp_path / f"{seed}").content_hash)
                except Conflict as error:
                    outcomes.add(error.reason)
        return outcomes

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(repeat, (1, 2)))
    for content_hash, of_learner in zip(hashes, outcomes, strict=True):
        assert of_learner <= {content_hash, "STREAM_REPLACED", "STREAM_OUTDATED", "TENSORS_NOT_SENT"}
    with connect(address) as channel:
        state = GenerationClient(channel).describe().policy
    assert state.content_hash == hashes[state.policy_version - 1]


def test_the_learner_sends_to_every_sampler(
    learner: LearningClient, start_sampler: Callable[[], str], tmp_path: Path
) -> None:
    addresses = [start_sampler(), start_sampler()]
    # The base is held by both already.
    assert learner.push_policy(addresses, policy_version=0).sent_bytes == 0
    tensors = tensors_of("llama", seed=1)
    manifest = write_policy(tmp_path, tensors, version=5)
    pushed = learner.push_policy(addresses, policy_version=5, policy_uri=str(tmp_path))
    assert pushed.content_hash == manifest.content_hash
    # All but the norms, which are ones in both.
    assert pushed.sent_bytes == 2 * sum(one.nbytes for one in tensors.values() if one.dim() > 1)


def test_a_push_that_cannot_be_made_says_what_and_where(
    learner: LearningClient, start_sampler: Callable[[], str], tmp_path: Path
) -> None:
    good = start_sampler()
    assert learner.push_policy([], policy_version=0).sent_bytes == 0
    with pytest.raises(Conflict, match="policy_version must be 0"):
        learner.push_policy([good], policy_version=3)
    write_policy(tmp_path, tensors_of("llama", seed=1), version=5)
    with pytest.raises(Conflict, match=r"version 4 was asked for, the manifest of .* names 5"):
        learner.push_policy([good], policy_version=4, policy_uri=str(tmp_path))
    with pytest.raises(Unavailable, match=r"policy 0 to 127\.0\.0\.1:9: "):
        learner.push_policy([good, "127.0.0.1:9"], policy_version=0)
