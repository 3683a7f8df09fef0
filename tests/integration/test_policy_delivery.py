"""Whatever goes wrong between learner and sampler is found before a step trains on it, on either way that weights take.

A real learner and a real sampler over gRPC, driven by the real loop; grading and the jobs service are in memory. The
loop imitates (policy 1), takes training step 1 with it, and publishes policy 2, which meets the fault.
"""

import math
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import fsspec
import grpc
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from prometheus_client import REGISTRY
from tests.fakes.services import Calls, FakeJobs
from torch import Tensor, nn

from pinetune.api.generation.v1 import generation_pb2
from pinetune.api.generation.v1.generation_pb2_grpc import add_GenerationServiceServicer_to_server
from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.api.learning.v1 import learning_pb2
from pinetune.api.learning.v1.learning_pb2_grpc import add_LearningServiceServicer_to_server
from pinetune.client.generation import GenerationClient
from pinetune.client.generation_replicas import GenerationReplicas
from pinetune.client.grading import GradedBatch, GradingClient
from pinetune.client.learning import LearningClient, SavedPolicy, Trajectory
from pinetune.client.prompts import Message
from pinetune.client.replica_set import Replica
from pinetune.client.rollout import FinishReason, Grade
from pinetune.generation.engine import CALLER, Caller, InFlight, LoadedPolicy, PolicyState
from pinetune.generation.service import SERVICE_NAME as GENERATION
from pinetune.generation.service import GenerationService
from pinetune.generation.transformers_engine import EngineOptions, TransformersEngine
from pinetune.jobs.clock import Clock
from pinetune.jobs.components import Components
from pinetune.jobs.dataset import Item
from pinetune.jobs.journal import Journal
from pinetune.jobs.keeper import Keeper
from pinetune.jobs.loop import Loop
from pinetune.jobs.plan import Plan
from pinetune.jobs.policies import Policies
from pinetune.jobs.preparation import make_base_model, prepare
from pinetune.jobs.rollout_files import read_rollouts
from pinetune.jobs.sampler import Sampler
from pinetune.jobs.spec import JobSpec
from pinetune.jobs.spec.settings import Way
from pinetune.jobs.usage import Usage
from pinetune.learning.service import SERVICE_NAME as LEARNING
from pinetune.learning.service import LearningService
from pinetune.pod.channel import connect
from pinetune.pod.errors import Busy, Conflict, Corrupt, PinetuneError, TimedOut
from pinetune.pod.manifest import content_hash_of, read_manifest
from pinetune.pod.manifest_messages import manifest_of_message
from pinetune.pod.server import RegisteredService

Serve = Callable[..., str]
StreamRequests = Iterator[generation_pb2.StreamPolicyRequest]
MakeService = Callable[[str], GenerationService]
WAYS: tuple[Way, ...] = ("shared_storage", "stream", "broadcast")
GRADER = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "x", "operation": "eq"}
NANO = {"layer_count": 1, "width": 16, "head_count": 2, "vocabulary_size": 300, "max_tokens": 96}
FAULTY_VERSION = 2


class WatchedLearning(LearningClient):
    """Notes which updates were asked for, and lets a test meddle with what was saved."""

    def __init__(self, channel: grpc.Channel, meddle: Callable[[Path], None] | None) -> None:
        super().__init__(channel)
        self.updates: list[int] = []
        self._meddle = meddle

    def update(self, step: int, trajectories: Sequence[Trajectory]) -> learning_pb2.UpdateMetrics:
        self.updates.append(step)
        return super().update(step, trajectories)

    def save_policy(self, policy_uri: str, *, policy_version: int) -> SavedPolicy:
        saved = super().save_policy(policy_uri, policy_version=policy_version)
        if policy_version == FAULTY_VERSION and self._meddle is not None:
            self._meddle(Path(policy_uri))
        return saved


