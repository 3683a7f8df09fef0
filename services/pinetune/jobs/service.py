"""The users' door: data sets, jobs, evaluations, and everything that a job leaves behind.

Each method reads its request, asks the file that knows, and spells the answer; no rule of the trade stands here. Lists
come newest first, but for events and steps, which come in the order in which they happened.
"""

from collections.abc import Iterator

import grpc
from sqlalchemy.engine import Connection

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1.jobs_pb2_grpc import JobsServiceServicer
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.jobs import comparing, wishes
from pinetune.jobs.bell import Bell
from pinetune.jobs.creating import Creator
from pinetune.jobs.dataset import item_findings, overlap, read_items
from pinetune.jobs.messages import (
    STATE_FROM_WIRE,
    dataset_message,
    evaluation_message,
    finding_message,
    job_message,
    rollout_message,
)
from pinetune.jobs.paging import cut, page_size, position_of, token_of
from pinetune.jobs.rollout_pages import find_rollout, rollout_page
from pinetune.jobs.spec import dataset_settings_from_message
from pinetune.jobs.store import datasets, history
from pinetune.jobs.store.database import Database
from pinetune.jobs.store.evaluations import get_evaluation, list_evaluations
from pinetune.jobs.store.jobs import get_job, list_jobs
from pinetune.jobs.store.works import users_of_dataset
from pinetune.jobs.uploads import take_in
from pinetune.jobs.watching import Watching
from pinetune.pod.errors import Conflict, InvalidInput
from pinetune.pod.storage import delete_file

SHARED_ANSWERS_MAX = 20


