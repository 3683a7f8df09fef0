"""The real jobs service on a real port, over a real database, with a launcher that starts nothing.

with jobs_room(tmp_path, database_url) as room:
    job = room.create_job()
    worker = room.take(job.job_id)          the scheduler starts it, the test is its worker
    worker.commit_step(...)
"""

import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from pinetune.api.grading.v1 import grading_pb2
from pinetune.api.grading.v1.grading_pb2_grpc import (
    GradingServiceServicer,
    add_GradingServiceServicer_to_server,
)
from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1.jobs_pb2_grpc import add_JobsServiceServicer_to_server
from pinetune.api.jobs.v1.worker_pb2_grpc import add_WorkerServiceServicer_to_server
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.jobs import JobsClient
from pinetune.client.worker import WorkerClient
from pinetune.jobs.bell import Bell
from pinetune.jobs.creating import Creator
from pinetune.jobs.grader_check import GraderCheck
from pinetune.jobs.launcher.base import Exit, Restart, RestartLimit, WorkOrder
from pinetune.jobs.orders import OrderDesk
from pinetune.jobs.scheduler import Limits, Scheduler
from pinetune.jobs.service import JobsServicer
from pinetune.jobs.store.database import Database
from pinetune.jobs.wanted_replicas import WantedReplicas
from pinetune.jobs.watching import Watching
from pinetune.jobs.worker_service import WorkerServicer
from pinetune.pod.channel import connect
from pinetune.pod.errors import PinetuneError
from pinetune.pod.server import Pod, PodSettings, RegisteredService, start

LIMITS = Limits(max_running=1, cancel_grace_seconds=30.0, heartbeat_timeout_seconds=60.0, stop_grace_seconds=1.0)
GRADER: dict[str, Any] = {"type": "number", "reference": "{{item.answer}}"}


class FakeGrading(GradingServiceServicer):
    """Finds every grader right, unless told otherwise."""

    def __init__(self) -> None:
        self.refusal: PinetuneError | None = None
        self.item_keys: list[list[str]] = []
        """The keys of each call."""
        self.errors: dict[str, rollout_pb2.GradeErrorClass] = {}
        """What grading an item fails with whose answer is the key."""

    def Grade(self, request: grading_pb2.GradeRequest, context: grpc.ServicerContext) -> grading_pb2.GradeResponse:
        answers = [json.loads(request.items_json[index]).get("answer") for index in request.item_indexes]
        return grading_pb2.GradeResponse(grades=map(self._grade, answers))

    def _grade(self, answer: str) -> rollout_pb2.Grade:
        if answer not in self.errors:
            return rollout_pb2.Grade(score=0.0)
        return rollout_pb2.Grade(
            error=rollout_pb2.GradeError(error_class=self.errors[answer], detail=f"{answer} cannot be read")
        )

    def ValidateGrader(
        self, request: grading_pb2.ValidateGraderRequest, context: grpc.ServicerContext
    ) -> grading_pb2.ValidateGraderResponse:
        self.item_keys.append(list(request.item_keys))
        if self.refusal is not None:
            raise self.refusal
        if request.grader.WhichOneof("spelling") == "grader":
            table = {"type": request.grader.grader.WhichOneof("kind"), "reference": "{{item.answer}}"}
        else:
            table = json.loads(request.grader.json)
        return grading_pb2.ValidateGraderResponse(json=json.dumps({"name": "given", **table}, sort_keys=True))


class FakeLauncher:
    """Starts nothing; a test says what has ended."""

    def __init__(self) -> None:
        self.orders: list[WorkOrder] = []
        self.stopped: list[str] = []
        self.refusal: PinetuneError | None = None
        """What `launch` raises; a Transient leaves some of the processes where `leaves_some` says so."""
        self.leaves_some = False
        self.held_up: dict[str, str] = {}
        self.not_begun: set[str] = set()
        self.scaled: list[tuple[str, int]] = []
        self._alive: dict[str, int] = {}
        self._news: list[Exit | Restart] = []

    def launch(self, order: WorkOrder) -> None:
        if self.refusal is not None:
            if self.leaves_some:
                self._alive[order.work_id] = order.attempt
            raise self.refusal
        self.orders.append(order)
        self._alive[order.work_id] = order.attempt

    def stop(self, work_id: str, *, grace_seconds: float) -> None:
        self.stopped.append(work_id)

    def scale(self, work_id: str, replicas: int) -> None:
        self.scaled.append((work_id, replicas))

    def poll(self) -> list[Exit | Restart]:
        news, self._news = self._news, []
        return news

    def running(self) -> frozenset[str]:
        return frozenset(self._alive)

    def starting(self) -> frozenset[str]:
        return frozenset(self.not_begun)

    def pending(self) -> dict[str, str]:
        return self.held_up

    def close(self) -> None:
        self._alive.clear()

    def die(
        self, work_id: str, *, process: str = "worker", code: int = -9, log_lines: Sequence[str] = ("the last line",)
    ) -> None:
        """Let the processes of some work be gone."""
        self._news.append(Exit(work_id, self._alive.pop(work_id), process, code, log_lines))

    def restart(self, work_id: str, *, process: str = "generation-0", code: int = -9) -> None:
        """Let one replica have died and be started again."""
        limit = RestartLimit(3, 600.0)
        self._news.append(Restart(work_id, self._alive[work_id], process, code, ["the last line"], 1, limit))


