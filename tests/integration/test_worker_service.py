"""What a worker may do, seen over a real connection: leases, steps that count once, checkpoints that stay."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from tests.fakes.jobs_room import (
    LIMITS,
    Room,
    best_checkpoint,
    jobs_room,
    state_checkpoint,
    training_step,
    warm_up_step,
)
from tests.monitoring.shipped import alerts

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1 import worker_pb2
from pinetune.client.calls import CUT_OFF
from pinetune.client.worker import WorkerClient
from pinetune.jobs.journal import Journal
from pinetune.jobs.measuring import sampling_of
from pinetune.jobs.plan import Plan
from pinetune.jobs.spec import evaluation_order_from_message, spec_from_message
from pinetune.jobs.usage import Usage
from pinetune.pod.errors import Conflict, InvalidInput, NotFound, Unavailable

USAGE = wire.Usage(seconds=3.0, sampled_token_count=100)
CONTINUE, CANCEL, PAUSE = (
    worker_pb2.WORKER_ACTION_CONTINUE,
    worker_pb2.WORKER_ACTION_CANCEL,
    worker_pb2.WORKER_ACTION_PAUSE,
)


@pytest.fixture(scope="module")
def room(make_database_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    # One service for all tests: each has a job of its own, and there is room for all of them to run.
    limits = replace(LIMITS, max_running=1000)
    with jobs_room(tmp_path_factory.mktemp("room"), make_database_url(), limits=limits) as running:
        yield running


def steps_of(room: Room, job_id: str) -> list[tuple[str, int]]:
    return [
        (wire.JobPhase.Name(step.phase).removeprefix("JOB_PHASE_"), step.number)
        for step in room.client.list_steps(job_id)
    ]


def messages_of(room: Room, job_id: str) -> list[str]:
    return [event.message for event in room.client.list_events(job_id)]


def refused(reason: str) -> "pytest.RaisesExc[Conflict]":
    return pytest.raises(Conflict, check=lambda error: error.reason == reason)


def died(room: Room, job_id: str) -> WorkerClient:
    room.launcher.die(job_id)
    return room.take(job_id)


def beat(worker: WorkerClient, *, phase: wire.JobPhase = wire.JOB_PHASE_TRAINING, total: int = 0) -> int:
    return worker.heartbeat(waiting_for="", phase=phase, total_steps=total, total_warm_up_steps=0)


def test_a_worker_is_told_all_that_it_needs(room: Room) -> None:
    order = room.order()
    job = room.client.create_job(json.dumps(order))
    room.scheduler.look()
    claim = room.worker(job.job_id, 1).claim()
    assert claim.job.state == wire.JOB_STATE_RUNNING
    assert set(claim.dataset_uris) == {order["training_file"], order["validation_file"]}
    assert all(Path(uri).is_file() for uri in claim.dataset_uris.values())
    assert claim.artifacts_uri == f"{room.folder}/artifacts/jobs/{job.job_id}"
    assert claim.model_uri == f"{claim.artifacts_uri}/base"
    assert not claim.HasField("checkpoint")


def test_a_step_is_committed_with_its_event_and_the_usage(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    beat(worker, total=4)
    assert worker.commit_step(training_step(1), USAGE) == CONTINUE
    assert steps_of(room, job.job_id) == [("TRAINING", 1)]
    found = room.client.get_job(job.job_id)
    assert (found.step, found.total_steps, found.usage) == (1, 4, USAGE)
    assert found.estimated_seconds_left == 3 * 2.0
    assert messages_of(room, job.job_id)[-1] == "step 1 of 4, training reward 0.5, 1 of 8 ungraded"
    *_, last = room.client.list_events(job.job_id)
    assert (last.type, last.step.number, last.step.job_id) == (wire.EVENT_TYPE_METRICS, 1, job.job_id)


def test_the_time_left_is_told_in_the_warm_up_too(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    worker.heartbeat(waiting_for="", phase=wire.JOB_PHASE_WARM_UP, total_steps=9, total_warm_up_steps=4)
    worker.commit_step(warm_up_step(1), USAGE)
    assert room.client.get_job(job.job_id).estimated_seconds_left == 3 * 1.0
    for number in (2, 3, 4):
        worker.commit_step(warm_up_step(number), USAGE)
    assert not room.client.get_job(job.job_id).HasField("estimated_seconds_left")
    worker.commit_step(training_step(1), USAGE)
    assert room.client.get_job(job.job_id).estimated_seconds_left == 8 * 2.0


def test_the_same_step_again_changes_nothing(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    worker.commit_step(training_step(1), USAGE)
    events = messages_of(room, job.job_id)
    assert worker.commit_step(training_step(1), USAGE) == CONTINUE
    assert messages_of(room, job.job_id) == events


def test_another_step_under_the_same_number_is_refused(room: Room) -> None:
    worker = room.take(room.create_job().job_id)
    worker.commit_step(training_step(1, reward=0.5), USAGE)
    with refused("STEP_CONFLICT"):
        worker.commit_step(training_step(1, reward=0.6), USAGE)


@pytest.mark.parametrize("numbers", [(2,), (1, 3), (0, 2)])
def test_a_step_out_of_order_is_refused(room: Room, numbers: tuple[int, ...]) -> None:
    worker = room.take(room.create_job().job_id)
    *first, last = numbers
    for number in first:
        worker.commit_step(training_step(number), USAGE)
    with refused("STEP_OUT_OF_ORDER"):
        worker.commit_step(training_step(last), USAGE)


def event(message: str, *, at_seconds: float | None = None) -> wire.Event:
    event = wire.Event(level=wire.EVENT_LEVEL_WARN, message=message)
    if at_seconds is not None:
        event.create_time.FromMicroseconds(round(at_seconds * 1e6))
    return event


def test_events_whose_answer_was_lost_are_told_once(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    before = messages_of(room, job.job_id)
    worker.append_events([event("one"), event("two")], first_number=1)
    worker.append_events([event("one"), event("two"), event("three")], first_number=1)
    worker.append_events([event("three")], first_number=3)
    worker.append_events([event("four")], first_number=4)
    assert messages_of(room, job.job_id) == [*before, "one", "two", "three", "four"]


def test_events_that_nobody_counts_are_told_each_time(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    before = messages_of(room, job.job_id)
    for _ in range(2):
        worker.append_events([event("one")])
    assert messages_of(room, job.job_id) == [*before, "one", "one"]


def test_each_attempt_counts_its_events_anew(room: Room) -> None:
    job = room.create_job()
    room.take(job.job_id).append_events([event("of the first")], first_number=1)
    successor = died(room, job.job_id)
    successor.append_events([event("of the second")], first_number=1)
    told = [message for message in messages_of(room, job.job_id) if message.startswith("of the")]
    assert told == ["of the first", "of the second"]


def test_an_event_keeps_the_time_at_which_it_happened_which_is_never_to_come(room: Room) -> None:
    job = room.create_job()
    worker, begin = room.take(job.job_id), time.time()
    worker.append_events(
        [
            event("an hour ago", at_seconds=begin - 3600),
            event("of a fast clock", at_seconds=begin + 3600),
            event("now"),
        ],
        first_number=1,
    )
    end = time.time()
    *_, old, fast, new = room.client.list_events(job.job_id)
    assert old.create_time.ToMicroseconds() == round((begin - 3600) * 1e6)
    for one in (fast, new):
        assert begin - 1e-3 <= one.create_time.ToMicroseconds() / 1e6 <= end


def test_what_a_worker_tells_while_the_service_is_away_is_in_the_story_once_and_in_order(room: Room) -> None:
    class Losing(WorkerClient):
        """Loses the answers of the first two calls, the second after the service has stopped."""

        calls = 0

        def append_events(self, events: Sequence[wire.Event], *, first_number: int = 0, patient: bool = False) -> None:
            self.calls += 1
            if self.calls != 2:
                super().append_events(events, first_number=first_number, patient=patient)
            if self.calls <= 2:
                raise Unavailable("the server stopped before it had answered", reason=CUT_OFF)

    job = room.create_job()
    room.take(job.job_id)
    journal = Journal(Losing(room.channel, work_id=job.job_id, attempt=1), Usage())
    journal.warn("generation-1 is lost")
    journal.note("generation-1 is back")
    journal.finish(wire.JOB_STATE_CANCELLED)
    *_, lost, back, ended = messages_of(room, job.job_id)
    assert (lost, back) == ("generation-1 is lost", "generation-1 is back")
    assert messages_of(room, job.job_id).count(lost) == 1
    assert "cancelled" in ended


def test_a_worker_that_was_given_up_writes_nothing(room: Room) -> None:
    job = room.create_job()
    old = room.take(job.job_id)
    old.commit_step(training_step(1), USAGE)
    died(room, job.job_id)
    for call in (
        lambda: old.commit_step(training_step(2), USAGE),
        lambda: old.commit_checkpoint(state_checkpoint(1)),
        lambda: old.finish(wire.JOB_STATE_SUCCEEDED),
        lambda: beat(old),
        old.claim,
    ):
        with refused("STALE_ATTEMPT"):
            call()
    assert room.client.get_job(job.job_id).state == wire.JOB_STATE_RUNNING


def test_a_successor_takes_back_the_steps_after_the_checkpoint(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    for number in range(4):
        worker.commit_step(training_step(number, rollouts_uri=f"/rollouts/{number}"), USAGE)
        if number == 1:
            worker.commit_checkpoint(state_checkpoint(1))
    room.launcher.die(job.job_id)
    room.scheduler.look()
    claim = room.worker(job.job_id, 2).claim()
    assert (claim.checkpoint.step_number, claim.checkpoint.state_uri) == (1, "/states/0-1")
    assert claim.job.step == 1
    assert steps_of(room, job.job_id) == [("TRAINING", 0), ("TRAINING", 1)]
    metrics = [event.step.number for event in room.client.list_events(job.job_id) if event.HasField("step")]
    assert metrics == [0, 1]
    assert messages_of(room, job.job_id)[-1] == "attempt 2 goes on after step 1; step 2 to step 3 are done again"
    successor = room.worker(job.job_id, 2)
    successor.commit_step(training_step(2, reward=0.9), USAGE)
    assert steps_of(room, job.job_id)[-1] == ("TRAINING", 2)


def test_a_claim_whose_answer_was_lost_is_made_again_and_told_once(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    worker.commit_step(training_step(0), USAGE)
    worker.commit_checkpoint(state_checkpoint(0))
    died(room, job.job_id)
    successor = room.worker(job.job_id, 2)
    first = successor.claim()
    told = messages_of(room, job.job_id)
    assert successor.claim() == first
    assert messages_of(room, job.job_id) == told


def test_a_policy_kept_by_a_step_that_is_taken_back_is_forgotten(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    for number in range(4):
        worker.commit_step(training_step(number), USAGE)
        if number:
            worker.commit_checkpoint(best_checkpoint(number, 0.1 * number))
        if number == 2:
            worker.commit_checkpoint(state_checkpoint(2))
    died(room, job.job_id)
    best = [one for one in room.client.list_checkpoints(job.job_id) if one.kind == wire.CHECKPOINT_KIND_BEST]
    assert [one.step_number for one in best] == [2]


def test_without_a_checkpoint_everything_is_done_again(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    worker.commit_step(warm_up_step(1), USAGE)
    died(room, job.job_id)
    assert steps_of(room, job.job_id) == []
    assert messages_of(room, job.job_id)[-1] == ("attempt 2 goes on from the beginning; warm-up step 1 is done again")


@pytest.mark.parametrize(("checkpoint_last", "left"), [(False, 3), (True, 4)], ids=["before", "after"])
def test_step_0_is_kept_only_where_the_checkpoint_came_after_it(room: Room, checkpoint_last: bool, left: int) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    for number in (1, 2, 3):
        worker.commit_step(warm_up_step(number), USAGE)
    worker.commit_checkpoint(state_checkpoint(0, warm_up_step=3))
    worker.commit_step(training_step(0), USAGE)
    if checkpoint_last:  # The same kind and steps again: a new state in the place of the old one.
        worker.commit_checkpoint(state_checkpoint(0, warm_up_step=3))
    died(room, job.job_id)
    assert len(steps_of(room, job.job_id)) == left


def test_a_history_with_deaths_equals_one_without(room: Room) -> None:
    killed, spared = room.create_job(), None
    worker = room.take(killed.job_id)
    worker.commit_step(training_step(0), USAGE)
    worker.commit_checkpoint(state_checkpoint(0))
    for _ in range(2):
        worker.commit_step(training_step(1), USAGE)
        worker = died(room, killed.job_id)
    for number in (1, 2):
        worker.commit_step(training_step(number), USAGE)
    worker.finish(wire.JOB_STATE_SUCCEEDED, model_uri="/model")
    room.launcher.die(killed.job_id, code=0)
    spared = room.create_job()
    worker = room.take(spared.job_id)
    for number in (0, 1, 2):
        worker.commit_step(training_step(number), USAGE)

    def story(job_id: str) -> list[bytes]:
        found = []
        for step in room.client.list_steps(job_id):
            step.ClearField("job_id")
            step.ClearField("commit_time")
            found.append(step.SerializeToString(deterministic=True))
        return found

    assert story(killed.job_id) == story(spared.job_id)


def test_only_the_newest_state_is_kept(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    assert worker.commit_checkpoint(state_checkpoint(1))[1] == []
    assert worker.commit_checkpoint(state_checkpoint(2))[1] == ["/states/0-1"]
    assert worker.commit_checkpoint(state_checkpoint(3, kind=wire.CHECKPOINT_KIND_PAUSE))[1] == ["/states/0-2"]
    assert [one.step_number for one in room.client.list_checkpoints(job.job_id)] == [3]


def test_the_best_policies_are_kept_the_earlier_of_equals_first(room: Room) -> None:
    job = room.create_job()  # keep_best: 2
    worker = room.take(job.job_id)
    base = wire.Checkpoint(kind=wire.CHECKPOINT_KIND_BASE, policy_uri="/policies/0")
    assert worker.commit_checkpoint(base)[1] == []
    assert worker.commit_checkpoint(best_checkpoint(1, 0.4))[1] == []
    assert worker.commit_checkpoint(best_checkpoint(2, 0.6))[1] == []
    assert worker.commit_checkpoint(best_checkpoint(3, 0.4))[1] == ["/policies/3"]
    assert worker.commit_checkpoint(best_checkpoint(4, 0.5))[1] == ["/policies/1"]
    kept = [(one.kind, one.step_number) for one in room.client.list_checkpoints(job.job_id)]
    best = wire.CHECKPOINT_KIND_BEST
    assert kept == [(best, 4), (best, 2), (wire.CHECKPOINT_KIND_BASE, 0)]


def test_a_folder_that_another_checkpoint_needs_is_not_given_up(room: Room) -> None:
    worker = room.take(room.create_job().job_id)
    warm_up = wire.Checkpoint(kind=wire.CHECKPOINT_KIND_WARM_UP, policy_uri="/policies/1", warm_up_step_number=3)
    worker.commit_checkpoint(warm_up)
    worker.commit_checkpoint(best_checkpoint(1, 0.1))
    worker.commit_checkpoint(best_checkpoint(2, 0.2))
    assert worker.commit_checkpoint(best_checkpoint(3, 0.3))[1] == []


def test_a_checkpoint_again_keeps_its_id_and_tells_no_second_time(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    first, _ = worker.commit_checkpoint(best_checkpoint(1, 0.4))
    told = messages_of(room, job.job_id)
    second, deletable = worker.commit_checkpoint(best_checkpoint(1, 0.4))
    assert (second.checkpoint_id, deletable) == (first.checkpoint_id, [])
    assert messages_of(room, job.job_id) == told
    assert first.fine_tuned_model_checkpoint == f"ft:nano::{job.job_id}:ckpt-step-1"


@pytest.mark.parametrize(
    ("checkpoint", "field"),
    [
        (wire.Checkpoint(policy_uri="/p"), "checkpoint.kind"),
        (wire.Checkpoint(kind=wire.CHECKPOINT_KIND_LATEST, policy_uri="/p"), "checkpoint.state_uri"),
        (wire.Checkpoint(kind=wire.CHECKPOINT_KIND_WARM_UP, state_uri="/s"), "checkpoint.policy_uri"),
        (wire.Checkpoint(kind=wire.CHECKPOINT_KIND_BEST, policy_uri="/p"), "checkpoint.validation"),
    ],
    ids=["kind", "state", "policy", "validation"],
)
def test_a_checkpoint_that_lacks_something_is_refused(room: Room, checkpoint: wire.Checkpoint, field: str) -> None:
    worker = room.take(room.create_job().job_id)
    with pytest.raises(InvalidInput) as caught:
        worker.commit_checkpoint(checkpoint)
    assert caught.value.metadata["field"] == field


def test_a_heartbeat_tells_what_is_waited_for_and_learns_what_is_wished(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    worker.heartbeat(
        waiting_for="generation to start", phase=wire.JOB_PHASE_PREPARING, total_steps=0, total_warm_up_steps=7
    )
    found = room.client.get_job(job.job_id)
    assert (found.waiting_for, found.phase) == ("generation to start", wire.JOB_PHASE_PREPARING)
    assert found.total_warm_up_steps == 7
    room.client.pause_job(job.job_id)
    assert beat(worker) == PAUSE
    room.client.cancel_job(job.job_id)
    assert beat(worker) == CANCEL
    assert worker.commit_step(training_step(1), USAGE) == CANCEL


@pytest.mark.parametrize("count", [1, 5])
def test_replicas_that_were_not_ordered_cannot_be_wanted(room: Room, count: int) -> None:
    engine = {"replicas": 2, "max_replicas": 4}
    job = room.create_job(pinetune={"dataset": {"prompt": "{{item.question}}"}, "engine": engine})
    worker = room.take(job.job_id)
    with pytest.raises(InvalidInput) as caught:
        worker.heartbeat(
            waiting_for="", phase=wire.JOB_PHASE_TRAINING, total_steps=9, total_warm_up_steps=0, wanted_replicas=count
        )
    assert caught.value.message == (f"wanted_replicas must be from 2 to 4, as {job.job_id} was ordered; it is {count}")
    assert caught.value.metadata["field"] == "wanted_replicas"
    room.scheduler.look()
    assert room.launcher.scaled == []


def test_a_success_names_the_model(room: Room) -> None:
    job = room.create_job(suffix="sums")
    worker = room.take(job.job_id)
    checkpoint, _ = worker.commit_checkpoint(best_checkpoint(1, 0.4))
    for _ in range(2):  # Saying so again changes nothing.
        worker.finish(
            wire.JOB_STATE_SUCCEEDED, model_uri="/model", best_checkpoint_id=checkpoint.checkpoint_id, usage=USAGE
        )
    found = room.client.get_job(job.job_id)
    assert found.state == wire.JOB_STATE_SUCCEEDED
    assert (found.model_uri, found.fine_tuned_model) == ("/model", f"ft:nano:sums:{job.job_id}")
    assert (found.best_checkpoint_id, found.usage) == (checkpoint.checkpoint_id, USAGE)
    assert found.HasField("end_time")
    with refused("WORK_ENDED"):
        beat(worker)


def test_a_job_that_fails_its_attestation_is_counted_where_the_alert_looks(room: Room) -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("pinetune_jobs_faults_total", {"kind": "job", "reason": error.reason}) or 0.0

    error = wire.JobError(reason="POLICY_NOT_ATTESTED", message="sampler and learner disagree on policy 2")
    before = count()
    room.take(room.create_job().job_id).finish(wire.JOB_STATE_FAILED, error=error)
    assert count() == before + 1
    assert (
        alerts()["PinetuneWeightsNotAttested"]["expr"]
        == f'reason:pinetune_jobs_faults:increase15m{{reason="{error.reason}"}} > 0'
    )


def test_a_failure_keeps_its_reason(room: Room) -> None:
    job = room.create_job()
    error = wire.JobError(reason="TOO_MANY_UNGRADED", message="half was ungraded", field="method")
    room.take(job.job_id).finish(wire.JOB_STATE_FAILED, error=error)
    found = room.client.get_job(job.job_id)
    assert (found.state, found.error) == (wire.JOB_STATE_FAILED, error)
    *_, last = room.client.list_events(job.job_id)
    assert (last.level, last.message) == (wire.EVENT_LEVEL_ERROR, "the job has failed: half was ungraded")


def test_a_pause_that_was_overtaken_by_a_cancellation_cancels(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    room.client.pause_job(job.job_id)
    room.client.cancel_job(job.job_id)
    worker.finish(wire.JOB_STATE_PAUSED)
    assert room.client.get_job(job.job_id).state == wire.JOB_STATE_CANCELLED


def test_a_pause_that_was_taken_back_too_late_is_resumed_at_once(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    room.client.pause_job(job.job_id)
    assert beat(worker) == PAUSE
    room.client.resume_job(job.job_id)
    worker.finish(wire.JOB_STATE_PAUSED)
    assert room.client.get_job(job.job_id).state == wire.JOB_STATE_QUEUED


def test_a_job_s_own_evaluations_are_recorded_once_per_name(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    for value in (0.1, 0.2):
        worker.commit_evaluation(
            wire.Evaluation(
                order=wire.EvaluationOrder(name="base"),
                statistics=[wire.Statistic(name="accuracy", value=value)],
                rollouts_uri="/rollouts/base",
            )
        )
    (found,) = room.client.list_evaluations(job.job_id)
    assert (found.state, found.statistics[0].value) == (wire.JOB_STATE_SUCCEEDED, 0.2)
    assert (found.order.name, found.order.model, found.order.job_id) == ("base", "nano", job.job_id)
    assert found.order.sampling.temperature == 0.0
    assert found.order.grader.json


def test_a_job_s_own_evaluation_records_the_sampling_that_measured(room: Room) -> None:
    drawn = {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "max_tokens": 99, "min_tokens": 9, "stop": ["\n\n"]}
    settings = {
        "dataset": {"prompt": "{{item.question}}"},
        "sampling": drawn | {"samples_per_prompt": 4},
        "evaluation": {"temperature": 0.3},
    }
    job = room.create_job(pinetune=settings)
    room.take(job.job_id).commit_evaluation(wire.Evaluation(order=wire.EvaluationOrder(name="base")))
    (found,) = room.client.list_evaluations(job.job_id)
    spec = spec_from_message(room.client.get_job(job.job_id).spec)
    plan = Plan(job.job_id, spec, "", "", training=(), validation=(), test=())
    assert sampling_of(evaluation_order_from_message(found.order)) == plan.measuring_sampling


def test_a_job_s_own_evaluation_can_be_ordered_again_although_the_job_scales(room: Room) -> None:
    engine = {"replicas": 2, "max_replicas": 4}
    job = room.create_job(pinetune={"dataset": {"prompt": "{{item.question}}"}, "engine": engine})
    room.take(job.job_id).commit_evaluation(wire.Evaluation(order=wire.EvaluationOrder(name="base")))
    (found,) = room.client.list_evaluations(job.job_id)
    again = evaluation_order_from_message(found.order)
    assert (again.engine.replicas, again.engine.max_replicas) == (2, 2)
    assert found.order.sampling.samples_per_prompt == 1


def test_the_evaluation_of_the_warmed_up_policy_names_its_checkpoint(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    warmed_up = wire.Checkpoint(
        kind=wire.CHECKPOINT_KIND_WARM_UP, warm_up_step_number=3, policy_uri="/policies/warm", content_hash="warm"
    )
    checkpoint, _ = worker.commit_checkpoint(warmed_up)
    worker.commit_checkpoint(best_checkpoint(1, 0.5))
    for name in ("warm_up", "fine_tuned"):
        worker.commit_evaluation(wire.Evaluation(order=wire.EvaluationOrder(name=name)))
    models = {one.order.name: one.order.model for one in room.client.list_evaluations(job.job_id)}
    assert models == {"warm_up": checkpoint.checkpoint_id, "fine_tuned": f"job:{job.job_id}"}


def test_metrics_show_a_running_job_and_forget_an_ended_one(room: Room) -> None:
    job = room.create_job()
    worker = room.take(job.job_id)
    worker.commit_step(training_step(1, reward=0.25), USAGE)
    labels = {"job_id": job.job_id}
    assert REGISTRY.get_sample_value("pinetune_jobs_step", labels) == 1
    assert REGISTRY.get_sample_value("pinetune_jobs_train_reward_mean", labels) == 0.25
    assert REGISTRY.get_sample_value("pinetune_jobs_ungraded_share", labels) == 1 / 8
    worker.finish(wire.JOB_STATE_CANCELLED)
    assert REGISTRY.get_sample_value("pinetune_jobs_step", labels) is None


def test_unknown_work_is_not_found(room: Room) -> None:
    with pytest.raises(NotFound):
        room.worker("ftjob-none", 1).claim()
