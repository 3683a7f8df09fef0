"""Calls that meet in the database, of either kind: one waits for the other, and decides by what is then there."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from tests.fakes.jobs_room import LIMITS, Room, jobs_room, training_step

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.jobs import wishes
from pinetune.jobs.ending import end_work
from pinetune.jobs.moments import now
from pinetune.jobs.states import State
from pinetune.jobs.store import datasets
from pinetune.jobs.store.jobs import insert_job
from pinetune.jobs.store.works import JOB, NewWork, get_work
from pinetune.pod.errors import Conflict, NotFound

T = TypeVar("T")
PATIENCE_SECONDS = 20.0
THREADS = 8
USAGE = wire.Usage(seconds=3.0)


@pytest.fixture
def room(tmp_path: Path, database_url: str) -> Iterator[Room]:
    with jobs_room(tmp_path, database_url) as running:
        yield running


def meanwhile(room: Room, first: Callable[[Connection], object], then: Callable[[], T]) -> "Future[T]":
    """Do `first` in a transaction that is committed only when `then`, in another thread, waits for it or is done."""
    with ThreadPoolExecutor(1) as threads:
        with room.database.write() as connection:
            first(connection)
            later = threads.submit(then)
            _until(lambda: later.done() or waits_for_a_lock(room))
        return later


def waits_for_a_lock(room: Room) -> bool:
    """Return whether a transaction waits for a row; one of SQLite has its turn whenever it comes."""
    with room.database.read() as connection:
        if connection.dialect.name == "sqlite":
            return True
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(connection.scalar(sa.text(waiting)))


def _until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def at_once(call: Callable[[], T]) -> list[T]:
    """Make the same call from many threads at the same moment."""
    ready = Barrier(THREADS)

    def begin(_: int) -> T:
        ready.wait()
        return call()

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(begin, range(THREADS)))


def events_of(room: Room, job_id: str) -> list[str]:
    return [event.message for event in room.client.list_events(job_id)]


def succeed(connection: Connection, job_id: str) -> None:
    end_work(connection, get_work(connection, job_id), State.SUCCEEDED, moment=now())


def paused_job(room: Room) -> str:
    job_id = room.create_job().job_id
    room.client.pause_job(job_id)
    return job_id


def test_a_step_that_is_committed_many_times_at_once_counts_once(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    for number in (1, 2, 3):
        at_once(partial(worker.commit_step, training_step(number), USAGE))
    assert [step.number for step in room.client.list_steps(job.job_id)] == [1, 2, 3]
    numbers = [event.step.number for event in room.client.list_events(job.job_id) if event.HasField("step")]
    assert numbers == [1, 2, 3]
    assert room.client.get_job(job.job_id).step == 3


def test_jobs_that_commit_at_once_do_not_disturb_each_other(tmp_path: Path, database_url: str) -> None:
    with jobs_room(tmp_path, database_url, limits=replace(LIMITS, max_running=THREADS)) as room:
        workers = {job: room.take(job) for job in [room.create_job().job_id for _ in range(THREADS)]}

        def commit(job_id: str) -> None:
            for number in range(1, 6):
                workers[job_id].commit_step(training_step(number), USAGE)

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(commit, workers))
        for job_id in workers:
            assert [step.number for step in room.client.list_steps(job_id)] == [1, 2, 3, 4, 5]
            ids = [event.event_id for event in room.client.list_events(job_id)]
            assert [int(one.rpartition("-")[2]) for one in ids] == list(range(1, len(ids) + 1))


def test_one_request_that_comes_many_times_at_once_makes_one_job(room: Room) -> None:
    order = json.dumps(room.order())
    made = at_once(lambda: room.client.create_job(order, request_id="once").job_id)
    assert len(set(made)) == 1
    assert [job.job_id for job in room.client.list_jobs()] == made[:1]


def test_a_job_that_is_cancelled_while_its_turn_comes_does_not_start(room: Room) -> None:
    job_id = room.create_job().job_id
    meanwhile(room, lambda open: wishes.cancel(open, job_id), room.scheduler.look).result()
    assert room.client.get_job(job_id).state == wire.JOB_STATE_CANCELLED
    assert room.launcher.orders == []


def test_a_job_that_is_cancelled_while_it_is_resumed_stays_cancelled(room: Room) -> None:
    job_id = paused_job(room)
    resumed = meanwhile(room, lambda open: wishes.cancel(open, job_id), lambda: room.client.resume_job(job_id))
    with pytest.raises(Conflict, match="is cancelled and cannot become queued"):
        resumed.result()
    assert room.client.get_job(job_id).state == wire.JOB_STATE_CANCELLED


def test_a_job_that_is_resumed_twice_at_once_is_told_of_it_once(room: Room) -> None:
    job_id = paused_job(room)
    resumed = meanwhile(room, lambda open: wishes.resume(open, job_id), lambda: room.client.resume_job(job_id))
    assert resumed.result().state == wire.JOB_STATE_QUEUED
    assert events_of(room, job_id).count("the job is resumed and waits for its turn") == 1


@pytest.mark.parametrize("wish", ["cancel", "pause"])
def test_a_job_that_succeeds_while_it_is_to_stop_has_succeeded(room: Room, wish: str) -> None:
    job_id = room.create_job().job_id
    room.take(job_id)
    wished = meanwhile(room, lambda open: succeed(open, job_id), lambda: getattr(room.client, f"{wish}_job")(job_id))
    with pytest.raises(Conflict, match="is succeeded and cannot become"):
        wished.result()
    assert events_of(room, job_id)[-1] == "the job has succeeded"


def test_a_job_that_starts_while_it_is_cancelled_is_cancelled_by_its_worker(room: Room) -> None:
    job_id = room.create_job().job_id
    started = sa.text("UPDATE works SET state = 'running'")
    cancelled = meanwhile(room, lambda open: open.execute(started), lambda: room.client.cancel_job(job_id))
    assert cancelled.result().state == wire.JOB_STATE_RUNNING
    assert events_of(room, job_id)[-1] == "the user has cancelled the job; its worker stops"


def test_what_holds_up_a_job_that_ended_meanwhile_is_not_told(room: Room) -> None:
    job_id = room.create_job().job_id
    room.take(job_id)
    room.launcher.held_up = {job_id: "no node has a free GPU"}
    meanwhile(room, lambda open: succeed(open, job_id), room.scheduler.look).result()
    assert room.client.get_job(job_id).waiting_for == ""
    assert events_of(room, job_id)[-1] == "the job has succeeded"


def test_a_data_set_that_an_order_takes_meanwhile_is_not_deleted(room: Room) -> None:
    dataset_id = room.upload({"question": "a", "answer": "1"})
    job = NewWork("ftjob-1", JOB, None, "", b"", "", 0, now(), {dataset_id: "/rows.jsonl"})

    def order(connection: Connection) -> None:
        datasets.get_dataset(connection, dataset_id, hold=datasets.Hold.FROM_DELETION)
        insert_job(connection, job)

    deleted = meanwhile(room, order, lambda: room.client.delete_dataset(dataset_id))
    with pytest.raises(Conflict, match="is used by ftjob-1"):
        deleted.result()
    assert room.client.get_dataset(dataset_id).row_count == 1


def test_an_order_of_a_data_set_that_is_deleted_meanwhile_is_refused(room: Room) -> None:
    order = room.order()

    def delete(connection: Connection) -> None:
        datasets.find_dataset(connection, order["training_file"], hold=datasets.Hold.FROM_USE)
        datasets.delete_dataset(connection, order["training_file"])

    ordered = meanwhile(room, delete, lambda: room.client.create_job(json.dumps(order)))
    with pytest.raises(NotFound, match=order["training_file"]):
        ordered.result()
    assert list(room.client.list_jobs()) == []
