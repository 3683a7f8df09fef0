"""What users want of jobs that exist: cancel, pause, resume. A running one hears of it from its next call.

Each locks the job first: what it then decides by cannot change before the end of the transaction.
"""

from sqlalchemy.engine import Connection

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.jobs import events
from pinetune.jobs.ending import end_work
from pinetune.jobs.moments import now
from pinetune.jobs.states import State, Wish, check_transition
from pinetune.jobs.store.jobs import get_job
from pinetune.jobs.store.works import Work, move, update_work
from pinetune.pod.errors import Conflict

WISH_SENTENCES = {
    Wish.CANCEL: "the user has cancelled the job; its worker stops",
    Wish.PAUSE: "the user pauses the job; its worker stops at the next step",
}


def cancel(connection: Connection, job_id: str) -> None:
    """End a job for good: at once where no worker runs, else by its worker. A cancelled job stays cancelled."""
    work = get_job(connection, job_id, for_change=True).work
    if work.state is State.CANCELLED:
        return
    if work.state is State.RUNNING:
        _wish(connection, work, Wish.CANCEL)
    else:
        end_work(connection, work, State.CANCELLED, moment=now())


def pause(connection: Connection, job_id: str) -> None:
    """Stop a job until it is resumed: at once where it waits in the queue, else at its worker's next step."""
    work = get_job(connection, job_id, for_change=True).work
    if work.state is State.PAUSED:
        return
    if work.wish is Wish.CANCEL:
        raise Conflict(f"{job_id} is being cancelled and cannot be paused", reason="STATE_FORBIDS", work_id=job_id)
    if work.state is State.RUNNING:
        _wish(connection, work, Wish.PAUSE)
    else:
        end_work(connection, work, State.PAUSED, moment=now())


def resume(connection: Connection, job_id: str) -> None:
    """Queue a paused job again; one that has not stopped yet is not paused after all."""
    work = get_job(connection, job_id, for_change=True).work
    moment = now()
    if work.state is State.RUNNING and work.wish is Wish.PAUSE:
        update_work(connection, job_id, wish=Wish.NONE.value)
        events.record(connection, work, "the user takes the pause back", moment=moment)
        return
    if work.state is State.QUEUED:
        return
    check_transition(job_id, work.state, State.QUEUED)
    move(connection, work, State.QUEUED, now=moment)
    events.record(
        connection, work, "the job is resumed and waits for its turn", moment=moment, kind=wire.EVENT_TYPE_STATE
    )


def _wish(connection: Connection, work: Work, wish: Wish) -> None:
    if work.wish is wish:
        return
    moment = now()
    update_work(connection, work.work_id, wish=wish.value, wish_time=moment)
    events.record(connection, work, WISH_SENTENCES[wish], moment=moment)
