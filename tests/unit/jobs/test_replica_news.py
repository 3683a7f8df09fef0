"""What a job's story and /metrics say of generation replicas that go, come back, and whose prompts move."""

import pytest
from prometheus_client import REGISTRY
from tests.fakes.services import Calls, FakeJobs

from pinetune.client.replica_news import Back, GivenUp, Joined, Lost, Moved, Retired
from pinetune.jobs.journal import Journal
from pinetune.jobs.replica_news import IDS_SHOWN, ReplicaNews
from pinetune.jobs.usage import Usage


@pytest.fixture
def jobs() -> FakeJobs:
    return FakeJobs(Calls())


@pytest.fixture
def news(jobs: FakeJobs) -> ReplicaNews:
    return ReplicaNews(Journal(jobs, Usage()), replica_count=2)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"pinetune_worker_{name}", labels) or 0.0


def test_a_loss_and_a_return_are_told_and_counted(news: ReplicaNews, jobs: FakeJobs) -> None:
    lost_before = metric("generation_replicas_lost_total")
    assert metric("generation_replicas") == 2
    news(Lost("generation-1", "Socket closed", present_count=1))
    assert metric("generation_replicas") == 1
    assert metric("generation_replicas_lost_total") == lost_before + 1
    news(Back("generation-1", away_seconds=8.25, policy_version=4, present_count=2))
    assert metric("generation_replicas") == 2
    assert jobs.messages == [
        "generation-1 is lost, 1 left: Socket closed",
        "generation-1 is back after 8.2 s and holds policy 4",
    ]


def test_the_last_loss_says_what_the_job_waits_for(news: ReplicaNews, jobs: FakeJobs) -> None:
    news(Lost("generation-0", "Socket closed", present_count=0))
    assert jobs.messages == ["generation-0 is lost, none is left and the job waits for its return: Socket closed"]


def test_those_that_join_are_not_needed_any_more_or_cannot_be_used_are_told_and_no_loss(
    news: ReplicaNews, jobs: FakeJobs
) -> None:
    lost_before = metric("generation_replicas_lost_total")
    given_up_before = metric("generation_replicas_given_up_total")
    assert metric("replicas_wanted") == 2
    news(Joined("generation-2", start_seconds=12.34, policy_version=4, present_count=3))
    assert metric("generation_replicas") == 3
    news(Retired("generation-2", present_count=2))
    assert metric("generation_replicas") == 2
    news(GivenUp("generation-3", "it scores the canary differently", present_count=1))
    assert metric("generation_replicas") == 1
    assert metric("generation_replicas_lost_total") == lost_before
    assert metric("generation_replicas_given_up_total") == given_up_before + 1
    assert jobs.messages == [
        "generation-2 has joined after 12.3 s and holds policy 4",
        "generation-2 is not needed any more and gets no more work",
        "generation-3 is given up, and the job goes on without it: it scores the canary differently",
    ]


@pytest.mark.parametrize("reason", ["lost", "busy", "slow"])
def test_prompts_that_move_are_named_and_counted_by_reason(news: ReplicaNews, jobs: FakeJobs, reason: str) -> None:
    before = metric("prompts_moved_total", reason=reason)
    news(Moved("generation-1", ("training-000002-a", "training-000002-b"), reason))
    assert metric("prompts_moved_total", reason=reason) == before + 2
    (message,) = jobs.messages
    assert message.startswith("2 prompts ")
    assert "generation-1" in message
    assert message.endswith(": training-000002-a, training-000002-b")


def test_many_prompts_are_named_in_part(news: ReplicaNews, jobs: FakeJobs) -> None:
    news(Moved("generation-1", tuple(f"p{number}" for number in range(IDS_SHOWN + 1)), "lost"))
    assert jobs.messages[0].endswith(f"p{IDS_SHOWN - 1} …")
