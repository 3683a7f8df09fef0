"""Every way brings the learner's policies to the sampler, and answers have the shape that the job was ordered with."""

import re
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from tests.integration.policy_delivery.conftest import WAYS, Delivery

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.jobs.rollout_files import read_rollouts
from pinetune.pod.errors import InvalidInput
from pinetune.pod.manifest import read_manifest


def test_all_ways_carry_the_same_policies(deliver: Callable[..., Delivery], tmp_path: Path) -> None:
    stories = []
    for way in WAYS:
        job = deliver(way, folder=str(tmp_path / "artifacts" / way))
        Path(tmp_path / "artifacts" / way).mkdir(exist_ok=True)
        model_uri = job.loop.run()
        assert job.learning.updates == [1, 2]
        assert all(step.canary_gap < 1e-5 for step in job.jobs.steps if step.HasField("canary_gap"))
        update = job.jobs.steps[-1].update
        assert 0 <= update.sampler_gap_p50 <= update.sampler_gap_p95 <= update.sampler_gap_max < 1e-4
        assert update.effective_sample_share == pytest.approx(1.0, abs=1e-6)
        assert update.effective_sequence_share == pytest.approx(1.0, abs=1e-6)
        rewards = [step.train_reward_mean for step in job.jobs.steps]
        stories.append((rewards, (Path(model_uri) / "model.safetensors").read_bytes()))
    assert stories[0] == stories[1] == stories[2]


def test_every_answer_of_a_job_has_the_shape_that_it_was_ordered_with(deliver: Callable[..., Delivery]) -> None:
    job = deliver("shared_storage", regex="(yes|no), [0-9]")
    job.loop.run()
    assert job.learning.updates == [1, 2]
    trained = [step for step in job.jobs.steps if step.phase == jobs_pb2.JOB_PHASE_TRAINING and step.rollouts_uri]
    texts = {one.completion.text for step in trained for one in read_rollouts(step.rollouts_uri)}
    assert len(texts) > 1
    assert all(re.fullmatch("(yes|no), [0-9]", text) for text in texts)
    gaps = [step.update.sampler_gap_max for step in trained if step.HasField("update")]
    assert gaps, "the learner compares its log-probabilities with the sampler's"
    assert max(gaps) < 1e-4


def test_a_shape_that_the_model_cannot_keep_ends_the_job_before_anything_is_trained(
    deliver: Callable[..., Delivery],
) -> None:
    field = "method.reinforcement.response_format.regex"
    with pytest.raises(InvalidInput, match=f"^{field} cannot be kept: .*unclosed group") as caught:
        deliver("shared_storage", regex="(a")
    assert caught.value.metadata["field"] == field


def test_policies_travel_through_object_storage(deliver: Callable[..., Delivery]) -> None:
    # In memory: an address that is no path, written and read as an object store is, within one process.
    job = deliver("shared_storage", folder="memory://artifacts")
    model_uri = job.loop.run()
    assert job.learning.updates == [1, 2]
    store = fsspec.filesystem("memory")
    assert model_uri == "memory://artifacts/model"
    assert {"manifest.json", "model.safetensors"} <= {Path(one).name for one in store.find("/artifacts/model")}
    assert read_manifest(model_uri).content_hash == job.loop.policy.content_hash
    # What nothing needs any more is gone.
    policies = {Path(one).name for one in store.ls("/artifacts/policies", detail=False)}
    assert policies == {"v000001", "v000003"}, "the warmed-up policy and the last one"
