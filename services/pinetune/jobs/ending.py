"""Ends and pauses work: its state, its worker's attempt, its story and the metrics, in one place."""

from sqlalchemy.engine import Connection

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.jobs import events, metrics
from pinetune.jobs.states import State, Wish
from pinetune.jobs.store.leases import end_attempt
from pinetune.jobs.store.works import Fault, Work, get_work, move

SENTENCES = {
    State.SUCCEEDED: "the job has succeeded",
    State.CANCELLED: "the job was cancelled",
    State.PAUSED: "the job is paused",
}


def end_work(
    connection: Connection, work: Work, state: State, *, moment: int, fault: Fault | None = None, sentence: str = ""
) -> None:
    """Bring work to a state without a worker; `fault` where that is FAILED. Raises Conflict where it cannot be."""
    if work.attempt:
        end_attempt(connection, work.work_id, work.attempt, now=moment, ending=str(state))
    move(connection, work, state, now=moment, fault=fault)
    if fault is not None:
        metrics.FAULTS.labels(work.kind, fault.reason).inc()
        sentence = f"the job has failed: {fault.message}"
    events.record(
        connection,
        get_work(connection, work.work_id),
        sentence or SENTENCES[state],
        moment=moment,
        level=wire.EVENT_LEVEL_ERROR if state is State.FAILED else wire.EVENT_LEVEL_INFO,
        kind=wire.EVENT_TYPE_STATE,
    )
    if state.is_end:
        metrics.ENDINGS.labels(work.kind, str(state)).inc()
    metrics.forget_job(work.work_id)


def end_as_wished(connection: Connection, work: Work, *, moment: int) -> None:
    """Bring running work without processes to what the user wants of it, to cancel or to pause it."""
    end_work(connection, work, State.CANCELLED if work.wish is Wish.CANCEL else State.PAUSED, moment=moment)
