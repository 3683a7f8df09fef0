"""A job whose policies travel, with a fault where a test wants one.

A real learner and a real sampler over gRPC, driven by the real loop; grading and the jobs service are in memory. The
loop imitates (policy 1), takes training step 1 with it, and publishes policy 2, which meets the fault.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from tests.fakes.services import Calls, FakeGrading, FakeJobs

from pinetune.api.generation.v1.generation_pb2_grpc import add_GenerationServiceServicer_to_server
from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.api.learning.v1 import learning_pb2
from pinetune.api.learning.v1.learning_pb2_grpc import add_LearningServiceServicer_to_server
from pinetune.client.generation import GenerationClient
from pinetune.client.generation_replicas import GenerationReplicas
from pinetune.client.learning import LearningClient, SavedPolicy, Trajectory
from pinetune.client.prompts import Message
from pinetune.client.replica_set import Replica
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
from pinetune.jobs.sampler import Sampler
from pinetune.jobs.spec import JobSpec
from pinetune.jobs.spec.settings import Way
from pinetune.jobs.usage import Usage
from pinetune.learning.service import SERVICE_NAME as LEARNING
from pinetune.learning.service import LearningService
from pinetune.pod.channel import connect
from pinetune.pod.errors import PinetuneError
from pinetune.pod.server import RegisteredService

Serve = Callable[..., str]
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


class LengthGrading(FakeGrading):
    """Scores by the length of the answer."""

    def __init__(self) -> None:
        super().__init__({})

    def score(self, output_text: str) -> float:
        return len(output_text) % 5 / 4


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
