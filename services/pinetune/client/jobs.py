"""Client of the jobs service: data sets, jobs, evaluations, and everything a job leaves behind, as messages.

A server that is away for a moment, for an update say, is waited for: calls that may be repeated are, and those that
may not (`pause_job`, `resume_job`, an upload) are made once, when it is there; one of these fails where it is under way
just then. `watch` goes on after an interruption where it was interrupted.

    with connect("localhost:50051") as channel:
        client = JobsClient(channel)
        dataset = client.create_dataset(Path("train.jsonl"))
        job = client.create_job(json.dumps({"model": "nano", "training_file": dataset.dataset_id, ...}))
        for message in client.watch(job.job_id):
            print(message.event.message)
"""

import contextlib
import hashlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import grpc

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1.jobs_pb2_grpc import JobsServiceStub
from pinetune.api.jobs.v1.spec_pb2 import DatasetSettings, JobSpec
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.calls import FIRST_PAUSE_SECONDS, Unary, call, call_safe, is_serving, stream, wait_until_serving
from pinetune.pod.errors import Cancelled, PinetuneError, TimedOut, Unavailable, from_rpc_error

CALL_DEADLINE_SECONDS = 30.0
CHECK_DEADLINE_SECONDS = 300.0
"""For calls that read whole data sets or rollout files."""
UPLOAD_DEADLINE_SECONDS = 3600.0
WATCH_DEADLINE_SECONDS = 3600.0
"""How long one stream of a watch lasts; the next one goes on where it ended."""
LONGEST_PAUSE_SECONDS = 10.0
STANDING_SECONDS = 60.0
"""A quiet stream that lasted this long had a server behind it: no attempt to connect takes as long."""
PATIENCE_SECONDS = 60.0
"""How long a call tries to reach a server that is away: a new release is up by then."""
WATCH_PATIENCE_SECONDS = 300.0
"""How long a watch does."""
CHUNK_BYTES = 1 << 20
PAGE_SIZE = 200

ENDED = frozenset({wire.JOB_STATE_SUCCEEDED, wire.JOB_STATE_FAILED, wire.JOB_STATE_CANCELLED})
"""States that a job or an evaluation does not leave."""
UNDER_WAY = frozenset({wire.JOB_STATE_VALIDATING, wire.JOB_STATE_QUEUED, wire.JOB_STATE_RUNNING})
"""States that change without anyone asking for it."""

Progress = Callable[[int, int], None]
"""Told the bytes sent so far and the bytes in all."""
Q = TypeVar("Q")
R = TypeVar("R")


class _Page(Protocol):
    @property
    def next_page_token(self) -> str: ...


P = TypeVar("P", bound=_Page)


