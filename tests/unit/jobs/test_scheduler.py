"""What runs, what runs again, what is given up: decided from the store, with a launcher that starts nothing."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.jobs_room import LIMITS, FakeLauncher, Room, jobs_room, training_step

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.client.worker import WorkerClient
from pinetune.jobs.bell import Bell
from pinetune.jobs.launcher.base import Exit, Restart
from pinetune.jobs.scheduler import Limits, Scheduler
from pinetune.jobs.store.tables import attempts
from pinetune.jobs.store.works import get_work, update_work
from pinetune.jobs.wanted_replicas import WantedReplicas
from pinetune.pod.errors import Broken, Unavailable

RUNNING, QUEUED = wire.JOB_STATE_RUNNING, wire.JOB_STATE_QUEUED


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with jobs_room(tmp_path) as running:
        yield running


def another(room: Room, launcher: FakeLauncher, *, queue: Bell | None = None, limits: Limits = LIMITS) -> Scheduler:
    """Return a scheduler over the same store, as a service has that starts anew."""
    return Scheduler(
        room.database,
        launcher,
        limits,
        artifacts_uri="/a",
        news=room.news,
        queue=queue or Bell(),
        wanted=WantedReplicas(),
        stopping=threading.Event(),
    )


def state(room: Room, job: wire.Job) -> wire.JobState:
    return room.client.get_job(job.job_id).state


def restart_count(room: Room, job: wire.Job) -> int:
    with room.database.write() as connection:
        return get_work(connection, job.job_id).restart_count


def last_message(room: Room, job: wire.Job) -> str:
    *_, last = room.client.list_events(job.job_id)
    return last.message


def test_jobs_run_one_after_the_other_in_the_order_of_their_creation(room: Room) -> None:
    first, second = room.create_job(), room.create_job()
    worker = room.take(first.job_id)
    assert (state(room, first), state(room, second)) == (RUNNING, QUEUED)
    worker.finish(wire.JOB_STATE_SUCCEEDED, model_uri="/model")
    room.scheduler.look()
    assert state(room, second) == QUEUED, "the first one's processes are not gone yet"
    room.launcher.die(first.job_id, code=0)
    room.scheduler.look()
    assert state(room, second) == RUNNING
    assert state(room, first) == wire.JOB_STATE_SUCCEEDED


def test_an_order_says_what_to_launch(room: Room) -> None:
    settings = {"dataset": {"prompt": "{{item.question}}"}, "engine": {"replicas": 2, "threads": 3}}
    job = room.create_job(pinetune=settings)
    room.scheduler.look()
    (order,) = room.launcher.orders
    assert (order.work_id, order.attempt, order.learns, order.makes_model) == (job.job_id, 1, True, True)
    assert order.model_uri == f"{room.folder}/artifacts/jobs/{job.job_id}/base"
    assert (order.engine.replicas, order.engine.threads) == (2, 3)


def test_a_worker_that_died_is_started_again_and_its_end_is_told(room: Room) -> None:
    job = room.create_job()
    room.take(job.job_id)
    room.launcher.die(job.job_id, process="learning", code=-9)
    room.scheduler.look()
    assert [order.attempt for order in room.launcher.orders] == [1, 2]
    assert state(room, job) == RUNNING
    assert last_message(room, job) == (
        "attempt 1: learning ended with signal 9; started again as attempt 2, restart 1 of 3\n    the last line"
    )


def test_a_replica_that_was_started_again_is_told_and_the_attempt_goes_on(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    room.launcher.restart(job.job_id, process="generation-1", code=-9)
    room.scheduler.look()
    assert last_message(room, job) == (
        "generation-1 ended with signal 9; it alone is started again, restart 1 of 3 within 600 s\n    the last line"
    )
    worker.commit_step(training_step(1), wire.Usage())
    assert room.client.get_job(job.job_id).attempt == 1
    assert len(room.launcher.orders) == 1


def test_after_the_last_restart_the_job_has_failed(room: Room) -> None:
    settings = {"dataset": {"prompt": "{{item.question}}"}, "policies": {"max_restarts": 1}}
    job = room.create_job(pinetune=settings)
    for _ in range(2):
        room.scheduler.look()
        room.launcher.die(job.job_id, code=1)
    room.scheduler.look()
    found = room.client.get_job(job.job_id)
    assert (found.state, found.error.reason) == (wire.JOB_STATE_FAILED, "WORKER_DIED")
    assert "attempt 2: worker ended with exit code 1" in found.error.message


def test_a_process_that_refuses_its_settings_is_not_started_again(room: Room) -> None:
    job = room.create_job()
    room.take(job.job_id)
    lines = ["CRITICAL generation: cannot start: there is no folder 'models/qwen'", "INFO generation: stopped"]
    room.launcher.die(job.job_id, process="generation-0", code=2, log_lines=lines)
    room.scheduler.look()
    found = room.client.get_job(job.job_id)
    assert (found.state, found.error.reason) == (wire.JOB_STATE_FAILED, "SETTINGS_REFUSED")
    assert found.error.message == "generation-0 refused its settings: there is no folder 'models/qwen'"
    assert len(room.launcher.orders) == 1


def test_a_port_that_another_process_took_is_worth_a_second_try(room: Room) -> None:
    job = room.create_job()
    room.take(job.job_id)
    line = "CRITICAL learning: cannot start: cannot listen on 127.0.0.1:4 reason=PORT_UNUSABLE"
    room.launcher.die(job.job_id, process="learning", code=2, log_lines=[line])
    room.scheduler.look()
    assert state(room, job) == RUNNING
    assert [order.attempt for order in room.launcher.orders] == [1, 2]


def test_what_ran_when_the_service_ended_runs_again_without_counting_as_a_restart(room: Room) -> None:
    job = room.create_job()
    old = room.take(job.job_id)
    old.commit_step(training_step(1), wire.Usage())
    launcher = FakeLauncher()
    revived = another(room, launcher)
    for _ in range(5):  # More often than a worker may die.
        revived.look()
        launcher.close()
    assert [order.attempt for order in launcher.orders] == [2, 3, 4, 5, 6]
    assert state(room, job) == RUNNING


@pytest.mark.parametrize(("wish", "end"), [("cancel", "CANCELLED"), ("pause", "PAUSED")])
def test_a_worker_that_dies_of_a_wish_is_not_started_again(room: Room, wish: str, end: str) -> None:
    job = room.create_job()
    room.take(job.job_id)
    getattr(room.client, f"{wish}_job")(job.job_id)
    room.launcher.die(job.job_id)
    room.scheduler.look()
    assert wire.JobState.Name(state(room, job)) == f"JOB_STATE_{end}"
    assert len(room.launcher.orders) == 1


def test_a_cancelled_worker_is_stopped_after_its_grace(room: Room) -> None:
    job = room.create_job()
    room.take(job.job_id)
    room.client.cancel_job(job.job_id)
    room.scheduler.look()
    assert room.launcher.stopped == []
    with room.database.write() as connection:
        update_work(connection, job.job_id, wish_time=1)
    room.scheduler.look()
    assert room.launcher.stopped == [job.job_id]


def test_a_silent_worker_is_stopped_and_started_again(tmp_path: Path) -> None:
    with jobs_room(tmp_path, limits=replace(LIMITS, heartbeat_timeout_seconds=1e-6)) as room:
        job = room.create_job()
        room.scheduler.look()
        room.scheduler.look()
        assert room.launcher.stopped == [job.job_id]
        room.launcher.die(job.job_id, code=-15)
        room.scheduler.look()
        assert "it was not heard of for 1e-06 s and was stopped; started again" in last_message(room, job)


def test_a_worker_that_waits_for_a_node_or_its_queue_is_not_taken_for_silent(room: Room) -> None:
    job = room.create_job()
    room.scheduler.look()
    room.launcher.not_begun.add(job.job_id)
    with room.database.write() as connection:
        connection.execute(attempts.update().values(heartbeat_time=1))
    room.scheduler._since = 1
    room.scheduler.look()
    # It has begun, and has its time to be heard from here on.
    room.launcher.not_begun.clear()
    room.scheduler.look()
    assert room.launcher.stopped == []
    # A worker that has begun is heard, whatever other pod of it has no room.
    room.worker(job.job_id, 1).claim()
    room.launcher.not_begun.add(job.job_id)
    room.scheduler._held_up.clear()
    with room.database.write() as connection:
        connection.execute(attempts.update().values(heartbeat_time=1))
    room.scheduler.look()
    assert room.launcher.stopped == [job.job_id]


@pytest.mark.parametrize(("wish", "end"), [("cancel", "CANCELLED"), ("pause", "PAUSED")])
def test_a_wish_is_carried_out_though_no_worker_has_begun_that_could_hear_it(room: Room, wish: str, end: str) -> None:
    job = room.create_job()
    room.scheduler.look()
    room.launcher.not_begun.add(job.job_id)
    getattr(room.client, f"{wish}_job")(job.job_id)
    room.scheduler.look()
    assert room.launcher.stopped == [], "it may begin any moment"
    with room.database.write() as connection:
        update_work(connection, job.job_id, wish_time=1)
    room.scheduler.look()
    assert room.launcher.stopped == [job.job_id]
    room.launcher.die(job.job_id, code=-15)
    room.scheduler.look()
    assert wire.JobState.Name(state(room, job)) == f"JOB_STATE_{end}"


def test_a_worker_that_has_begun_pauses_by_itself(room: Room) -> None:
    job = room.create_job()
    room.take(job.job_id)
    room.client.pause_job(job.job_id)
    with room.database.write() as connection:
        update_work(connection, job.job_id, wish_time=1)
    room.scheduler.look()
    assert room.launcher.stopped == []


def test_a_worker_that_went_on_while_the_service_was_away_is_not_taken_for_silent(room: Room) -> None:
    job = room.create_job()
    room.take(job.job_id)
    with room.database.write() as connection:
        connection.execute(attempts.update().values(heartbeat_time=1))
    revived = another(room, room.launcher)
    revived.look()
    assert room.launcher.stopped == []
    assert [order.attempt for order in room.launcher.orders] == [1]


def test_what_keeps_pods_from_starting_stands_in_the_job_and_once_in_its_history(room: Room) -> None:
    job = room.create_job()
    room.scheduler.look()
    sentence = "generation-0 has no node: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu"
    room.launcher.held_up[job.job_id] = sentence
    for _ in range(3):
        room.scheduler.look()
    assert room.client.get_job(job.job_id).waiting_for == sentence
    assert [event.message for event in room.client.list_events(job.job_id)].count(sentence) == 1
    room.launcher.held_up.clear()
    room.scheduler.look()
    assert room.client.get_job(job.job_id).waiting_for == ""


SCALING = {"dataset": {"prompt": "{{item.question}}"}, "engine": {"replicas": 2, "max_replicas": 4}}


def say_wanted(worker: WorkerClient, count: int) -> None:
    worker.heartbeat(
        waiting_for="", phase=wire.JOB_PHASE_TRAINING, total_steps=9, total_warm_up_steps=0, wanted_replicas=count
    )


def test_what_a_worker_wants_is_said_to_the_launcher_at_every_look(room: Room) -> None:
    job = room.create_job(pinetune=SCALING)
    worker = room.take(job.job_id)
    assert (room.launcher.orders[0].engine.replicas, room.launcher.orders[0].engine.most_replicas) == (2, 4)
    say_wanted(worker, 0)
    room.scheduler.look()
    assert room.launcher.scaled == [], "nothing was said"
    say_wanted(worker, 3)
    for _ in range(2):
        room.scheduler.look()
    assert room.launcher.scaled == [(job.job_id, 3)] * 2


def test_another_attempt_begins_with_what_the_order_says(room: Room) -> None:
    job = room.create_job(pinetune=SCALING)
    say_wanted(room.take(job.job_id), 3)
    room.launcher.die(job.job_id)
    for _ in range(2):
        room.scheduler.look()
    assert [order.attempt for order in room.launcher.orders] == [1, 2]
    assert room.launcher.scaled == []
    successor = room.worker(job.job_id, 2)
    say_wanted(successor, 4)
    room.scheduler.look()
    assert room.launcher.scaled == [(job.job_id, 4)]


def test_work_that_cannot_be_launched_fails(room: Room) -> None:
    room.launcher.refusal = Broken("no processes left", reason="LAUNCH_FAILED")
    job = room.create_job()
    room.scheduler.look()
    found = room.client.get_job(job.job_id)
    assert (found.state, found.error.reason) == (wire.JOB_STATE_FAILED, "LAUNCH_FAILED")


AWAY = Unavailable("its pods cannot be made now", reason="CLUSTER_UNAVAILABLE")


def test_work_that_cannot_be_launched_now_says_so_and_is_launched_later(room: Room) -> None:
    room.launcher.refusal = AWAY
    job = room.create_job()
    for _ in range(3):
        room.scheduler.look()
    found = room.client.get_job(job.job_id)
    assert (found.state, found.waiting_for) == (RUNNING, AWAY.message)
    assert [event.message for event in room.client.list_events(job.job_id)].count(AWAY.message) == 1
    room.launcher.refusal = None
    for _ in range(2):
        room.scheduler.look()
    found = room.client.get_job(job.job_id)
    assert (found.state, found.waiting_for, restart_count(room, job)) == (RUNNING, "", 0)
    assert [order.attempt for order in room.launcher.orders] == [1]


def test_a_launch_is_repeated_only_after_the_time_that_the_launcher_names(room: Room) -> None:
    room.launcher.refusal = Unavailable("away", reason="CLUSTER_UNAVAILABLE", retry_after_seconds=3600.0)
    room.create_job()
    room.scheduler.look()
    room.launcher.refusal = None
    room.scheduler.look()
    assert room.launcher.orders == []


def test_work_whose_launch_never_succeeds_fails_in_the_end(room: Room) -> None:
    room.launcher.refusal = AWAY
    job = room.create_job()
    room.scheduler.look()
    room.launcher.refusal = Broken("the pods are refused", reason="LAUNCH_FAILED")
    room.scheduler.look()
    found = room.client.get_job(job.job_id)
    assert (found.state, found.error.reason) == (wire.JOB_STATE_FAILED, "LAUNCH_FAILED")


def test_a_worker_is_not_taken_for_silent_while_it_cannot_be_launched(room: Room) -> None:
    room.launcher.refusal, room.launcher.leaves_some = AWAY, True
    job = room.create_job()
    room.scheduler.look()
    with room.database.write() as connection:
        connection.execute(attempts.update().values(heartbeat_time=1))
    # Has run for as long as the worker was not heard of.
    room.scheduler._since = 1
    room.scheduler.look()
    room.launcher.refusal = None
    for _ in range(2):
        room.scheduler.look()
    assert room.launcher.stopped == []
    assert [order.attempt for order in room.launcher.orders] == [1]
    assert state(room, job) == RUNNING


@pytest.mark.parametrize(("wish", "end"), [("cancel", "CANCELLED"), ("pause", "PAUSED")])
@pytest.mark.parametrize("leaves_some", [False, True])
def test_a_wish_is_carried_out_though_nothing_can_be_launched(
    room: Room, wish: str, end: str, leaves_some: bool
) -> None:
    room.launcher.refusal, room.launcher.leaves_some = AWAY, leaves_some
    job = room.create_job()
    room.scheduler.look()
    getattr(room.client, f"{wish}_job")(job.job_id)
    room.scheduler.look()
    assert wire.JobState.Name(state(room, job)) == f"JOB_STATE_{end}"
    assert room.launcher.stopped == [job.job_id]
    room.launcher.refusal = None
    room.scheduler.look()
    assert room.launcher.orders == []


def test_a_paused_job_is_not_launched_anew_while_something_of_its_last_attempt_is_there(room: Room) -> None:
    room.launcher.refusal, room.launcher.leaves_some = AWAY, True
    job = room.create_job()
    room.scheduler.look()
    room.client.pause_job(job.job_id)
    room.scheduler.look()
    room.launcher.refusal = None
    room.client.resume_job(job.job_id)
    room.scheduler.look()
    assert state(room, job) == QUEUED
    room.launcher.die(job.job_id)
    room.scheduler.look()
    assert [order.attempt for order in room.launcher.orders] == [2]


def test_a_worker_that_came_up_though_its_launch_broke_off_is_left_at_work(room: Room) -> None:
    room.launcher.refusal, room.launcher.leaves_some = AWAY, True
    job = room.create_job()
    room.scheduler.look()
    room.worker(job.job_id, 1).claim()
    room.client.pause_job(job.job_id)
    room.scheduler.look()
    assert state(room, job) == RUNNING, "it pauses at its next step"
    assert room.launcher.stopped == []


def test_what_was_launched_and_not_claimed_when_the_service_ended_is_launched_again_once(room: Room) -> None:
    job = room.create_job()
    room.scheduler.look()
    revived = another(room, room.launcher)
    for _ in range(3):
        revived.look()
    assert [order.attempt for order in room.launcher.orders] == [1, 1]
    assert state(room, job) == RUNNING


def test_processes_left_of_work_that_has_ended_are_stopped_after_a_grace(room: Room) -> None:
    job = room.create_job()
    room.take(job.job_id).finish(wire.JOB_STATE_SUCCEEDED, model_uri="/model")
    for _ in range(2):
        room.scheduler.look()
    assert room.launcher.stopped == [], "they end by themselves"
    hasty = another(room, room.launcher, limits=replace(LIMITS, cancel_grace_seconds=0.0))
    for _ in range(2):
        hasty.look()
    assert room.launcher.stopped == [job.job_id]


def test_processes_of_work_that_the_store_does_not_know_are_left_alone(room: Room) -> None:
    room.launcher._alive["ftjob-of-another-service"] = 1
    hasty = another(room, room.launcher, limits=replace(LIMITS, cancel_grace_seconds=0.0))
    for _ in range(3):
        hasty.look()
    assert room.launcher.stopped == []


def test_a_service_that_stops_leaves_the_queue_to_its_successor(room: Room) -> None:
    job = room.create_job()
    room.stopping.set()
    room.scheduler.look()
    assert room.launcher.orders == []
    assert state(room, job) == QUEUED
    another(room, room.launcher).look()
    assert [order.attempt for order in room.launcher.orders] == [1]


def test_a_death_while_the_service_stops_is_told_and_its_restart_left_to_the_successor(room: Room) -> None:
    job = room.create_job()
    room.take(job.job_id)
    room.launcher.die(job.job_id)
    room.stopping.set()
    for _ in range(2):
        room.scheduler.look()
    assert [order.attempt for order in room.launcher.orders] == [1]
    assert (state(room, job), restart_count(room, job)) == (RUNNING, 1)
    assert "started again as attempt 2, restart 1 of 3" in last_message(room, job)
    another(room, room.launcher).look()
    assert [order.attempt for order in room.launcher.orders] == [1, 3]
    assert restart_count(room, job) == 1


class HeldLauncher(FakeLauncher):
    """Its `poll` takes as long as a test lets it, as a cluster's does that does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.released = threading.Event(), threading.Event()

    def poll(self) -> list[Exit | Restart]:
        self.entered.set()
        self.released.wait()
        return super().poll()