class LengthGrading(GradingClient):
    """Finds long answers good."""

    def __init__(self) -> None:
        pass

    def grade(
        self,
        grader_json: str,
        *,
        items_json: Sequence[str],
        output_texts: Sequence[str],
        item_indexes: Sequence[int],
        finish_reasons: Sequence[FinishReason] = (),
        samples_json: Sequence[str] = (),
        fresh_answers: bool = False,
        deadline_seconds: float = 0.0,
    ) -> GradedBatch:
        return GradedBatch(tuple(Grade(score=len(text) % 5 / 4) for text in output_texts), {})


@dataclass
class Delivery:
    """A job whose policies travel."""

    loop: Loop
    learning: WatchedLearning
    jobs: FakeJobs

    def fails(self, kind: type[PinetuneError], sentence: str) -> PinetuneError:
        """Run until policy 2 is refused; nothing may have been trained or committed after it."""
        with pytest.raises(kind, match=sentence) as caught:
            self.loop.run()
        assert self.learning.updates == [1]
        assert not [one for one in self.jobs.steps if one.phase == jobs_pb2.JOB_PHASE_TRAINING and one.number]
        return caught.value


def job_spec(way: Way, regex: str = "") -> JobSpec:
    hyperparameters = {"n_epochs": 1, "batch_size": 4}
    sampling = {"samples_per_prompt": 2, "max_tokens": 8}
    return JobSpec.model_validate(
        {
            "model": "nano",
            "training_file": "t",
            "validation_file": "t",
            "seed": 3,
            "method": {
                "type": "reinforcement",
                "reinforcement": {
                    "grader": GRADER,
                    "hyperparameters": hyperparameters,
                    "response_format": {"regex": regex},
                },
            },
            "pinetune": {
                "warm_up": {"epochs": 1, "batch_size": 8, "learning_rate": 0.02},
                "algorithm": {"learning_rate": 0.02},
                "sampling": sampling,
                "evaluation": {"final_comparison": False},
                "engine": {"weights": way, "device": "cpu", "threads": 1},
                "nano": NANO,
            },
        }
    )


def make_plan(folder: str, way: Way, regex: str = "") -> Plan:
    items = [Item(f"t{n}", n + 1, (Message("user", f"{n} + 1?"),), (), "{}", "x", f"it is {n} + 1") for n in range(8)]
    return Plan("ftjob-1", job_spec(way, regex), folder, f"{folder}/base", items, items, items)


@pytest.fixture
def deliver(tmp_path: Path, serve: Serve) -> Iterator[Callable[..., Delivery]]:
    """A function that starts learner and sampler and wires the loop, with a fault where the test names one."""
    torch.set_num_threads(1)
    channels: list[grpc.Channel] = []

    def make(
        way: Way,
        *,
        service: MakeService | None = None,
        meddle: Callable[[Path], None] | None = None,
        folder: str = "",
        regex: str = "",
    ) -> Delivery:
        plan = make_plan(folder or str(tmp_path / "artifacts"), way, regex)
        learner = LearningService()
        address = serve([RegisteredService(LEARNING, lambda it: add_LearningServiceServicer_to_server(learner, it))])
        channels.append(connect(address))
        learning = WatchedLearning(channels[-1], meddle)
        jobs, usage, clock = FakeJobs(Calls()), Usage(), Clock()
        journal = Journal(jobs, usage)
        Path(tmp_path / "artifacts").mkdir(exist_ok=True)
        make_base_model(plan, learning, journal)
        sampling = (service or sampler_of)(plan.model_uri)
        sampler_address = serve(
            [RegisteredService(GENERATION, lambda it: add_GenerationServiceServicer_to_server(sampling, it))]
        )
        channels.append(connect(sampler_address))
        generation = GenerationReplicas([Replica("generation-0", GenerationClient(channels[-1], sampler_address))])
        prepared = prepare(plan, learning, generation, journal, checkpoint_uri="")
        parameters = prepared.learner.parameter_count
        sampler = Sampler(generation, LengthGrading(), GRADER, plan.rewards, clock, usage, parameters)
        policies = Policies(
            learning,
            generation,
            folder=f"{plan.artifacts_uri}/policies",
            max_canary_gap=plan.spec.pinetune.policies.max_canary_gap,
            way=way,
        )
        keeper = Keeper(journal, learning, policies, artifacts_uri=plan.artifacts_uri)
        components = Components(learning, sampler, policies, None, keeper, journal, clock)
        return Delivery(Loop(plan, prepared, components), learning, jobs)

    yield make
    for channel in channels:
        channel.close()
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def sampler_of(
    model: str, engine: type[TransformersEngine] = TransformersEngine, service: type[GenerationService] | None = None
) -> GenerationService:
    made = (service or GenerationService)()
    made.hold(engine(EngineOptions(model, threads=1)))
    return made