class JobsClient:
    """Speaks to one jobs service over a channel that the caller opens and closes."""

    def __init__(
        self,
        channel: grpc.Channel,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        away: Callable[[PinetuneError], None] = lambda error: None,
    ) -> None:
        """Have each call wait up to `patience_seconds` for a server that is away, 0 not at all; `away` is told once."""
        self._channel = channel
        self._stub = JobsServiceStub(channel)
        self._patience_seconds = patience_seconds
        self._away = away

    def create_dataset(
        self, source: Path | bytes, *, filename: str | None = None, progress: Progress | None = None
    ) -> wire.Dataset:
        """Upload a file, or bytes under `filename`; raises InvalidInput that names the bad lines."""
        if isinstance(source, bytes) and not filename:
            raise ValueError("bytes need a filename")
        name = filename or (source.name if isinstance(source, Path) else "")
        self._await_server()
        try:
            return self._stub.CreateDataset(_pieces(source, name, progress), timeout=UPLOAD_DEADLINE_SECONDS)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def find_dataset(self, source: Path, *, filename: str | None = None) -> wire.Dataset | None:
        """Return the newest uploaded data set with this file's name and content, None where there is none."""
        name, digest, size = filename or source.name, sha256_of(source), source.stat().st_size
        same = (d for d in self.list_datasets() if (d.filename, d.sha256, d.size_bytes) == (name, digest, size))
        return next(same, None)

    def get_dataset(self, dataset_id: str) -> wire.Dataset:
        """Return one data set."""
        return self._safe(self._stub.GetDataset, wire.GetDatasetRequest(dataset_id=dataset_id))

    def list_datasets(self) -> Iterator[wire.Dataset]:
        """Yield all data sets, newest first."""
        for page in self._pages(
            self._stub.ListDatasets, lambda t: wire.ListDatasetsRequest(page_size=PAGE_SIZE, page_token=t)
        ):
            yield from page.datasets

    def delete_dataset(self, dataset_id: str) -> None:
        """Delete a data set; raises Conflict while a job uses it."""
        self._safe(self._stub.DeleteDataset, wire.DeleteDatasetRequest(dataset_id=dataset_id))

    def check_datasets(
        self, training_file: str, validation_file: str, settings: DatasetSettings | None = None
    ) -> wire.CheckDatasetsResponse:
        """Say what two data sets share: prompts, rows, reference answers."""
        request = wire.CheckDatasetsRequest(
            training_file=training_file, validation_file=validation_file, dataset=settings
        )
        return self._safe(self._stub.CheckDatasets, request, deadline_seconds=CHECK_DEADLINE_SECONDS)

    def create_job(self, order: JobSpec | str, *, request_id: str | None = None) -> wire.Job:
        """Order a job, as a message or as JSON text in the openai API's spelling.

        The request id makes a repeated call harmless; give one to make your own repetitions harmless too.
        """
        request = wire.CreateJobRequest(request_id=request_id or new_request_id())
        if isinstance(order, str):
            request.spec_json = order
        else:
            request.spec.CopyFrom(order)
        return self._safe(self._stub.CreateJob, request, deadline_seconds=CHECK_DEADLINE_SECONDS)

    def get_job(self, job_id: str) -> wire.Job:
        """Return one job."""
        return self._safe(self._stub.GetJob, wire.GetJobRequest(job_id=job_id))

    def list_jobs(self, states: Iterable[wire.JobState] = ()) -> Iterator[wire.Job]:
        """Yield the jobs in any of `states`, or all, newest first."""
        wanted = list(states)
        for page in self._pages(
            self._stub.ListJobs, lambda t: wire.ListJobsRequest(page_size=PAGE_SIZE, page_token=t, states=wanted)
        ):
            yield from page.jobs

    def cancel_job(self, job_id: str) -> wire.Job:
        """Stop a job for good."""
        return self._safe(self._stub.CancelJob, wire.CancelJobRequest(job_id=job_id))

    def pause_job(self, job_id: str) -> wire.Job:
        """Stop a job at its next step with a checkpoint."""
        return self._once(self._stub.PauseJob, wire.PauseJobRequest(job_id=job_id))

    def resume_job(self, job_id: str) -> wire.Job:
        """Queue a paused job again."""
        return self._once(self._stub.ResumeJob, wire.ResumeJobRequest(job_id=job_id))

    def watch(
        self,
        job_id: str,
        *,
        resume_token: str = "",
        patience_seconds: float = WATCH_PATIENCE_SECONDS,
        interrupted: Callable[[PinetuneError], None] = lambda error: None,
        restored: Callable[[], None] = lambda: None,
    ) -> Iterator[wire.WatchJobResponse]:
        """Yield a job's events after `resume_token`, then each new one, until the job has ended.

        Where the server goes away, `interrupted` is told and the watch goes on with the last token as soon as the
        server is back, of which `restored` is told. Raises the last error after `patience_seconds` without a server.
        """
        token, state = resume_token, wire.JOB_STATE_UNSPECIFIED
        outage = _Outage(patience_seconds, interrupted, restored)
        while True:
            request = wire.WatchJobRequest(job_id=job_id, resume_token=token)
            outage.attempt()
            try:
                for message in stream(
                    self._stub.WatchJob, request, deadline_seconds=WATCH_DEADLINE_SECONDS, opened=outage.back
                ):
                    outage.over()
                    token, state = message.resume_token, message.job.state
                    yield message
            except TimedOut:
                outage.over()
                continue  # Our own deadline on a quiet stream; no news for anyone.
            except (Unavailable, Cancelled) as error:
                outage.wait(error)
                continue
            if state not in UNDER_WAY:
                return
            # The stream of a job that goes on ends properly only where the server stops.
            outage.wait(
                Unavailable(f"the server ended the stream of job {job_id}, which goes on", reason="STREAM_ENDED")
            )

    def list_events(self, job_id: str) -> Iterator[wire.Event]:
        """Yield a job's events, oldest first."""
        for page in self._pages(
            self._stub.ListEvents, lambda t: wire.ListEventsRequest(job_id=job_id, page_size=PAGE_SIZE, page_token=t)
        ):
            yield from page.events

    def list_steps(self, job_id: str, phase: wire.JobPhase = wire.JOB_PHASE_UNSPECIFIED) -> Iterator[wire.Step]:
        """Yield a job's steps, or those of one phase, oldest first."""
        for page in self._pages(
            self._stub.ListSteps,
            lambda t: wire.ListStepsRequest(job_id=job_id, page_size=PAGE_SIZE, page_token=t, phase=phase),
        ):
            yield from page.steps

    def list_checkpoints(self, job_id: str) -> Iterator[wire.Checkpoint]:
        """Yield a job's checkpoints, newest first."""
        for page in self._pages(
            self._stub.ListCheckpoints,
            lambda t: wire.ListCheckpointsRequest(job_id=job_id, page_size=PAGE_SIZE, page_token=t),
        ):
            yield from page.checkpoints

    def rollouts_page(self, request: wire.ListRolloutsRequest) -> wire.ListRolloutsResponse:
        """Return one page of a job's or an evaluation's rollouts."""
        return self._safe(self._stub.ListRollouts, request, deadline_seconds=CHECK_DEADLINE_SECONDS)

    def list_rollouts(
        self,
        *,
        job_id: str = "",
        evaluation_id: str = "",
        step: int | None = None,
        purpose: rollout_pb2.RolloutPurpose = rollout_pb2.ROLLOUT_PURPOSE_UNSPECIFIED,
    ) -> Iterator[rollout_pb2.Rollout]:
        """Yield the rollouts of a job or of an evaluation in the order of their sampling, without tokens."""

        def request(page_token: str) -> wire.ListRolloutsRequest:
            return wire.ListRolloutsRequest(
                job_id=job_id,
                evaluation_id=evaluation_id,
                step=step,
                purpose=purpose,
                page_size=PAGE_SIZE,
                page_token=page_token,
            )

        for page in self._pages(self._stub.ListRollouts, request, deadline_seconds=CHECK_DEADLINE_SECONDS):
            yield from page.rollouts

    def get_rollout(self, completion_id: str, *, job_id: str = "", evaluation_id: str = "") -> rollout_pb2.Rollout:
        """Return one rollout with its tokens."""
        request = wire.GetRolloutRequest(job_id=job_id, evaluation_id=evaluation_id, completion_id=completion_id)
        return self._safe(self._stub.GetRollout, request, deadline_seconds=CHECK_DEADLINE_SECONDS)

    def create_evaluation(self, order: wire.EvaluationOrder, *, request_id: str | None = None) -> wire.Evaluation:
        """Order a measurement; the request id makes a repeated call harmless."""
        request = wire.CreateEvaluationRequest(order=order, request_id=request_id or new_request_id())
        return self._safe(self._stub.CreateEvaluation, request, deadline_seconds=CHECK_DEADLINE_SECONDS)

    def get_evaluation(self, evaluation_id: str) -> wire.Evaluation:
        """Return one evaluation."""
        return self._safe(self._stub.GetEvaluation, wire.GetEvaluationRequest(evaluation_id=evaluation_id))

    def list_evaluations(self, job_id: str = "") -> Iterator[wire.Evaluation]:
        """Yield the evaluations of one job, or all, newest first."""
        for page in self._pages(
            self._stub.ListEvaluations,
            lambda t: wire.ListEvaluationsRequest(job_id=job_id, page_size=PAGE_SIZE, page_token=t),
        ):
            yield from page.evaluations

    def compare_evaluations(self, evaluation_ids: Iterable[str]) -> wire.Comparison:
        """Set evaluations side by side, paired per item; the first is the baseline."""
        request = wire.CompareEvaluationsRequest(evaluation_ids=list(evaluation_ids))
        return self._safe(self._stub.CompareEvaluations, request, deadline_seconds=CHECK_DEADLINE_SECONDS)

    def _safe(self, method: Unary[Q, R], request: Q, *, deadline_seconds: float = CALL_DEADLINE_SECONDS) -> R:
        """Make a call that may be repeated."""
        return call_safe(
            method,
            request,
            deadline_seconds=deadline_seconds,
            patience_seconds=self._patience_seconds,
            away=self._away,
        )

    def _once(self, method: Unary[Q, R], request: Q) -> R:
        """Make a call that may not be repeated."""
        self._await_server()
        return call(method, request, deadline_seconds=CALL_DEADLINE_SECONDS)

    def _await_server(self) -> None:
        """Wait for a server that is away; the call that follows says what is wrong where it stays away."""
        # What has no health service, a proxy for example, answers otherwise than that nobody is there.
        with contextlib.suppress(PinetuneError):
            if self._patience_seconds > 0 and not is_serving(self._channel):
                self._away(Unavailable("the jobs service is away", reason="NOT_SERVING"))
                wait_until_serving(self._channel, "the jobs service", seconds=self._patience_seconds)

    def _pages(
        self, method: Unary[Q, P], request: Callable[[str], Q], *, deadline_seconds: float = CALL_DEADLINE_SECONDS
    ) -> Iterator[P]:
        """Yield page after page; `request` makes the request for a page token."""
        token = ""
        while True:
            page = self._safe(method, request(token), deadline_seconds=deadline_seconds)
            yield page
            token = page.next_page_token
            if not token:
                return


