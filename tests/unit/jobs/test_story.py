"""A worker's events while the jobs service is away: each is told once, in order, with its time, and stops nothing."""

import threading
import time
from collections.abc import Callable, Sequence

import pytest
from tests.fakes.services import Calls, FakeJobs

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1 import worker_pb2
from pinetune.client.calls import CUT_OFF
from pinetune.jobs.journal import Journal, Measurement, StepRecord
from pinetune.jobs.policies import Policy
from pinetune.jobs.rewards import GradeCounts
from pinetune.jobs.story import UNTOLD_MAX
from pinetune.jobs.usage import Usage
from pinetune.pod.errors import Conflict, PinetuneError, TimedOut, Unavailable

POLICY = Policy(1, "/policies/1", "hash")
MEASUREMENT = Measurement((), GradeCounts(0, 0, 0, 0, ()), "/rollouts")
AWAY = Unavailable("nobody is there", reason="UNAVAILABLE")


class Jobs(FakeJobs):
    """A jobs service that is away for as long as a test says, and knows events by their numbers."""

    def __init__(self) -> None:
        super().__init__(Calls())
        self.fault: PinetuneError | None = None
        """What events are answered with."""
        self.takes_them_up = False
        """Whether they are taken up although their answer is `fault`."""
        self.comes_back_for_commits = False
        self.events: list[wire.Event] = []
        self.story: list[str] = []
        """Messages and commits, in the order in which they came."""
        self.patience: list[bool] = []
        self.at_events: Callable[[], None] = lambda: None

    def append_events(self, events: Sequence[wire.Event], *, first_number: int = 0, patient: bool = False) -> None:
        self.at_events()
        self.patience.append(patient)
        if self.fault is None or self.takes_them_up:
            assert first_number <= len(self.events) + 1
            new = events[len(self.events) + 1 - first_number :]
            self.events += new
            self.story += [event.message for event in new]
        if self.fault is not None:
            raise self.fault

    def commit_step(self, step: wire.Step, usage: wire.Usage) -> worker_pb2.WorkerAction:
        if self.comes_back_for_commits:
            self.fault = None
        self.story.append(f"step {step.number}")
        return super().commit_step(step, usage)

    def commit_checkpoint(self, checkpoint: wire.Checkpoint) -> tuple[wire.Checkpoint, list[str]]:
        self.story.append("checkpoint")
        return super().commit_checkpoint(checkpoint)

    def commit_evaluation(self, evaluation: wire.Evaluation) -> wire.Evaluation:
        self.story.append("evaluation")
        return super().commit_evaluation(evaluation)

    def finish(
        self,
        state: wire.JobState,
        *,
        error: wire.JobError | None = None,
        model_uri: str = "",
        best_checkpoint_id: str = "",
        usage: wire.Usage | None = None,
    ) -> None:
        self.story.append("finish")


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def journal(jobs: Jobs) -> Journal:
    return Journal(jobs, Usage())


@pytest.mark.parametrize(
    "fault",
    [AWAY, TimedOut("", reason="DEADLINE_EXCEEDED"), Unavailable("", reason=CUT_OFF)],
    ids=["away", "no answer", "stops while it answers"],
)
@pytest.mark.parametrize("takes_them_up", [False, True], ids=["not taken up", "answer lost"])
def test_events_that_did_not_get_through_come_before_the_next_one_each_once_with_their_times(
    fault: PinetuneError, takes_them_up: bool, jobs: Jobs, journal: Journal
) -> None:
    jobs.fault, jobs.takes_them_up = fault, takes_them_up
    begin = time.time_ns() // 1000
    journal.warn("generation-1 is lost")
    journal.note("generation-1 is back")
    end = time.time_ns() // 1000
    jobs.fault = None
    journal.note("generation-2 joins")
    assert jobs.story == ["generation-1 is lost", "generation-1 is back", "generation-2 joins"]
    assert [event.level for event in jobs.events] == [wire.EVENT_LEVEL_WARN, *[wire.EVENT_LEVEL_INFO] * 2]
    times = [event.create_time.ToMicroseconds() for event in jobs.events]
    assert times == sorted(times)
    assert begin <= times[0] <= times[1] <= end <= times[2]


def commit_step(journal: Journal) -> None:
    journal.commit_step(StepRecord(1, wire.JOB_PHASE_TRAINING, POLICY), {"total": 1.0})


