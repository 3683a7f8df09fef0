"""A sampler that was started again is attested like the others before it samples: by hash, and by the canary."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.replicas import FakeReplica
from tests.fakes.services import Calls, FakeLearning

from pinetune.client.generation_replicas import GenerationReplicas
from pinetune.client.prompts import Message, Prompt, Sampling, TokenSequence
from pinetune.jobs.policies import Policies
from pinetune.pod.errors import Conflict

CANARY = TokenSequence((1,), (2, 3))
PROMPTS = [Prompt("a", (Message("user", "2 + 2?"),))]


@pytest.fixture
def sampler() -> Iterator[FakeReplica]:
    fake = FakeReplica("generation-0")
    yield fake
    fake.close()


@pytest.fixture
def generation(sampler: FakeReplica) -> Iterator[GenerationReplicas]:
    replicas = GenerationReplicas([sampler.replica], return_seconds=20.0)
    yield replicas
    replicas.close()


@pytest.fixture
def learning() -> FakeLearning:
    return FakeLearning(Calls())


@pytest.fixture
def published(sampler: FakeReplica, generation: GenerationReplicas, learning: FakeLearning, tmp_path: Path) -> Policies:
    """Policy 1 is published: learner and sampler score each token of the canary with -1."""
    learning.warm_up(1, [])
    sampler.logprob = -1.0
    policies = Policies(learning, generation, folder=str(tmp_path), max_canary_gap=0.01)
    assert policies.publish(1, CANARY).canary_gap == 0.0
    return policies


@pytest.fixture
def superseded(sampler: FakeReplica, learning: FakeLearning, published: Policies, tmp_path: Path) -> str:
    """Policy 1 is kept and policy 2 published, whose canary is scored with -2; returns the folder of policy 1."""
    uri = str(tmp_path / "v000001")
    published.keep(uri)
    learning.warm_up(2, [])
    sampler.logprob = -2.0
    published.publish(2, CANARY)
    return uri


def restart(sampler: FakeReplica) -> None:
    sampler.end()
    sampler.begin()


def test_one_that_agrees_with_the_learner_samples_again(
    sampler: FakeReplica, generation: GenerationReplicas, published: Policies
) -> None:
    restart(sampler)
    assert sampler.policy.policy_version == 0, "a new process holds the base model"
    generation.generate(PROMPTS, Sampling(), min_policy_version=1)
    assert published.current is not None
    assert sampler.policy.content_hash == published.current.content_hash


def test_one_that_scores_the_canary_differently_ends_the_job(
    sampler: FakeReplica, generation: GenerationReplicas, published: Policies
) -> None:
    restart(sampler)
    sampler.logprob = -1.5
    with pytest.raises(Conflict, match=r"disagree on policy 1: the canary's log-probabilities differ by 0\.5"):
        generation.generate(PROMPTS, Sampling(), min_policy_version=1)


def test_an_older_policy_that_is_loaded_again_is_held_against_what_its_canary_was(
    sampler: FakeReplica, published: Policies, superseded: str
) -> None:
    with pytest.raises(Conflict, match=r"disagree on policy 1: the canary's log-probabilities differ by 1 "):
        published.load(superseded, 1, "hash-1")
    # The learner has moved on from policy 1, but what it made of the canary is remembered.
    sampler.logprob = -1.0
    assert published.load(superseded, 1, "hash-1").canary_gap == 0.0


def test_one_that_is_restarted_after_an_older_policy_was_loaded_is_held_to_its_canary(
    sampler: FakeReplica, generation: GenerationReplicas, published: Policies, superseded: str
) -> None:
    sampler.logprob = -1.0
    published.load(superseded, 1, "hash-1")
    restart(sampler)
    generation.generate(PROMPTS, Sampling(), min_policy_version=1)
    assert (sampler.policy.policy_version, sampler.policy.content_hash) == (1, "hash-1")
    restart(sampler)
    sampler.logprob = -2.0
    with pytest.raises(Conflict, match="disagree on policy 1"):
        generation.generate(PROMPTS, Sampling(), min_policy_version=1)


def test_an_older_policy_of_which_no_canary_is_remembered_is_held_to_its_hash(
    sampler: FakeReplica, generation: GenerationReplicas, published: Policies, superseded: str
) -> None:
    # As after a restart of the worker.
    assert published.load("file:///kept/v000001", 1, "hash-1").canary_gap is None
    restart(sampler)
    generation.generate(PROMPTS, Sampling(), min_policy_version=1)
    assert (sampler.policy.policy_version, sampler.policy.content_hash) == (1, "hash-1")
