"""A worker's line to a jobs service that is away for a moment: over a real connection, to a server that fails."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from pinetune.api.jobs.v1 import jobs_pb2, worker_pb2
from pinetune.api.jobs.v1.worker_pb2_grpc import WorkerServiceServicer, add_WorkerServiceServicer_to_server
from pinetune.client.worker import WorkerClient
from pinetune.jobs.launcher.ports import free_ports
from pinetune.pod.errors import Unavailable, to_status

AWAY = Unavailable("gone for a moment", reason="POD_STARTING")
Ask = Callable[[WorkerClient], object]


class FailingOnce(WorkerServiceServicer):
    """Refuses the first call of each method, and counts the calls."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def ClaimWork(
        self, request: worker_pb2.ClaimWorkRequest, context: grpc.ServicerContext
    ) -> worker_pb2.ClaimWorkResponse:
        self._fail_once("ClaimWork", context)
        return worker_pb2.ClaimWorkResponse()

    def Heartbeat(
        self, request: worker_pb2.HeartbeatRequest, context: grpc.ServicerContext
    ) -> worker_pb2.HeartbeatResponse:
        self._fail_once("Heartbeat", context)
        return worker_pb2.HeartbeatResponse()

    def CommitStep(
        self, request: worker_pb2.CommitStepRequest, context: grpc.ServicerContext
    ) -> worker_pb2.CommitStepResponse:
        self._fail_once("CommitStep", context)
        return worker_pb2.CommitStepResponse()

    def CommitCheckpoint(
        self, request: worker_pb2.CommitCheckpointRequest, context: grpc.ServicerContext
    ) -> worker_pb2.CommitCheckpointResponse:
        self._fail_once("CommitCheckpoint", context)
        return worker_pb2.CommitCheckpointResponse()

    def AppendEvents(
        self, request: worker_pb2.AppendEventsRequest, context: grpc.ServicerContext
    ) -> worker_pb2.AppendEventsResponse:
        self._fail_once("AppendEvents", context)
        return worker_pb2.AppendEventsResponse()

    def CommitEvaluation(
        self, request: worker_pb2.CommitEvaluationRequest, context: grpc.ServicerContext
    ) -> worker_pb2.CommitEvaluationResponse:
        self._fail_once("CommitEvaluation", context)
        return worker_pb2.CommitEvaluationResponse()

    def FinishWork(
        self, request: worker_pb2.FinishWorkRequest, context: grpc.ServicerContext
    ) -> worker_pb2.FinishWorkResponse:
        self._fail_once("FinishWork", context)
        return worker_pb2.FinishWorkResponse()

    def _fail_once(self, method: str, context: grpc.ServicerContext) -> None:
        self.calls[method] += 1
        if self.calls[method] == 1:
            context.abort_with_status(to_status(AWAY))


@pytest.fixture
def service() -> FailingOnce:
    return FailingOnce()


@pytest.fixture
def worker(service: FailingOnce) -> Iterator[WorkerClient]:
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    add_WorkerServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield WorkerClient(channel, work_id="ftjob-1", attempt=1)
    server.stop(0.2).wait()


def beat(worker: WorkerClient) -> object:
    phase = jobs_pb2.JOB_PHASE_TRAINING
    return worker.heartbeat(waiting_for="", phase=phase, total_steps=1, total_warm_up_steps=0)


REPEATED: dict[str, Ask] = {
    "ClaimWork": lambda worker: worker.claim(),
    "CommitStep": lambda worker: worker.commit_step(jobs_pb2.Step(), jobs_pb2.Usage()),
    "CommitCheckpoint": lambda worker: worker.commit_checkpoint(jobs_pb2.Checkpoint()),
    "CommitEvaluation": lambda worker: worker.commit_evaluation(jobs_pb2.Evaluation()),
    "FinishWork": lambda worker: worker.finish(jobs_pb2.JOB_STATE_SUCCEEDED),
    "AppendEvents": lambda worker: worker.append_events([], first_number=1, patient=True),
}
MADE_ONCE: dict[str, Ask] = {
    "Heartbeat": beat,
    "AppendEvents": lambda worker: worker.append_events([]),
}


@pytest.mark.parametrize(("method", "ask"), REPEATED.items(), ids=REPEATED)
def test_what_is_taken_up_once_is_repeated_while_the_service_is_away(
    method: str, ask: Ask, service: FailingOnce, worker: WorkerClient
) -> None:
    ask(worker)
    assert service.calls[method] == 2


@pytest.mark.parametrize(("method", "ask"), MADE_ONCE.items(), ids=MADE_ONCE)
def test_what_would_be_told_twice_is_made_once(
    method: str, ask: Ask, service: FailingOnce, worker: WorkerClient
) -> None:
    with pytest.raises(Unavailable, match="gone for a moment"):
        ask(worker)
    assert service.calls[method] == 1


def test_a_commit_waits_for_a_service_that_comes_back_under_its_address(service: FailingOnce) -> None:
    port = free_ports(1)[0]
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, ThreadPoolExecutor(max_workers=1) as pool:
        worker = WorkerClient(channel, work_id="ftjob-1", attempt=1)
        commit = pool.submit(worker.commit_step, jobs_pb2.Step(), jobs_pb2.Usage())
        # Long enough for several tries of a connection that is refused.
        with pytest.raises(TimeoutError):
            commit.result(1.5)
        server = grpc.server(ThreadPoolExecutor(max_workers=1))
        add_WorkerServiceServicer_to_server(service, server)
        server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        commit.result(30)
        server.stop(0.2).wait()
    assert service.calls["CommitStep"] == 2


def test_a_worker_whose_service_stays_away_gives_up() -> None:
    with grpc.insecure_channel(f"127.0.0.1:{free_ports(1)[0]}") as channel:
        worker = WorkerClient(channel, work_id="ftjob-1", attempt=1, patience_seconds=0.3)
        with pytest.raises(Unavailable):
            worker.finish(jobs_pb2.JOB_STATE_SUCCEEDED)
