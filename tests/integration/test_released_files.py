"""Today's code reads what released versions wrote: their databases, checkpoints, policies and rollouts."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from tests.fakes.jobs_room import Room, jobs_room, training_step
from tests.released_files import DATABASES, ReleasedDatabase
from transformers import AutoModelForCausalLM

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.learning.v1.learning_pb2_grpc import add_LearningServiceServicer_to_server
from pinetune.client.learning import LearningClient, Trajectory
from pinetune.client.rollout import PolicySpan
from pinetune.generation.weights import HeldWeights
from pinetune.jobs.rollout_files import read_rollouts
from pinetune.jobs.sampler import trajectories_of
from pinetune.jobs.training import plan_of
from pinetune.learning.service import SERVICE_NAME, LearningService
from pinetune.pod.channel import connect
from pinetune.pod.manifest import read_manifest
from pinetune.pod.server import RegisteredService


@pytest.fixture(params=DATABASES, ids=str)
def released(request: pytest.FixtureRequest) -> ReleasedDatabase:
    found: ReleasedDatabase = request.param
    return found


@pytest.fixture
def room(
    released: ReleasedDatabase, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Room]:
    """Today's jobs service over a released version's database."""
    # The addresses in it are relative.
    monkeypatch.chdir(tmp_path)
    released.place(tmp_path, database_url)
    with jobs_room(tmp_path, database_url, artifacts_uri="artifacts") as running:
        yield running


@pytest.fixture
def learning(serve: Callable[..., str]) -> Iterator[LearningClient]:
    torch.set_num_threads(1)
    service = LearningService()
    register = RegisteredService(SERVICE_NAME, lambda server: add_LearningServiceServicer_to_server(service, server))
    with connect(serve([register])) as channel:
        yield LearningClient(channel)


def has(answer: Message | Any, former: dict[str, Any]) -> bool:
    """Return whether the answer says all that was said then; newer fields may have been added."""
    return _covers(MessageToDict(answer, preserving_proto_field_name=True), former)


def _covers(new: Any, old: Any) -> bool:
    if isinstance(old, dict):
        return isinstance(new, dict) and all(name in new and _covers(new[name], old[name]) for name in old)
    if isinstance(old, list):
        return isinstance(new, list) and len(new) == len(old) and all(map(_covers, new, old))
    return bool(new == old)


def assert_alike(answers: Iterator[Any], former: list[dict[str, Any]]) -> None:
    today = list(answers)
    assert len(today) == len(former)
    for one, then in zip(today, former, strict=True):
        assert has(one, then), (one, then)


def test_there_are_files_of_releases() -> None:
    assert {"0001", "0002"} <= {database.revision for database in DATABASES}


@pytest.mark.parametrize("name", ["finished", "paused"])
def test_all_of_a_job_is_listed_as_it_was(room: Room, released: ReleasedDatabase, name: str) -> None:
    former, client = released.answers[name], room.client
    job_id = former["job"]["job_id"]
    assert has(client.get_job(job_id), former["job"])
    assert_alike(client.list_events(job_id), former["events"])
    assert_alike(client.list_steps(job_id), former["steps"])
    assert_alike(client.list_checkpoints(job_id), former["checkpoints"])
    assert_alike(client.list_evaluations(job_id), former["evaluations"])
    assert_alike(client.list_rollouts(job_id=job_id, step=1), former["rollouts_of_step_1"])
    for evaluation in former["evaluations"]:
        assert has(client.get_evaluation(evaluation["evaluation_id"]), evaluation)


def test_data_sets_and_jobs_are_listed_and_new_ones_follow(room: Room, released: ReleasedDatabase) -> None:
    former = released.answers
    assert_alike(room.client.list_datasets(), former["datasets"])
    newest = room.create_job()
    listed = [job.job_id for job in room.client.list_jobs()]
    assert listed == [newest.job_id, *(former[name]["job"]["job_id"] for name in ("paused", "finished"))]


def test_a_paused_job_is_resumed_from_its_checkpoint_and_learns_on(
    room: Room, released: ReleasedDatabase, learning: LearningClient
) -> None:
    former = released.answers["paused"]
    job_id, step = former["job"]["job_id"], int(former["job"]["step"])
    assert room.client.resume_job(job_id).state == wire.JOB_STATE_QUEUED
    room.scheduler.look()
    worker = room.worker(job_id, former["job"]["attempt"] + 1)
    claim = worker.claim()
    assert (claim.job.step, claim.checkpoint.step_number) == (step, step)
    plan = plan_of(claim)
    assert len(plan.training) == 8
    learning.open(plan.open_request(claim.job.total_warm_up_steps))
    state, position = learning.restore_checkpoint(claim.checkpoint.state_uri)
    assert (state.update_step, state.reference_frozen) == (step, True)
    assert f'"step": {step}' in position
    # Rollouts of an earlier step stand for new ones: tokens, log-probabilities and rewards as they were written.
    rollouts = read_rollouts(next(one["rollouts_uri"] for one in former["steps"] if "rollouts_uri" in one))
    metrics = learning.update(step + 1, _as_of_now(trajectories_of(rollouts, {}), state.policy_version))
    assert metrics.entropy > 0
    worker.commit_step(training_step(step + 1), wire.Usage())
    assert room.client.get_job(job_id).step == step + 1


def _as_of_now(trajectories: list[Trajectory], version: int) -> list[Trajectory]:
    """Return completions as if the current policy had sampled them."""
    return [
        replace(
            one, completion=replace(one.completion, policy_spans=(PolicySpan(version, len(one.completion.token_ids)),))
        )
        for one in trajectories
    ]


@pytest.mark.parametrize("released", {one.path.parent: one for one in DATABASES}.values(), ids=str)
def test_a_policy_is_attested_by_its_manifest(released: ReleasedDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(released.path.parent)
    uri = released.answers["finished"]["job"]["model_uri"]
    manifest = read_manifest(uri)
    base = f"artifacts/jobs/{released.answers['paused']['job']['job_id']}/base"
    model = AutoModelForCausalLM.from_pretrained(base)
    loaded = HeldWeights(model, threads=1).load(uri, manifest.policy_version, manifest.content_hash)
    assert loaded.state.content_hash == manifest.content_hash
    trained = AutoModelForCausalLM.from_pretrained(uri).state_dict()
    assert all(torch.equal(trained[name], tensor) for name, tensor in model.state_dict().items())
    assert loaded.changed_tensor_count > 0