@dataclass
class Room:
    """A running jobs service and what a test needs beside it."""

    folder: Path
    database: Database
    launcher: FakeLauncher
    scheduler: Scheduler
    grading: FakeGrading
    channel: grpc.Channel
    client: JobsClient
    news: Bell
    pod: Pod
    stopping: threading.Event
    """What the scheduler takes for the pod's."""
    _names: Iterator[int] = field(default_factory=lambda: iter(range(1000)))

    def upload(self, *rows: dict[str, Any]) -> str:
        """Upload a data set and return its id."""
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        return self.client.create_dataset(content, filename="rows.jsonl").dataset_id

    def order(self, **changes: Any) -> dict[str, Any]:
        """Return a small order with data sets of its own; keyword arguments replace whole top-level fields."""
        number = next(self._names)
        row = {"question": f"training {number}", "answer": "1", "cot": "It is 1."}
        order: dict[str, Any] = {
            "model": "nano",
            "training_file": self.upload(row),
            "validation_file": self.upload({**row, "question": f"validation {number}"}),
            "method": {"type": "reinforcement", "reinforcement": {"grader": GRADER}},
            "pinetune": {"dataset": {"prompt": "{{item.question}}"}, "checkpoints": {"keep_best": 2}},
        }
        return order | changes

    def create_job(self, **changes: Any) -> wire.Job:
        """Order a job and return it, queued."""
        return self.client.create_job(json.dumps(self.order(**changes)))

    def worker(self, work_id: str, attempt: int) -> WorkerClient:
        """Return a worker's line to the service."""
        return WorkerClient(self.channel, work_id=work_id, attempt=attempt)

    def take(self, work_id: str) -> WorkerClient:
        """Let the scheduler look, claim the work, and return the line of its worker."""
        self.scheduler.look()
        attempt = next(order.attempt for order in reversed(self.launcher.orders) if order.work_id == work_id)
        worker = self.worker(work_id, attempt)
        worker.claim()
        return worker


@contextlib.contextmanager
def jobs_room(
    folder: Path,
    database_url: str = "",
    *,
    artifacts_uri: str = "",
    limits: Limits = LIMITS,
    max_watchers: int = 8,
) -> Iterator[Room]:
    """Serve the jobs service, over SQLite in `folder` unless told otherwise.

    Its scheduler looks only when the test says so.
    """
    database = Database(database_url or f"sqlite:///{folder / 'jobs.sqlite'}")
    news, queue = Bell(), Bell()
    grading = FakeGrading()
    graders = start("grading", PodSettings(grace_seconds=1.0), lambda _: [registered_grading(grading)])
    artifacts_uri = artifacts_uri or str(folder / "artifacts")
    launcher = FakeLauncher()
    wanted, stopping = WantedReplicas(), threading.Event()
    scheduler = Scheduler(
        database,
        launcher,
        limits,
        artifacts_uri=artifacts_uri,
        news=news,
        queue=queue,
        wanted=wanted,
        stopping=stopping,
    )
    with connect(graders.grpc_address) as to_grading:

        def build(pod: Pod) -> list[RegisteredService]:
            creator = Creator(database, OrderDesk(database, GraderCheck(to_grading, graders.grpc_address)))
            watching = Watching(database, news, pod.stopping, max_watchers=max_watchers)
            users = JobsServicer(database, creator, watching, artifacts_uri=artifacts_uri, news=news, queue=queue)
            workers = WorkerServicer(database, artifacts_uri=artifacts_uri, news=news, queue=queue, wanted=wanted)
            return [
                RegisteredService(
                    "pinetune.api.jobs.v1.JobsService", lambda s: add_JobsServiceServicer_to_server(users, s)
                ),
                RegisteredService(
                    "pinetune.api.jobs.v1.WorkerService", lambda s: add_WorkerServiceServicer_to_server(workers, s)
                ),
            ]

        pod = start("jobs", PodSettings(grace_seconds=1.0), build)
        with connect(pod.grpc_address) as channel:
            client = JobsClient(channel)
            yield Room(folder, database, launcher, scheduler, grading, channel, client, news, pod, stopping)
        pod.close()
    graders.close()
    database.close()


def registered_grading(grading: FakeGrading) -> RegisteredService:
    """Return the fake as a pod takes it."""
    return RegisteredService(
        "pinetune.api.grading.v1.GradingService", lambda s: add_GradingServiceServicer_to_server(grading, s)
    )


def training_step(number: int, *, reward: float = 0.5, seconds: float = 2.0, **fields: Any) -> wire.Step:
    """Return a step as a worker reports it."""
    return wire.Step(
        number=number,
        phase=wire.JOB_PHASE_TRAINING,
        policy_version=number,
        train_reward_mean=reward,
        training_grades=wire.GradeCounts(sampled_count=8, graded_count=7, ungraded_count=1),
        timing=wire.StepTiming(total_seconds=seconds, sampling_seconds=seconds / 2),
        **fields,
    )


def warm_up_step(number: int) -> wire.Step:
    """Return a warm-up step as a worker reports it."""
    return wire.Step(
        number=number, phase=wire.JOB_PHASE_WARM_UP, timing=wire.StepTiming(total_seconds=1.0, learning_seconds=1.0)
    )


def state_checkpoint(
    step: int, *, warm_up_step: int = 0, kind: wire.CheckpointKind = wire.CHECKPOINT_KIND_LATEST
) -> wire.Checkpoint:
    """Return a checkpoint to go on from."""
    return wire.Checkpoint(
        kind=kind, step_number=step, warm_up_step_number=warm_up_step, state_uri=f"/states/{warm_up_step}-{step}"
    )


def best_checkpoint(step: int, reward: float) -> wire.Checkpoint:
    """Return a policy kept for its reward."""
    return wire.Checkpoint(
        kind=wire.CHECKPOINT_KIND_BEST,
        step_number=step,
        policy_uri=f"/policies/{step}",
        policy_version=step,
        validation=wire.ValidationResult(reward_mean=reward),
    )