class JobsServicer(JobsServiceServicer):
    """Serves users. `news` is rung for watchers, `queue` for the scheduler, both after the commit."""

    def __init__(
        self,
        database: Database,
        creator: Creator,
        watching: Watching,
        *,
        artifacts_uri: str,
        news: Bell,
        queue: Bell,
    ) -> None:
        self._database = database
        self._creator = creator
        self._watching = watching
        self._artifacts_uri = artifacts_uri
        self._news = news
        self._queue = queue

    # Data sets.

    def CreateDataset(
        self, request_iterator: Iterator[wire.CreateDatasetRequest], context: grpc.ServicerContext
    ) -> wire.Dataset:
        """Take a data set in after checking every row."""
        new = take_in(request_iterator, artifacts_uri=self._artifacts_uri)
        with self._database.write() as connection:
            datasets.insert_dataset(connection, new)
            return dataset_message(datasets.get_dataset(connection, new.dataset_id))

    def GetDataset(self, request: wire.GetDatasetRequest, context: grpc.ServicerContext) -> wire.Dataset:
        """Return one data set."""
        with self._database.read() as connection:
            return dataset_message(datasets.get_dataset(connection, request.dataset_id))

    def ListDatasets(
        self, request: wire.ListDatasetsRequest, context: grpc.ServicerContext
    ) -> wire.ListDatasetsResponse:
        """Return a page of data sets."""
        size, before = page_size(request.page_size), _before(request.page_token, "datasets")
        with self._database.read() as connection:
            rows, last = cut(datasets.list_datasets(connection, before=before, limit=size + 1), size)
        token = "" if last is None else token_of([last.number], scope="datasets")
        return wire.ListDatasetsResponse(datasets=map(dataset_message, rows), next_page_token=token)

    def DeleteDataset(
        self, request: wire.DeleteDatasetRequest, context: grpc.ServicerContext
    ) -> wire.DeleteDatasetResponse:
        """Delete a data set that nothing uses; one that is gone already is fine."""
        with self._database.write() as connection:
            dataset = datasets.find_dataset(connection, request.dataset_id, hold=datasets.Hold.FROM_USE)
            if dataset is None:
                return wire.DeleteDatasetResponse()
            if users := users_of_dataset(connection, request.dataset_id):
                raise Conflict(
                    f"{request.dataset_id} is used by {', '.join(users[:5])}; wait until they have ended, or cancel",
                    reason="DATASET_IN_USE",
                    dataset_id=request.dataset_id,
                )
            datasets.delete_dataset(connection, request.dataset_id)
        delete_file(dataset.uri)
        return wire.DeleteDatasetResponse()

    def CheckDatasets(
        self, request: wire.CheckDatasetsRequest, context: grpc.ServicerContext
    ) -> wire.CheckDatasetsResponse:
        """Say what two data sets share."""
        settings = dataset_settings_from_message(request.dataset)
        with self._database.read() as connection:
            names = {"training_file": request.training_file, "validation_file": request.validation_file}
            uris = [datasets.get_dataset(connection, name, field=field).uri for field, name in names.items()]
        training, validation = (read_items(uri, settings) for uri in uris)
        shared = overlap(training, validation)
        return wire.CheckDatasetsResponse(
            shared_prompt_count=len(shared.shared_prompt_ids),
            shared_answer_count=len(shared.shared_answers),
            validation_answer_count=shared.validation_answer_count,
            shared_answers=shared.shared_answers[:SHARED_ANSWERS_MAX],
            findings=map(finding_message, item_findings(training, settings)),
        )

    # Jobs.

    def CreateJob(self, request: wire.CreateJobRequest, context: grpc.ServicerContext) -> wire.Job:
        """Check an order and queue its job."""
        job_id = self._creator.create_job(request)
        self._ring()
        return self._job(job_id)

    def GetJob(self, request: wire.GetJobRequest, context: grpc.ServicerContext) -> wire.Job:
        """Return one job."""
        return self._job(request.job_id)

    def ListJobs(self, request: wire.ListJobsRequest, context: grpc.ServicerContext) -> wire.ListJobsResponse:
        """Return a page of jobs."""
        size, before = page_size(request.page_size), _before(request.page_token, "jobs")
        states = [STATE_FROM_WIRE[state] for state in request.states if state in STATE_FROM_WIRE]
        if len(states) < len(request.states):
            raise InvalidInput("states has one that does not exist", reason="INVALID_STATE", field="states")
        with self._database.read() as connection:
            rows, last = cut(list_jobs(connection, before=before, states=states, limit=size + 1), size)
            jobs = [job_message(connection, row) for row in rows]
        token = "" if last is None else token_of([last.work.number], scope="jobs")
        return wire.ListJobsResponse(jobs=jobs, next_page_token=token)

    def CancelJob(self, request: wire.CancelJobRequest, context: grpc.ServicerContext) -> wire.Job:
        """Stop a job for good."""
        with self._database.write() as connection:
            wishes.cancel(connection, request.job_id)
        self._ring()
        return self._job(request.job_id)

    def PauseJob(self, request: wire.PauseJobRequest, context: grpc.ServicerContext) -> wire.Job:
        """Stop a job at its next step."""
        with self._database.write() as connection:
            wishes.pause(connection, request.job_id)
        self._ring()
        return self._job(request.job_id)

    def ResumeJob(self, request: wire.ResumeJobRequest, context: grpc.ServicerContext) -> wire.Job:
        """Queue a paused job again."""
        with self._database.write() as connection:
            wishes.resume(connection, request.job_id)
        self._ring()
        return self._job(request.job_id)

    def WatchJob(self, request: wire.WatchJobRequest, context: grpc.ServicerContext) -> Iterator[wire.WatchJobResponse]:
        """Stream a job's events until it has ended."""
        return self._watching.watch(request, context)

    # What a job leaves behind.

    def ListEvents(self, request: wire.ListEventsRequest, context: grpc.ServicerContext) -> wire.ListEventsResponse:
        """Return a page of a job's events."""
        size, scope = page_size(request.page_size), f"{request.job_id}/events"
        after = _before(request.page_token, scope) or 0
        with self._database.read() as connection:
            get_job(connection, request.job_id)
            rows, last = cut(history.list_events(connection, request.job_id, after=after, limit=size + 1), size)
        token = "" if last is None else token_of([last.number], scope=scope)
        events = [wire.Event.FromString(row.event_message) for row in rows]
        return wire.ListEventsResponse(events=events, next_page_token=token)

    def ListSteps(self, request: wire.ListStepsRequest, context: grpc.ServicerContext) -> wire.ListStepsResponse:
        """Return a page of a job's steps."""
        size, scope = page_size(request.page_size), f"{request.job_id}/steps/{request.phase}"
        after = _before(request.page_token, scope) or 0
        with self._database.read() as connection:
            get_job(connection, request.job_id)
            found = history.list_steps(
                connection, request.job_id, phase=request.phase or None, after=after, limit=size + 1
            )
        rows, last = cut(found, size)
        token = "" if last is None else token_of([last.event_number], scope=scope)
        steps = [wire.Step.FromString(row.step_message) for row in rows]
        return wire.ListStepsResponse(steps=steps, next_page_token=token)

    def ListCheckpoints(
        self, request: wire.ListCheckpointsRequest, context: grpc.ServicerContext
    ) -> wire.ListCheckpointsResponse:
        """Return a page of a job's checkpoints."""
        size, scope = page_size(request.page_size), f"{request.job_id}/checkpoints"
        before = _before(request.page_token, scope)
        with self._database.read() as connection:
            get_job(connection, request.job_id)
            found = history.list_checkpoints(connection, request.job_id, before=before, limit=size + 1)
        rows, last = cut(found, size)
        token = "" if last is None else token_of([last.number], scope=scope)
        kept = [wire.Checkpoint.FromString(row.checkpoint_message) for row in rows]
        return wire.ListCheckpointsResponse(checkpoints=kept, next_page_token=token)

    def ListRollouts(
        self, request: wire.ListRolloutsRequest, context: grpc.ServicerContext
    ) -> wire.ListRolloutsResponse:
        """Return a page of rollouts without their tokens."""
        owner = _owner(request.job_id, request.evaluation_id)
        step = request.step if request.HasField("step") else None
        size, scope = page_size(request.page_size), f"{owner}/rollouts/{step}/{request.purpose}"
        position = position_of(request.page_token, scope=scope, length=2) or (0, 0)
        with self._database.read() as connection:
            self._check_owner(connection, request.job_id, request.evaluation_id)
            files = history.list_rollout_files(connection, owner, step=step, purpose=request.purpose or None)
        page = rollout_page(files, position=(position[0], position[1]), size=size)
        token = "" if page.next_position is None else token_of(page.next_position, scope=scope)
        rollouts = [rollout_message(rollout, with_tokens=False) for rollout in page.rollouts]
        return wire.ListRolloutsResponse(rollouts=rollouts, next_page_token=token)

    def GetRollout(self, request: wire.GetRolloutRequest, context: grpc.ServicerContext) -> rollout_pb2.Rollout:
        """Return one rollout with its tokens."""
        owner = _owner(request.job_id, request.evaluation_id)
        with self._database.read() as connection:
            self._check_owner(connection, request.job_id, request.evaluation_id)
            files = history.list_rollout_files(connection, owner)
        return rollout_message(find_rollout(files, request.completion_id), with_tokens=True)

    # Evaluations.

    def CreateEvaluation(self, request: wire.CreateEvaluationRequest, context: grpc.ServicerContext) -> wire.Evaluation:
        """Check what to measure and queue it."""
        evaluation_id = self._creator.create_evaluation(request)
        self._ring()
        return self._evaluation(evaluation_id)

    def GetEvaluation(self, request: wire.GetEvaluationRequest, context: grpc.ServicerContext) -> wire.Evaluation:
        """Return one evaluation."""
        return self._evaluation(request.evaluation_id)

    def ListEvaluations(
        self, request: wire.ListEvaluationsRequest, context: grpc.ServicerContext
    ) -> wire.ListEvaluationsResponse:
        """Return a page of evaluations."""
        size, scope = page_size(request.page_size), f"{request.job_id}/evaluations"
        before = _before(request.page_token, scope)
        with self._database.read() as connection:
            found = list_evaluations(connection, before=before, job_id=request.job_id, limit=size + 1)
        rows, last = cut(found, size)
        token = "" if last is None else token_of([last.work.number], scope=scope)
        return wire.ListEvaluationsResponse(evaluations=map(evaluation_message, rows), next_page_token=token)

    def CompareEvaluations(
        self, request: wire.CompareEvaluationsRequest, context: grpc.ServicerContext
    ) -> wire.Comparison:
        """Set evaluations side by side, paired per item."""
        with self._database.read() as connection:
            found = [get_evaluation(connection, evaluation_id) for evaluation_id in request.evaluation_ids]
        return comparing.compare([evaluation_message(evaluation) for evaluation in found])

    def _ring(self) -> None:
        self._news.ring()
        self._queue.ring()

    def _job(self, job_id: str) -> wire.Job:
        with self._database.read() as connection:
            return job_message(connection, get_job(connection, job_id))

    def _evaluation(self, evaluation_id: str) -> wire.Evaluation:
        with self._database.read() as connection:
            return evaluation_message(get_evaluation(connection, evaluation_id))

    def _check_owner(self, connection: Connection, job_id: str, evaluation_id: str) -> None:
        if job_id:
            get_job(connection, job_id)
        else:
            get_evaluation(connection, evaluation_id)


def _before(token: str, scope: str) -> int | None:
    position = position_of(token, scope=scope)
    return None if position is None else position[0]


def _owner(job_id: str, evaluation_id: str) -> str:
    if bool(job_id) == bool(evaluation_id):
        raise InvalidInput("give a job_id or an evaluation_id, one of the two", reason="INVALID_OWNER", field="job_id")
    return job_id or evaluation_id