def keep_policy(journal: Journal) -> None:
    journal.commit_checkpoint(wire.CHECKPOINT_KIND_WARM_UP, step=1, warm_up_step=0, policy=POLICY)


def measure(journal: Journal) -> None:
    journal.commit_evaluation("base", MEASUREMENT, content_hash="hash")


def finish(journal: Journal) -> None:
    journal.finish(wire.JOB_STATE_SUCCEEDED)


@pytest.mark.parametrize(
    ("commit", "name"),
    [(commit_step, "step 1"), (keep_policy, "checkpoint"), (measure, "evaluation"), (finish, "finish")],
    ids=["step", "checkpoint", "evaluation", "finish"],
)
def test_events_that_wait_come_before_the_next_commit(
    commit: Callable[[Journal], None], name: str, jobs: Jobs, journal: Journal
) -> None:
    jobs.fault = AWAY
    journal.warn("generation-1 is lost")
    jobs.fault = None
    commit(journal)
    assert jobs.story == ["generation-1 is lost", name]


def test_events_that_wait_come_right_after_a_commit_that_waited_for_the_service(jobs: Jobs, journal: Journal) -> None:
    jobs.fault, jobs.comes_back_for_commits = AWAY, True
    journal.warn("generation-1 is lost")
    commit_step(journal)
    assert jobs.story == ["step 1", "generation-1 is lost"]


def test_events_that_wait_go_along_with_a_heartbeat_that_gets_through(jobs: Jobs, journal: Journal) -> None:
    def be_away(phase: wire.JobPhase) -> None:
        raise AWAY

    jobs.fault, jobs.at_heartbeat = AWAY, be_away
    journal.warn("generation-1 is lost")
    tries = len(jobs.patience)
    journal.beat()
    assert len(jobs.patience) == tries, "while not even a heartbeat gets through nothing is tried"
    jobs.fault, jobs.at_heartbeat = None, lambda phase: None
    journal.beat()
    assert jobs.story == ["generation-1 is lost"]


def test_a_heartbeat_is_not_held_up_by_a_thread_that_tells(jobs: Jobs, journal: Journal) -> None:
    came, go_on = threading.Event(), threading.Event()

    def hold_up() -> None:
        came.set()
        assert go_on.wait(30)

    jobs.at_events = hold_up
    telling = threading.Thread(target=journal.warn, args=("generation-1 is lost",))
    telling.start()
    assert came.wait(30)
    beating = threading.Thread(target=journal.beat)
    beating.start()
    beating.join(30)
    assert not beating.is_alive()
    go_on.set()
    telling.join(30)
    assert jobs.story == ["generation-1 is lost"]


def test_only_before_the_end_is_the_service_waited_for(jobs: Jobs, journal: Journal) -> None:
    jobs.fault = AWAY
    journal.warn("generation-1 is lost")
    journal.beat()
    commit_step(journal)
    assert not any(jobs.patience)
    finish(journal)
    assert jobs.patience[-1]
    assert jobs.story == ["step 1", "finish"], "events that cannot be told keep no work from its end"


def test_the_oldest_events_are_kept_and_how_many_followed_is_told_after_them(jobs: Jobs, journal: Journal) -> None:
    jobs.fault = AWAY
    for number in range(UNTOLD_MAX + 3):
        journal.warn(f"event {number}")
    jobs.fault = None
    journal.note("generation-1 is back")
    *kept, left_out, last = jobs.story
    assert kept == [f"event {number}" for number in range(UNTOLD_MAX)]
    assert left_out == (
        "events that followed while the jobs service was away are left out here, 3 in all; the worker's log has them"
    )
    assert last == "generation-1 is back"


def test_a_worker_that_was_given_up_is_told_so(jobs: Jobs, journal: Journal) -> None:
    jobs.fault = Conflict("attempt 1 was given up", reason="STALE_ATTEMPT")
    with pytest.raises(Conflict, match="given up"):
        journal.warn("generation-1 is lost")


@pytest.mark.parametrize("fault", [None, AWAY, Conflict("attempt 1 was given up", reason="STALE_ATTEMPT")], ids=repr)
def test_an_attempt_that_breaks_off_tries_to_tell_why(
    fault: PinetuneError | None, jobs: Jobs, journal: Journal
) -> None:
    jobs.fault = AWAY
    journal.warn("generation-1 is lost")
    jobs.fault = fault
    journal.break_off()
    assert jobs.patience[-1]
    assert jobs.story == ([] if fault else ["generation-1 is lost"])
