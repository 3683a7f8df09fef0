"""A job whose generation replica is killed in the middle of a step: real processes, a tiny model, nothing faked but
the grader. The replica is started again alone, the step ends with each completion once, and the story tells it."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from tests.fakes.jobs_room import GRADER, FakeGrading, registered_grading

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.client.jobs import ENDED, JobsClient
from pinetune.jobs.__main__ import build
from pinetune.jobs.config import JobsSettings
from pinetune.jobs.rollout_files import Rollout, read_rollouts
from pinetune.pod.channel import connect
from pinetune.pod.server import PodSettings, start

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 240.0
ITEMS, SAMPLES, STEPS = 16, 16, 2
pytestmark = pytest.mark.timeout(2 * PATIENCE_SECONDS)


@pytest.fixture(autouse=True)
def children_find_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "services"))


@contextmanager
def jobs_service(folder: Path) -> Iterator[JobsClient]:
    grading = start("grading", PodSettings(grace_seconds=1.0), lambda _: [registered_grading(FakeGrading())])
    settings = JobsSettings(data_dir=folder, grading_address=grading.grpc_address, stop_grace_seconds=2.0)
    pod = start("jobs", PodSettings(grace_seconds=1.0), lambda pod: build(pod, settings))
    try:
        with connect(pod.grpc_address) as channel:
            yield JobsClient(channel)
    finally:
        pod.close()
        grading.close()


def create_job(client: JobsClient, replicas: int) -> str:
    """Order a job without a warm-up: an untaught model hardly ever ends an answer, so a step takes seconds."""
    rows = [
        {
            "id": f"i{n}",
            "question": f"What is {n} plus {n + 1}?",
            "answer": str(2 * n + 1),
            "cot": f"It is {2 * n + 1}.",
        }
        for n in range(ITEMS + 2)
    ]
    files = []
    for part in (rows[:ITEMS], rows[ITEMS:]):
        content = "".join(json.dumps(row) + "\n" for row in part).encode()
        files.append(client.create_dataset(content, filename="rows.jsonl").dataset_id)
    order = {
        "model": "nano",
        "training_file": files[0],
        "validation_file": files[1],
        "method": {
            "type": "reinforcement",
            "reinforcement": {
                "grader": GRADER,
                "hyperparameters": {"n_epochs": STEPS, "batch_size": ITEMS, "eval_interval": STEPS},
            },
        },
        "pinetune": {
            "dataset": {"prompt": "{{item.question}}"},
            "warm_up": {"epochs": 1, "batch_size": ITEMS},
            "sampling": {"samples_per_prompt": SAMPLES, "max_tokens": 120},
            "evaluation": {"final_comparison": False},
            "engine": {"replicas": replicas, "threads": 1},
            "nano": {
                "layer_count": 2,
                "width": 64,
                "head_count": 4,
                "vocabulary_size": 300,
                "max_tokens": 256,
            },
        },
    }
    return client.create_job(json.dumps(order)).job_id


def kill_while_it_samples(client: JobsClient, folder: Path, job_id: str, name: str) -> None:
    """Kill a replica once the job has a step and the replica has completions of the next one under way."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up:
        job = client.get_job(job_id)
        assert job.state not in ENDED, job.error
        if job.step >= 1 and (address := metrics_of(folder, name)) and running(address) >= SAMPLES:
            os.kill(pid_of(folder, job_id, name), signal.SIGKILL)
            return
        time.sleep(0.02)
    raise AssertionError(f"{name} was never seen sampling: {story(client, job_id)}")


def metrics_of(folder: Path, name: str) -> str:
    targets = json.loads((folder / "run" / "targets.json").read_text())
    return next((one["targets"][0] for one in targets if one["labels"]["process"] == name), "")


def running(address: str) -> float:
    with urlopen(f"http://{address}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    line = next(line for line in lines if line.startswith("pinetune_generation_completions_running "))
    return float(line.split()[1])


def pid_of(folder: Path, job_id: str, name: str) -> int:
    """Return the process that listens on a replica's port of /metrics, by its environment."""
    port = metrics_of(folder, name).rsplit(":", 1)[1]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if f"PINETUNE_POD_METRICS_PORT={port}\0".encode() in environment:
            return int(process.name)
    raise AssertionError(f"no process of {job_id} has port {port}")


def story(client: JobsClient, job_id: str) -> list[str]:
    return [event.message for event in client.list_events(job_id)]


def ended(client: JobsClient, job_id: str) -> wire.Job:
    *_, last = client.watch(job_id)
    assert last.job.state == wire.JOB_STATE_SUCCEEDED, (last.job.error, story(client, job_id))
    return last.job


def rollouts(client: JobsClient, job_id: str) -> list[list[Rollout]]:
    steps = list(client.list_steps(job_id, phase=wire.JOB_PHASE_TRAINING))
    assert [step.number for step in steps] == list(range(STEPS + 1))
    return [read_rollouts(step.rollouts_uri) for step in steps[1:]]


def check_complete(steps: list[list[Rollout]]) -> None:
    """Each step has each sample of each of its items once, all by the step's own policy."""
    for number, step in enumerate(steps, start=1):
        ids = [rollout.completion.completion_id for rollout in step]
        assert len(ids) == len(set(ids)) == ITEMS * SAMPLES
        groups = {rollout.item_id for rollout in step}
        assert sorted(ids) == sorted(
            f"training-{number:06d}-{item}-{index}" for item in groups for index in range(SAMPLES)
        )
        assert len({span.policy_version for rollout in step for span in rollout.completion.policy_spans}) == 1


def test_a_replica_that_is_killed_in_a_step_is_started_again_while_the_other_samples_its_prompts(
    tmp_path: Path,
) -> None:
    with jobs_service(tmp_path) as client:
        job_id = create_job(client, replicas=2)
        kill_while_it_samples(client, tmp_path, job_id, "generation-1")
        job = ended(client, job_id)
        check_complete(rollouts(client, job_id))
        told = story(client, job_id)
    assert job.attempt == 1, "the worker and the learner went on"
    assert any(
        one.startswith("generation-1 ended with signal 9; it alone is started again, restart 1 of 3") for one in told
    ), told
    assert any(one.startswith("generation-1 is lost, 1 left") for one in told), told
    moved = [one for one in told if "prompts of generation-1, which is lost, are sampled again" in one]
    assert moved, told
    assert all("training-00000" in one for one in moved)


def test_with_one_replica_the_step_waits_for_its_return_and_the_numbers_are_those_of_a_job_never_killed(
    tmp_path: Path,
) -> None:
    with jobs_service(tmp_path) as client:
        calm = create_job(client, replicas=1)
        ended(client, calm)
        killed = create_job(client, replicas=1)
        kill_while_it_samples(client, tmp_path, killed, "generation-0")
        job = ended(client, killed)
        expected, found = rollouts(client, calm), rollouts(client, killed)
        told = story(client, killed)
    assert job.attempt == 1
    check_complete(found)
    assert found == expected, "bit for bit"
    assert any(one.startswith("generation-0 ended with signal 9; it alone is started again") for one in told), told
    assert any(one.startswith("generation-0 is lost, none is left and the job waits") for one in told), told
    assert any(one.startswith("generation-0 is back after") and "holds policy" in one for one in told), told