def new_request_id() -> str:
    """Return a fresh id that makes a create idempotent."""
    return uuid.uuid4().hex


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Outage:
    """Counts the time without a server and spaces the attempts to come back."""

    def __init__(
        self, patience_seconds: float, interrupted: Callable[[PinetuneError], None], restored: Callable[[], None]
    ) -> None:
        self._patience_seconds = patience_seconds
        self._interrupted, self._restored = interrupted, restored
        self._attempt_time = 0.0
        self._start_time: float | None = None
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._is_back = False
        """Whether the server has taken a stream since, and `restored` was told."""

    def attempt(self) -> None:
        """A stream is about to be opened."""
        self._attempt_time = time.monotonic()

    def back(self) -> None:
        """The server has taken the stream; patience goes on until something comes of it."""
        if self._start_time is not None and not self._is_back:
            self._is_back = True
            self._restored()

    def over(self) -> None:
        """The server is there."""
        self.back()
        self._start_time, self._pause_seconds, self._is_back = None, FIRST_PAUSE_SECONDS, False

    def wait(self, error: PinetuneError) -> None:
        """Sleep before the next attempt; raises `error` once patience is at its end."""
        now = time.monotonic()
        if now - self._attempt_time > STANDING_SECONDS:
            self.over()
        is_new = self._start_time is None or self._is_back
        start_time = now if self._start_time is None else self._start_time
        if now + self._pause_seconds - start_time > self._patience_seconds:
            raise error
        self._start_time, self._is_back = start_time, False
        if is_new:
            self._interrupted(error)
        time.sleep(self._pause_seconds)
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)


def _pieces(source: Path | bytes, filename: str, progress: Progress | None) -> Iterator[wire.CreateDatasetRequest]:
    """Yield the header and the chunks of an upload. gRPC asks for them from a thread of its own."""
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    yield wire.CreateDatasetRequest(header=wire.DatasetHeader(filename=filename, size_bytes=size))
    sent = 0
    for chunk in _chunks(source):
        yield wire.CreateDatasetRequest(chunk=chunk)
        sent += len(chunk)
        if progress is not None:
            progress(sent, size)


def _chunks(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        for start in range(0, len(source), CHUNK_BYTES):
            yield source[start : start + CHUNK_BYTES]
        return
    with source.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