def test_a_service_that_stops_does_not_wait_for_a_cluster_that_does_not_answer(room: Room) -> None:
    job = room.create_job()
    launcher = HeldLauncher()
    scheduler = another(room, launcher)
    scheduler.start()
    launcher.entered.wait()
    try:
        scheduler.close(patience_seconds=0.05)
    finally:
        launcher.released.set()
    scheduler._thread.join()
    assert launcher.orders == [], "the round that was cut off has launched something"
    assert state(room, job) == QUEUED


def test_as_many_run_as_the_limit_allows(tmp_path: Path) -> None:
    with jobs_room(tmp_path, limits=replace(LIMITS, max_running=2)) as room:
        jobs = [room.create_job() for _ in range(3)]
        room.scheduler.look()
        assert [state(room, job) for job in jobs] == [RUNNING, RUNNING, QUEUED]


def test_the_thread_starts_what_the_bell_announces(room: Room) -> None:
    queue = Bell()
    launcher = FakeLauncher()
    scheduler = another(room, launcher, queue=queue)
    scheduler.start()
    job = room.create_job()
    rung = room.news.count
    queue.ring()
    while not launcher.orders:
        assert room.news.wait(rung, timeout_seconds=20), "nothing was launched"
        rung = room.news.count
    scheduler.close()
    assert launcher.orders[0].work_id == job.job_id
