"""The workers' door: one call, one transaction. Only the worker that holds the lease gets in.

A step counts once it is committed, and once only. A worker that takes work over first takes back what its predecessor
committed after the checkpoint that it goes on from; those steps are done again, and the history is then that of a job
that was never interrupted.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from sqlalchemy.engine import Connection

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1 import worker_pb2
from pinetune.api.jobs.v1.spec_pb2 import JobSpec
from pinetune.api.jobs.v1.worker_pb2_grpc import WorkerServiceServicer
from pinetune.jobs import checkpoints, events, metrics
from pinetune.jobs.bell import Bell
from pinetune.jobs.ending import end_work
from pinetune.jobs.measured import commit_evaluation
from pinetune.jobs.messages import STATE_FROM_WIRE, evaluation_message, job_message
from pinetune.jobs.model_names import model_name
from pinetune.jobs.moments import now
from pinetune.jobs.states import State, Wish
from pinetune.jobs.steps import commit_step, take_back_steps
from pinetune.jobs.store import history
from pinetune.jobs.store.database import Database
from pinetune.jobs.store.evaluations import get_evaluation
from pinetune.jobs.store.jobs import get_job, update_job
from pinetune.jobs.store.leases import claim_attempt, note_told_events, told_events, touch_attempt
from pinetune.jobs.store.works import EVALUATION, JOB, Fault, Work, dataset_uris, get_work, update_work
from pinetune.jobs.wanted_replicas import WantedReplicas
from pinetune.jobs.wishes import resume
from pinetune.jobs.work_orders import artifacts_of, model_of
from pinetune.pod.errors import Conflict, InvalidInput

ACTIONS = {
    Wish.NONE: worker_pb2.WORKER_ACTION_CONTINUE,
    Wish.CANCEL: worker_pb2.WORKER_ACTION_CANCEL,
    Wish.PAUSE: worker_pb2.WORKER_ACTION_PAUSE,
}
PHASE_SENTENCES = {
    wire.JOB_PHASE_PREPARING: "the worker makes ready",
    wire.JOB_PHASE_WARM_UP: "the warm-up begins",
    wire.JOB_PHASE_TRAINING: "the training begins",
    wire.JOB_PHASE_COMPARING: "the final comparison begins",
}
ENDS = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.PAUSED})
"""How a worker may end its work."""


@dataclass(frozen=True)
class Held:
    """Work in the hands of the worker that calls, inside the call's transaction."""

    connection: Connection
    """The transaction."""
    work: Work
    """As it was when the call came."""
    moment: int
    """When that was."""


