"""A jobs service that speaks the real interface and keeps everything in memory: for tests of its callers.

    with serving(FakeJobs()) as address: ...

A test puts in what it wants found (`add`), and may say that the next call of a method fails (`refuse`).
"""

import contextlib
import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tests.fakes.history import History, at

from pinetune.api.grading.v1 import grading_pb2, grading_pb2_grpc
from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1.jobs_pb2_grpc import JobsServiceServicer, add_JobsServiceServicer_to_server
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.calls import TAKEN
from pinetune.client.jobs import ENDED
from pinetune.pod.errors import Conflict, InvalidInput, NotFound, PinetuneError, to_status

R = TypeVar("R")
PAGE_SIZE_MAX = 7
"""Small, so that callers which read only the first page are found out."""


class FakeJobs(JobsServiceServicer):
    """The jobs service of a test."""

    def __init__(self) -> None:
        self.datasets: dict[str, wire.Dataset] = {}
        self.contents: dict[str, bytes] = {}
        self.chunk_sizes: list[int] = []
        self.orders: list[str] = []
        """Every `spec_json` that came in."""
        self.evaluation_orders: list[wire.EvaluationOrder] = []
        self.watched_from: list[str] = []
        """The resume token of every watch."""
        self.histories: dict[str, History] = {}
        self.calls: list[str] = []
        self._refusals: dict[str, list[PinetuneError]] = defaultdict(list)
        self._requests: dict[str, str] = {}
        self._told: dict[str, list[wire.WatchJobResponse]] = defaultdict(list)
        self._changed = threading.Condition()
        self._stopping = False

    def add(self, history: History) -> None:
        """Let a job have happened."""
        self.histories[history.job.job_id] = history
        self._told[history.job.job_id] = list(history.messages)

    def add_dataset(self, name: str, content: bytes) -> wire.Dataset:
        """Let a file have been uploaded."""
        dataset = wire.Dataset(
            dataset_id=f"file-{len(self.datasets) + 1}",
            filename=name,
            create_time=at(len(self.datasets)),
            size_bytes=len(content),
            row_count=content.count(b"\n"),
            sha256=hashlib.sha256(content).hexdigest(),
            common_keys=["answer", "id", "question"],
        )
        self.datasets[dataset.dataset_id] = dataset
        self.contents[dataset.dataset_id] = content
        return dataset

    def tell(self, job_id: str, message: wire.WatchJobResponse) -> None:
        """Let something happen to a job that may be watched."""
        with self._changed:
            self._told[job_id].append(message)
            self._changed.notify_all()

    def refuse(self, method: str, *errors: PinetuneError) -> None:
        """Let the next calls of `method` fail, one per error."""
        self._refusals[method] += errors

    def stop(self) -> None:
        """End all watches."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def CreateDataset(
        self, request_iterator: Iterator[wire.CreateDatasetRequest], context: grpc.ServicerContext
    ) -> wire.Dataset:
        header = next(request_iterator).header
        chunks = [piece.chunk for piece in request_iterator]
        self.chunk_sizes += map(len, chunks)
        return self._answer(context, "CreateDataset", lambda: self.add_dataset(header.filename, b"".join(chunks)))

    def GetDataset(self, request: wire.GetDatasetRequest, context: grpc.ServicerContext) -> wire.Dataset:
        return self._answer(context, "GetDataset", lambda: _found(self.datasets, request.dataset_id, "data set"))

    def ListDatasets(
        self, request: wire.ListDatasetsRequest, context: grpc.ServicerContext
    ) -> wire.ListDatasetsResponse:
        def answer() -> wire.ListDatasetsResponse:
            page, token = _page(list(self.datasets.values())[::-1], request.page_size, request.page_token)
            return wire.ListDatasetsResponse(datasets=page, next_page_token=token)

        return self._answer(context, "ListDatasets", answer)

    def DeleteDataset(
        self, request: wire.DeleteDatasetRequest, context: grpc.ServicerContext
    ) -> wire.DeleteDatasetResponse:
        def answer() -> wire.DeleteDatasetResponse:
            self.datasets.pop(request.dataset_id, None)
            return wire.DeleteDatasetResponse()

        return self._answer(context, "DeleteDataset", answer)

    def CheckDatasets(
        self, request: wire.CheckDatasetsRequest, context: grpc.ServicerContext
    ) -> wire.CheckDatasetsResponse:
        def answer() -> wire.CheckDatasetsResponse:
            _found(self.datasets, request.training_file, "data set")
            _found(self.datasets, request.validation_file, "data set")
            return wire.CheckDatasetsResponse(
                shared_prompt_count=1, shared_answer_count=2, validation_answer_count=9, shared_answers=["4", "7"]
            )

        return self._answer(context, "CheckDatasets", answer)

    def CreateJob(self, request: wire.CreateJobRequest, context: grpc.ServicerContext) -> wire.Job:
        def answer() -> wire.Job:
            if request.request_id not in self._requests:
                self.orders.append(request.spec_json)
                job_id = f"ftjob-{len(self.orders)}"
                spec = json.loads(request.spec_json)
                job = wire.Job(job_id=job_id, state=wire.JOB_STATE_QUEUED, create_time=at(len(self.orders)))
                job.spec.model = spec["model"]
                job.spec.method.type = spec["method"]["type"]
                self._requests[request.request_id] = job_id
                self.histories[job_id] = History(job)
            return self._job(self._requests[request.request_id])

        return self._answer(context, "CreateJob", answer)

    def GetJob(self, request: wire.GetJobRequest, context: grpc.ServicerContext) -> wire.Job:
        return self._answer(context, "GetJob", lambda: self._job(request.job_id))

    def ListJobs(self, request: wire.ListJobsRequest, context: grpc.ServicerContext) -> wire.ListJobsResponse:
        def answer() -> wire.ListJobsResponse:
            jobs = [history.job for history in self.histories.values()][::-1]
            if request.states:
                jobs = [job for job in jobs if job.state in request.states]
            page, token = _page(jobs, request.page_size, request.page_token)
            return wire.ListJobsResponse(jobs=page, next_page_token=token)

        return self._answer(context, "ListJobs", answer)

    def CancelJob(self, request: wire.CancelJobRequest, context: grpc.ServicerContext) -> wire.Job:
        return self._answer(context, "CancelJob", lambda: self._move(request.job_id, wire.JOB_STATE_CANCELLED))

    def PauseJob(self, request: wire.PauseJobRequest, context: grpc.ServicerContext) -> wire.Job:
        return self._answer(context, "PauseJob", lambda: self._move(request.job_id, wire.JOB_STATE_PAUSED))

    def ResumeJob(self, request: wire.ResumeJobRequest, context: grpc.ServicerContext) -> wire.Job:
        return self._answer(context, "ResumeJob", lambda: self._move(request.job_id, wire.JOB_STATE_QUEUED))

    def WatchJob(self, request: wire.WatchJobRequest, context: grpc.ServicerContext) -> Iterator[wire.WatchJobResponse]:
        self.watched_from.append(request.resume_token)
        self._answer(context, "WatchJob", lambda: self._job(request.job_id))
        context.send_initial_metadata(TAKEN)
        position, told = int(request.resume_token or 0), self._told[request.job_id]
        while context.is_active():
            with self._changed:
                if len(told) == position and not self._stopping:
                    self._changed.wait(0.2)
                if self._stopping:
                    context.abort(grpc.StatusCode.UNAVAILABLE, "the server stops")
                new = told[position:]
            for message in new:
                yield message
                position += 1
                if message.job.state in ENDED:
                    return

    def ListEvents(self, request: wire.ListEventsRequest, context: grpc.ServicerContext) -> wire.ListEventsResponse:
        def answer() -> wire.ListEventsResponse:
            self._job(request.job_id)
            events = [message.event for message in self._told[request.job_id]]
            page, token = _page(events, request.page_size, request.page_token)
            return wire.ListEventsResponse(events=page, next_page_token=token)

        return self._answer(context, "ListEvents", answer)

    def ListSteps(self, request: wire.ListStepsRequest, context: grpc.ServicerContext) -> wire.ListStepsResponse:
        def answer() -> wire.ListStepsResponse:
            steps = self._history(request.job_id).steps
            if request.phase:
                steps = [step for step in steps if step.phase == request.phase]
            page, token = _page(list(steps), request.page_size, request.page_token)
            return wire.ListStepsResponse(steps=page, next_page_token=token)

        return self._answer(context, "ListSteps", answer)

    def ListCheckpoints(
        self, request: wire.ListCheckpointsRequest, context: grpc.ServicerContext
    ) -> wire.ListCheckpointsResponse:
        def answer() -> wire.ListCheckpointsResponse:
            kept = list(self._history(request.job_id).checkpoints)
            page, token = _page(kept, request.page_size, request.page_token)
            return wire.ListCheckpointsResponse(checkpoints=page, next_page_token=token)

        return self._answer(context, "ListCheckpoints", answer)

    def ListRollouts(
        self, request: wire.ListRolloutsRequest, context: grpc.ServicerContext
    ) -> wire.ListRolloutsResponse:
        def answer() -> wire.ListRolloutsResponse:
            rollouts = self._rollouts(request.job_id, request.evaluation_id)
            if request.HasField("step"):
                rollouts = [rollout for rollout in rollouts if rollout.step == request.step]
            if request.purpose:
                rollouts = [rollout for rollout in rollouts if rollout.purpose == request.purpose]
            page, token = _page(rollouts, request.page_size, request.page_token)
            return wire.ListRolloutsResponse(rollouts=page, next_page_token=token)

        return self._answer(context, "ListRollouts", answer)

    def GetRollout(self, request: wire.GetRolloutRequest, context: grpc.ServicerContext) -> rollout_pb2.Rollout:
        def answer() -> rollout_pb2.Rollout:
            by_id = {r.completion.completion_id: r for r in self._rollouts(request.job_id, request.evaluation_id)}
            return _found(by_id, request.completion_id, "rollout")

        return self._answer(context, "GetRollout", answer)

    def CreateEvaluation(self, request: wire.CreateEvaluationRequest, context: grpc.ServicerContext) -> wire.Evaluation:
        def answer() -> wire.Evaluation:
            self.evaluation_orders.append(request.order)
            return wire.Evaluation(evaluation_id="eval-new", order=request.order, state=wire.JOB_STATE_QUEUED)

        return self._answer(context, "CreateEvaluation", answer)

    def GetEvaluation(self, request: wire.GetEvaluationRequest, context: grpc.ServicerContext) -> wire.Evaluation:
        return self._answer(context, "GetEvaluation", lambda: self._evaluation(request.evaluation_id))

    def ListEvaluations(
        self, request: wire.ListEvaluationsRequest, context: grpc.ServicerContext
    ) -> wire.ListEvaluationsResponse:
        def answer() -> wire.ListEvaluationsResponse:
            found = [e for e in self._evaluations().values() if request.job_id in ("", e.order.job_id)][::-1]
            page, token = _page(found, request.page_size, request.page_token)
            return wire.ListEvaluationsResponse(evaluations=page, next_page_token=token)

        return self._answer(context, "ListEvaluations", answer)

    def CompareEvaluations(
        self, request: wire.CompareEvaluationsRequest, context: grpc.ServicerContext
    ) -> wire.Comparison:
        def answer() -> wire.Comparison:
            chosen = [self._evaluation(evaluation_id) for evaluation_id in request.evaluation_ids]
            if len({evaluation.order.dataset_id for evaluation in chosen}) > 1:
                raise InvalidInput("evaluation_ids: their items differ", reason="ITEMS_DIFFER")
            return wire.Comparison(evaluations=chosen, differences=_differences(chosen))

        return self._answer(context, "CompareEvaluations", answer)

    def _answer(self, context: grpc.ServicerContext, method: str, answer: Callable[[], R]) -> R:
        self.calls.append(method)
        try:
            if self._refusals[method]:
                raise self._refusals[method].pop(0)
            return answer()
        except PinetuneError as error:
            context.abort_with_status(to_status(error))

    def _history(self, job_id: str) -> History:
        return _found(self.histories, job_id, "job")

    def _job(self, job_id: str) -> wire.Job:
        return self._history(job_id).job

    def _move(self, job_id: str, state: wire.JobState) -> wire.Job:
        job = self._job(job_id)
        if job.state in ENDED and state != job.state:
            raise Conflict(f"job {job_id} has ended; only a running job can be changed", reason="JOB_ENDED")
        job.state = state
        return job

    def _evaluations(self) -> dict[str, wire.Evaluation]:
        return {e.evaluation_id: e for history in self.histories.values() for e in history.evaluations}

    def _evaluation(self, evaluation_id: str) -> wire.Evaluation:
        return _found(self._evaluations(), evaluation_id, "evaluation")

    def _rollouts(self, job_id: str, evaluation_id: str) -> list[rollout_pb2.Rollout]:
        if job_id:
            return list(self._history(job_id).rollouts)
        self._evaluation(evaluation_id)
        return [r for h in self.histories.values() for r in h.evaluation_rollouts.get(evaluation_id, [])]


MISSING = rollout_pb2.Grade(
    error=rollout_pb2.GradeError(
        error_class=rollout_pb2.GRADE_ERROR_CLASS_INVALID_VARIABLE, detail="item.missing has no value in this sample"
    )
)
"""What a grader that reads `item.missing` gets."""


class FakeGrading(grading_pb2_grpc.GradingServiceServicer):
    """A grading service whose one grader finds the item's answer in the text."""

    def Grade(self, request: grading_pb2.GradeRequest, context: grpc.ServicerContext) -> grading_pb2.GradeResponse:
        if json.loads(request.grader.json).get("type") != "number":
            context.abort_with_status(to_status(InvalidInput("grader.type: not a known kind", reason="INVALID_GRADER")))
        indexes = request.item_indexes or range(len(request.output_texts))
        if "missing" in request.grader.json:
            return grading_pb2.GradeResponse(grades=[MISSING] * len(request.output_texts))
        items = [json.loads(request.items_json[index]) for index in indexes]
        return grading_pb2.GradeResponse(
            grades=[_grade(item, text) for item, text in zip(items, request.output_texts, strict=True)]
        )

    def ValidateGrader(
        self, request: grading_pb2.ValidateGraderRequest, context: grpc.ServicerContext
    ) -> grading_pb2.ValidateGraderResponse:
        grader = json.loads(request.grader.json)
        if grader.get("type") != "number":
            error = InvalidInput(
                "grader.type: 'nuber' is no kind of grader; did you mean number?", reason="INVALID_GRADER"
            )
            context.abort_with_status(to_status(error))
        text = json.dumps(grader, sort_keys=True)
        return grading_pb2.ValidateGraderResponse(json=text, fingerprint="f00d")