def test_all_ways_carry_the_same_policies(deliver: Callable[..., Delivery], tmp_path: Path) -> None:
    stories = []
    for way in WAYS:
        job = deliver(way, folder=str(tmp_path / "artifacts" / way))
        Path(tmp_path / "artifacts" / way).mkdir(exist_ok=True)
        model_uri = job.loop.run()
        assert job.learning.updates == [1, 2]
        assert all(step.canary_gap < 1e-5 for step in job.jobs.steps if step.HasField("canary_gap"))
        update = job.jobs.steps[-1].update
        assert 0 <= update.sampler_gap_p50 <= update.sampler_gap_p95 <= update.sampler_gap_max < 1e-4
        assert update.effective_sample_share == pytest.approx(1.0, abs=1e-6)
        assert update.effective_sequence_share == pytest.approx(1.0, abs=1e-6)
        rewards = [step.train_reward_mean for step in job.jobs.steps]
        stories.append((rewards, (Path(model_uri) / "model.safetensors").read_bytes()))
    assert stories[0] == stories[1] == stories[2]


def test_every_answer_of_a_job_has_the_shape_that_it_was_ordered_with(deliver: Callable[..., Delivery]) -> None:
    job = deliver("shared_storage", regex="(yes|no), [0-9]")
    job.loop.run()
    assert job.learning.updates == [1, 2]
    trained = [step for step in job.jobs.steps if step.phase == jobs_pb2.JOB_PHASE_TRAINING and step.rollouts_uri]
    texts = {one.completion.text for step in trained for one in read_rollouts(step.rollouts_uri)}
    assert len(texts) > 1
    assert all(re.fullmatch("(yes|no), [0-9]", text) for text in texts)
    gaps = [step.update.sampler_gap_max for step in trained if step.HasField("update")]
    assert gaps, "the learner compares its log-probabilities with the sampler's"
    assert max(gaps) < 1e-4


def test_policies_travel_through_object_storage(deliver: Callable[..., Delivery]) -> None:
    # In memory: an address that is no path, written and read as an object store is, within one process.
    job = deliver("shared_storage", folder="memory://artifacts")
    model_uri = job.loop.run()
    assert job.learning.updates == [1, 2]
    store = fsspec.filesystem("memory")
    assert model_uri == "memory://artifacts/model"
    assert {"manifest.json", "model.safetensors"} <= {Path(one).name for one in store.find("/artifacts/model")}
    assert read_manifest(model_uri).content_hash == job.loop.policy.content_hash
    # What nothing needs any more is gone.
    policies = {Path(one).name for one in store.ls("/artifacts/policies", detail=False)}
    assert policies == {"v000001", "v000003"}, "the warmed-up policy and the last one"


def test_a_byte_that_object_storage_spoils_is_refused(deliver: Callable[..., Delivery]) -> None:
    def flip(_: Path) -> None:
        path = "/artifacts/policies/v000002/model.safetensors"
        store = fsspec.filesystem("memory")
        data = bytearray(store.cat_file(path))
        data[-5] ^= 1
        store.pipe_file(path, bytes(data))

    job = deliver("shared_storage", folder="memory://artifacts", meddle=flip)
    assert job.fails(Corrupt, r"; 1 of \d+ changed tensors are not").reason == "TENSOR_HASH_MISMATCH"