class WorkerServicer(WorkerServiceServicer):
    """Serves workers. `news` is rung for watchers, `queue` for the scheduler, both after the commit."""

    def __init__(
        self, database: Database, *, artifacts_uri: str, news: Bell, queue: Bell, wanted: WantedReplicas
    ) -> None:
        self._database = database
        self._artifacts_uri = artifacts_uri
        self._news = news
        self._queue = queue
        self._wanted = wanted

    def ClaimWork(
        self, request: worker_pb2.ClaimWorkRequest, context: grpc.ServicerContext
    ) -> worker_pb2.ClaimWorkResponse:
        """Hand the work over, as it stands at its newest checkpoint; the same claim again tells nothing anew."""
        lease = worker_pb2.Lease(work_id=request.work_id, attempt=request.attempt)
        with self._held(lease) as held:
            is_first = claim_attempt(held.connection, held.work.work_id, held.work.attempt, now=held.moment)
            uris = dataset_uris(held.connection, held.work.work_id)
            response = worker_pb2.ClaimWorkResponse(lease=lease, dataset_uris=uris)
            if held.work.kind == EVALUATION:
                self._hand_over_evaluation(held, response)
            else:
                self._hand_over_job(held, response, is_first=is_first)
        self._news.ring()
        return response

    def Heartbeat(
        self, request: worker_pb2.HeartbeatRequest, context: grpc.ServicerContext
    ) -> worker_pb2.HeartbeatResponse:
        """Note that the worker is alive, what it does and wants; answer with what the user wants."""
        # Before the wait for the database, in which a later heartbeat may overtake this one.
        came = time.monotonic()
        with self._held(request.lease) as held:
            work_id, wanted = held.work.work_id, request.wanted_replicas
            if wanted:
                _refuse_unordered_replicas(held.work, wanted)
            update_work(held.connection, work_id, waiting_for=request.waiting_for)
            if held.work.kind == JOB:
                _note_plan(held.connection, work_id, request)
                metrics.note_heartbeat(work_id, request.phase, held.moment)
            begins = request.phase not in (held.work.phase, wire.JOB_PHASE_UNSPECIFIED)
            if begins:
                update_work(held.connection, work_id, phase=request.phase)
                sentence = PHASE_SENTENCES[request.phase]
                events.record(held.connection, held.work, sentence, moment=held.moment, kind=wire.EVENT_TYPE_STATE)
        if begins:
            self._news.ring()
        if wanted and self._wanted.note(work_id, held.work.attempt, wanted, moment=came):
            self._queue.ring()
        return worker_pb2.HeartbeatResponse(action=ACTIONS[held.work.wish])

    def CommitStep(
        self, request: worker_pb2.CommitStepRequest, context: grpc.ServicerContext
    ) -> worker_pb2.CommitStepResponse:
        """Commit a step; the same one again changes nothing."""
        with self._held(request.lease) as held:
            _refuse_evaluation(held.work, "steps")
            usage = request.usage.SerializeToString()
            committed = commit_step(held.connection, held.work, request.step, usage=usage, moment=held.moment)
        if committed is not None:
            metrics.note_step(held.work.work_id, committed)
            self._news.ring()
        return worker_pb2.CommitStepResponse(action=ACTIONS[held.work.wish])

    def CommitCheckpoint(
        self, request: worker_pb2.CommitCheckpointRequest, context: grpc.ServicerContext
    ) -> worker_pb2.CommitCheckpointResponse:
        """Record a checkpoint and say which folders nothing needs any more."""
        with self._held(request.lease) as held:
            _refuse_evaluation(held.work, "checkpoints")
            spec = JobSpec.FromString(held.work.order_message)
            checkpoint, deletable, is_new = checkpoints.keep(
                held.connection,
                held.work,
                request.checkpoint,
                model_name=model_name(spec, held.work.work_id),
                keep_best=spec.pinetune.checkpoints.keep_best,
                moment=held.moment,
            )
            if is_new:
                sentence = checkpoints.sentence(checkpoint)
                events.record(held.connection, held.work, sentence, moment=held.moment, kind=wire.EVENT_TYPE_CHECKPOINT)
        self._news.ring()
        return worker_pb2.CommitCheckpointResponse(checkpoint=checkpoint, deletable_uris=deletable)

    def AppendEvents(
        self, request: worker_pb2.AppendEventsRequest, context: grpc.ServicerContext
    ) -> worker_pb2.AppendEventsResponse:
        """Add sentences to the job's story; those that are in it already, by their number, are not told again."""
        with self._held(request.lease) as held:
            for event in _untold(held, request):
                level = event.level or wire.EVENT_LEVEL_INFO
                happened = event.create_time.ToMicroseconds() if event.HasField("create_time") else held.moment
                moment = min(happened, held.moment)  # Another machine's clock may be ahead.
                events.record(held.connection, held.work, event.message, moment=moment, level=level)
        self._news.ring()
        return worker_pb2.AppendEventsResponse()

    def CommitEvaluation(
        self, request: worker_pb2.CommitEvaluationRequest, context: grpc.ServicerContext
    ) -> worker_pb2.CommitEvaluationResponse:
        """Record what was measured."""
        with self._held(request.lease) as held:
            evaluation = commit_evaluation(held.connection, held.work, request.evaluation, moment=held.moment)
            message = evaluation_message(evaluation)
        return worker_pb2.CommitEvaluationResponse(evaluation=message)

    def FinishWork(
        self, request: worker_pb2.FinishWorkRequest, context: grpc.ServicerContext
    ) -> worker_pb2.FinishWorkResponse:
        """End the work; saying so again changes nothing."""
        state = STATE_FROM_WIRE.get(request.state)
        if state not in ENDS:
            raise InvalidInput(f"state must be one of {', '.join(sorted(ENDS))}", reason="INVALID_STATE", field="state")
        with self._database.write() as connection:
            work = get_work(connection, request.lease.work_id)
            if work.attempt == request.lease.attempt and work.state is state:
                return worker_pb2.FinishWorkResponse()
            _refuse_stale(work, request.lease)
            _finish(connection, work, state, request, moment=now())
        self._news.ring()
        self._queue.ring()
        return worker_pb2.FinishWorkResponse()

    @contextmanager
    def _held(self, lease: worker_pb2.Lease) -> Iterator[Held]:
        """Open the call's transaction; raises Conflict where the caller does not hold the work."""
        with self._database.write() as connection:
            work = get_work(connection, lease.work_id)
            _refuse_stale(work, lease)
            moment = now()
            touch_attempt(connection, work.work_id, work.attempt, now=moment)
            yield Held(connection, work, moment)

    def _hand_over_evaluation(self, held: Held, response: worker_pb2.ClaimWorkResponse) -> None:
        evaluation = get_evaluation(held.connection, held.work.work_id)
        response.evaluation.CopyFrom(evaluation_message(evaluation))
        response.artifacts_uri = artifacts_of(self._artifacts_uri, held.work)
        response.model_uri = model_of(self._artifacts_uri, held.work)

    def _hand_over_job(self, held: Held, response: worker_pb2.ClaimWorkResponse, *, is_first: bool) -> None:
        job_id = held.work.work_id
        checkpoint = take_back_steps(held.connection, held.work, moment=held.moment, tell=is_first)
        if checkpoint is not None:
            response.checkpoint.ParseFromString(checkpoint.checkpoint_message)
        response.job.CopyFrom(job_message(held.connection, get_job(held.connection, job_id)))
        response.artifacts_uri = artifacts_of(self._artifacts_uri, held.work)
        response.model_uri = model_of(self._artifacts_uri, held.work)
        for row in history.list_checkpoints(held.connection, job_id):
            response.kept_checkpoints.add().ParseFromString(row.checkpoint_message)