@contextlib.contextmanager
def serving(jobs: FakeJobs, port: int = 0) -> Iterator[str]:
    """Serve `jobs` and a fake grading service at 127.0.0.1; gives the address."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    add_JobsServiceServicer_to_server(jobs, server)
    grading_pb2_grpc.add_GradingServiceServicer_to_server(FakeGrading(), server)
    probes = health.HealthServicer()
    probes.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(probes, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        jobs.stop()
        probes.enter_graceful_shutdown()
        server.stop(0.2).wait()


M = TypeVar("M", bound=Message)


def _found(things: dict[str, R], key: str, what: str) -> R:
    if key not in things:
        raise NotFound(f"there is no {what} {key!r}", reason=f"{what.replace(' ', '_').upper()}_NOT_FOUND")
    return things[key]


def _page(things: list[M], size: int, token: str) -> tuple[list[M], str]:
    start = int(token or 0)
    end = start + min(size or 20, PAGE_SIZE_MAX)
    return things[start:end], str(end) if end < len(things) else ""


def _grade(item: dict[str, str], text: str) -> rollout_pb2.Grade:
    if "answer" not in item:
        detail = "item.answer is not there"
        return rollout_pb2.Grade(
            error=rollout_pb2.GradeError(error_class=rollout_pb2.GRADE_ERROR_CLASS_INVALID_VARIABLE, detail=detail)
        )
    return rollout_pb2.Grade(score=float(item["answer"] in text), extracted_answer=text.split()[-1])


def _differences(evaluations: list[wire.Evaluation]) -> list[wire.Difference]:
    first, *others = evaluations
    return [
        wire.Difference(
            evaluation_id=other.evaluation_id,
            baseline_id=first.evaluation_id,
            statistic=wire.Statistic(
                name=ours.name,
                value=ours.value - base.value,
                low=ours.value - base.value - 0.05,
                high=ours.value - base.value + 0.05,
                count=ours.count,
            ),
            better_count=60,
            worse_count=20,
        )
        for other in others
        for ours, base in zip(other.statistics, first.statistics, strict=True)
    ]