def flip_a_byte(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def keep_the_old_weights(folder: Path) -> None:
    shutil.copyfile(folder.parent / "v000001" / "model.safetensors", folder / "model.safetensors")


def keep_the_old_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(folder.parent / "v000001", folder)


@pytest.mark.parametrize(
    ("meddle", "kind", "sentence", "reason"),
    [
        (
            flip_a_byte,
            Corrupt,
            r"has SHA-256 .*, the manifest says .*; 1 of \d+ changed tensors are not",
            "TENSOR_HASH_MISMATCH",
        ),
        (keep_the_old_weights, Corrupt, r"; (\d+) of \1 changed tensors are not what", "TENSOR_HASH_MISMATCH"),
        (
            keep_the_old_folder,
            Conflict,
            "policy_version 2 was asked for, the manifest names 1",
            "POLICY_VERSION_MISMATCH",
        ),
    ],
    ids=["one byte", "the weights of the old policy", "the whole old policy"],
)
def test_what_storage_spoils_is_refused(
    meddle: Callable[[Path], None],
    kind: type[PinetuneError],
    sentence: str,
    reason: str,
    deliver: Callable[..., Delivery],
) -> None:
    error = deliver("shared_storage", meddle=meddle).fails(kind, sentence)
    assert error.reason == reason


class SpoiltStream(GenerationService):
    """Flips a bit of the first chunk of policy 2 on its way."""

    def StreamPolicy(
        self, request_iterator: StreamRequests, context: grpc.ServicerContext
    ) -> generation_pb2.StreamPolicyResponse:
        def spoilt() -> StreamRequests:
            version, spoils = 0, True
            for message in request_iterator:
                version = message.manifest.policy_version or version
                if version == FAULTY_VERSION and message.HasField("chunk") and spoils:
                    data = message.chunk.data
                    message.chunk.data = bytes([data[0] ^ 1]) + data[1:]
                    spoils = False
                yield message

        return super().StreamPolicy(spoilt(), context)


class RepeatedStream(GenerationService):
    """Is given policy 2 and gets the messages of policy 1 again."""

    def __init__(self) -> None:
        super().__init__()
        self._first: list[generation_pb2.StreamPolicyRequest] = []

    def StreamPolicy(
        self, request_iterator: StreamRequests, context: grpc.ServicerContext
    ) -> generation_pb2.StreamPolicyResponse:
        came = list(request_iterator)
        self._first = self._first or came
        return super().StreamPolicy(iter(self._first), context)


def test_a_spoilt_stream_is_refused(deliver: Callable[..., Delivery]) -> None:
    job = deliver("stream", service=lambda model: sampler_of(model, service=SpoiltStream))
    error = job.fails(Corrupt, r"policy 2 to 127\.0\.0\.1:\d+: tensor '.*' arrived with SHA-256 .*, the manifest says")
    assert error.reason == "TENSOR_HASH_MISMATCH"


def test_a_stream_that_brings_the_old_policy_is_found_by_asking_the_sampler(deliver: Callable[..., Delivery]) -> None:
    job = deliver("stream", service=lambda model: sampler_of(model, service=RepeatedStream))
    error = job.fails(Conflict, r"a sampler was given policy 2 \(.*\) and holds policy 1 \(")
    assert error.reason == "POLICY_NOT_ATTESTED"


class SpoiltBroadcast(GenerationService):
    """Flips a bit of the first piece of policy 2 that is broadcast."""

    def ReceivePolicy(
        self, request: generation_pb2.ReceivePolicyRequest, context: grpc.ServicerContext
    ) -> generation_pb2.ReceivePolicyResponse:
        if request.manifest.policy_version == FAULTY_VERSION:
            entry = next(one for one in request.manifest.tensors if one.name == request.tensor_names[0])
            entry.sha256 = "0" * 64
            request.manifest.content_hash = content_hash_of(manifest_of_message(request.manifest))
        return super().ReceivePolicy(request, context)


def test_a_spoilt_broadcast_is_refused(deliver: Callable[..., Delivery]) -> None:
    job = deliver("broadcast", service=lambda model: sampler_of(model, service=SpoiltBroadcast))
    error = job.fails(Corrupt, r"policy 2 to 127\.0\.0\.1:\d+: tensor '.*' arrived with SHA-256 .*, the manifest says")
    assert error.reason == "TENSOR_HASH_MISMATCH"


class NoBroadcasts(GenerationService):
    """Takes streams only."""

    refusal: PinetuneError

    def ReceivePolicy(
        self, request: generation_pb2.ReceivePolicyRequest, context: grpc.ServicerContext
    ) -> generation_pb2.ReceivePolicyResponse:
        raise self.refusal


class BusyWithOthers(NoBroadcasts):
    refusal = Busy("not now", reason="STREAM_ACTIVE", retry_after_seconds=0.1)


class StartedAgain(NoBroadcasts):
    refusal = Conflict("2 of 9 tensors are neither held nor sent", reason="TENSORS_NOT_SENT")


class TooSlow(NoBroadcasts):
    refusal = TimedOut("not in time", reason="DEADLINE")


def broken_broadcasts() -> float:
    return REGISTRY.get_sample_value("pinetune_worker_broken_broadcasts_total") or 0.0


@pytest.mark.parametrize("service", [BusyWithOthers, StartedAgain, TooSlow])
def test_a_broadcast_that_fails_is_counted_and_made_good_by_streams(
    service: type[GenerationService], deliver: Callable[..., Delivery]
) -> None:
    before = broken_broadcasts()
    job = deliver("broadcast", service=lambda model: sampler_of(model, service=service))
    job.loop.run()
    assert job.learning.updates == [1, 2]
    # The warmed-up policy and one for each update.
    assert broken_broadcasts() - before == 3


class ForgetfulEngine(TransformersEngine):
    """Says that it holds policy 2, hash and all, and has done nothing."""

    def load_policy(
        self,
        policy_uri: str,
        policy_version: int,
        content_hash: str,
        in_flight: InFlight = "finish",
        caller: Caller = CALLER,
    ) -> LoadedPolicy:
        if policy_version < FAULTY_VERSION:
            return super().load_policy(policy_uri, policy_version, content_hash, in_flight, caller)
        self._weights.state = PolicyState(policy_version, content_hash, "2026-01-31T12:00:00Z")
        return LoadedPolicy(self._weights.state, changed_tensor_count=0, seconds=0.0)


class StaleHead(nn.Module):
    """Has the tied weight, and computes with a copy of what that was before the last policy."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight
        self._copy = [weight.detach().clone()]

    def forward(self, hidden: Tensor) -> Tensor:
        return nn.functional.linear(hidden, self._copy[0])


class StaleEngine(TransformersEngine):
    """Holds what it was given and computes with an old copy of its output layer."""

    def load_policy(
        self,
        policy_uri: str,
        policy_version: int,
        content_hash: str,
        in_flight: InFlight = "finish",
        caller: Caller = CALLER,
    ) -> LoadedPolicy:
        if policy_version == FAULTY_VERSION:
            model = self._model.model
            weight = model.get_input_embeddings().weight
            assert isinstance(weight, nn.Parameter)
            model.set_output_embeddings(StaleHead(weight))
        return super().load_policy(policy_uri, policy_version, content_hash, in_flight, caller)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("engine", [ForgetfulEngine, StaleEngine])
def test_a_sampler_that_computes_with_other_weights_than_it_says_is_found_by_the_canary(
    engine: type[TransformersEngine], way: str, deliver: Callable[..., Delivery]
) -> None:
    job = deliver(way, service=lambda model: sampler_of(model, engine))
    error = job.fails(Conflict, r"disagree on policy 2: the canary's log-probabilities differ by \d.* above the limit")
    assert error.reason == "POLICY_NOT_ATTESTED"
    gap = float(error.metadata["canary_gap"])
    assert 0.01 < gap < math.inf
    assert REGISTRY.get_sample_value("pinetune_worker_canary_gap") == gap
