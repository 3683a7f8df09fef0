"""A job's samplers become more and fewer by how long its steps sample; the launcher hears of it last."""

import pytest
from prometheus_client import REGISTRY
from tests.fakes.services import Calls, FakeGeneration, FakeGrading, FakeJobs, FakeLearning

from pinetune.client.prompts import Message, Sampling
from pinetune.client.replica_set import Attendance
from pinetune.client.rollout import Purpose
from pinetune.jobs.backlog import STEPS_BEFORE_FEWER, Bounds
from pinetune.jobs.clock import Clock
from pinetune.jobs.dataset import Item
from pinetune.jobs.journal import Journal
from pinetune.jobs.rewards import RewardPolicy
from pinetune.jobs.sampler import Sampler
from pinetune.jobs.scaling import Scaling
from pinetune.jobs.usage import Usage

TINY, HUGE = 1e-9, 1e9
"""Seconds that every step is far above and far below."""


class Attended(FakeGeneration):
    """Samplers that are there or not as a test says; keeps what the launcher was told when they were resized."""

    def __init__(self, journal: Journal) -> None:
        calls = Calls()
        super().__init__(calls, FakeLearning(calls))
        self.there = Attendance((True,), 0)
        self.journal = journal
        self.resized: list[tuple[int, int]] = []
        """What it was resized to, and what the heartbeats said then."""

    def attendance(self) -> Attendance:
        return self.there

    def resize(self, count: int) -> None:
        self.resized.append((count, self.journal.wanted_replicas))
        self.there = Attendance((True,) * count, self.there.change_count)


class Job:
    """One job's scaling with what it acts on."""

    def __init__(self, backlog_seconds: float) -> None:
        self.jobs = FakeJobs(Calls())
        self.journal = Journal(self.jobs, Usage())
        self.generation = Attended(self.journal)
        self.scaling = Scaling(self.generation, Bounds(1, 2, backlog_seconds), self.journal)

    def step(self, *, then: Attendance | None = None) -> None:
        with self.scaling.watching():
            if then is not None:
                self.generation.there = then


def test_the_launcher_hears_from_the_start_what_the_job_begins_with() -> None:
    assert Job(TINY).journal.wanted_replicas == 1


def test_a_step_above_the_limit_gets_another_sampler_and_the_story_says_why() -> None:
    job = Job(TINY)
    job.step()
    assert job.generation.resized == [(2, 1)], "looked after before the launcher hears of it"
    assert job.journal.wanted_replicas == 2
    assert REGISTRY.get_sample_value("pinetune_worker_replicas_wanted") == 2
    (told,) = job.jobs.messages
    assert told.startswith("sampling took ")
    assert told.endswith(" s, above engine.backlog_seconds of 1e-09: 2 samplers wanted instead of 1")


def test_steps_that_fewer_could_do_send_one_away_before_the_launcher_ends_it() -> None:
    job = Job(TINY)
    job.step()
    job.scaling._backlog.bounds = Bounds(1, 2, HUGE)
    for _ in range(STEPS_BEFORE_FEWER):
        assert job.journal.wanted_replicas == 2
        job.step()
    assert job.generation.resized == [(2, 1), (1, 2)], "it has no work any more when the launcher hears of it"
    assert job.journal.wanted_replicas == 1
    assert job.jobs.messages[-1].endswith(
        " s, which fewer can do within engine.backlog_seconds of 1e+09: 1 sampler wanted instead of 2"
    )


@pytest.mark.parametrize(
    "then",
    [Attendance((True,), 2), Attendance((False,), 1)],
    ids=["one was lost and came back", "one was lost"],
)
def test_a_step_in_which_a_sampler_came_or_went_says_nothing(then: Attendance) -> None:
    job = Job(TINY)
    job.step(then=then)
    assert job.generation.resized == []
    assert job.jobs.messages == []


def test_a_step_that_breaks_off_says_nothing() -> None:
    job = Job(TINY)
    with pytest.raises(RuntimeError), job.scaling.watching():
        raise RuntimeError
    assert job.generation.resized == []


@pytest.mark.parametrize(
    ("purpose", "resized"), [(Purpose.TRAINING, [(2, 1)]), (Purpose.VALIDATION, []), (Purpose.EVALUATION, [])]
)
def test_training_steps_are_asked_and_nothing_else(purpose: Purpose, resized: list[tuple[int, int]]) -> None:
    job = Job(TINY)
    sampler = Sampler(
        job.generation,
        FakeGrading({}),
        {"type": "number"},
        RewardPolicy(ungraded="exclude", penalty=0.0, max_ungraded_share=1.0),
        Clock(),
        Usage(),
        parameter_count=1,
        scaling=job.scaling,
    )
    item = Item("i1", 1, (Message("user", "2 + 2?"),), (), "{}", "4", "")
    rollouts = sampler.collect([item], Sampling(), name="step", purpose=purpose, step=1, policy_version=0)
    assert len(rollouts) == 1
    assert job.generation.resized == resized