def _refuse_stale(work: Work, lease: worker_pb2.Lease) -> None:
    if lease.attempt != work.attempt:
        metrics.STALE_CALLS.inc()
        raise Conflict(
            f"attempt {lease.attempt} of {work.work_id} was given up; attempt {work.attempt} has the work",
            reason="STALE_ATTEMPT",
            work_id=work.work_id,
            attempt=lease.attempt,
            current_attempt=work.attempt,
        )
    if work.state is not State.RUNNING:
        raise Conflict(
            f"{work.work_id} is {work.state}: its worker has nothing to do any more",
            reason="WORK_ENDED",
            work_id=work.work_id,
            state=str(work.state),
        )


def _refuse_evaluation(work: Work, what: str) -> None:
    if work.kind != JOB:
        raise InvalidInput(f"{work.work_id} is an evaluation and has no {what}", reason="NOT_A_JOB", field="lease")


def _refuse_unordered_replicas(work: Work, wanted: int) -> None:
    _refuse_evaluation(work, "steps to scale its replicas by")
    engine = JobSpec.FromString(work.order_message).pinetune.engine
    if not engine.replicas <= wanted <= engine.max_replicas:
        raise InvalidInput(
            f"wanted_replicas must be from {engine.replicas} to {engine.max_replicas}, as {work.work_id} was ordered; "
            f"it is {wanted}",
            reason="INVALID_REPLICAS",
            field="wanted_replicas",
        )


def _untold(held: Held, request: worker_pb2.AppendEventsRequest) -> Sequence[wire.Event]:
    """Return the events that were not added before, and note that they are now."""
    if request.first_number < 1:
        return request.events
    work_id, attempt = held.work.work_id, held.work.attempt
    told = told_events(held.connection, work_id, attempt)
    new = request.events[max(told + 1 - request.first_number, 0) :]
    if new:
        last = request.first_number + len(request.events) - 1
        note_told_events(held.connection, work_id, attempt, last)
    return new


def _note_plan(connection: Connection, job_id: str, request: worker_pb2.HeartbeatRequest) -> None:
    """Keep the planned numbers of steps once the worker knows them."""
    planned = {"total_steps": request.total_steps, "total_warm_up_steps": request.total_warm_up_steps}
    if known := {name: count for name, count in planned.items() if count > 0}:
        update_job(connection, job_id, **known)
        metrics.PLANNED_STEPS.labels(job_id).set(request.total_steps)


def _finish(
    connection: Connection, work: Work, state: State, request: worker_pb2.FinishWorkRequest, *, moment: int
) -> None:
    if state is State.PAUSED and work.wish is Wish.CANCEL:
        state = State.CANCELLED  # The user changed their mind while the worker wrote its checkpoint.
    fault = None
    if state is State.FAILED:
        error = request.error
        fault = Fault(error.reason or "UNKNOWN", error.message or "the worker gave no reason", error.field)
    if work.kind == JOB:
        if request.HasField("usage"):
            update_job(connection, work.work_id, usage_message=request.usage.SerializeToString())
        if state is State.SUCCEEDED:
            update_job(
                connection,
                work.work_id,
                model_uri=request.model_uri,
                model_name=model_name(JobSpec.FromString(work.order_message), work.work_id),
                best_checkpoint_id=request.best_checkpoint_id,
            )
    end_work(connection, work, state, moment=moment, fault=fault)
    if state is State.PAUSED and work.kind == JOB and work.wish is Wish.NONE:
        resume(connection, work.work_id)  # The pause was taken back after the worker had begun to stop.
