"""A whole job through `pinetune up`, told to a real OTLP receiver: every process says its part of the same traces."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.collector import Collector, Seen

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.client.jobs import ENDED, JobsClient
from pinetune.pod.channel import connect

COMMAND = [sys.executable, "-m", "pinetune.cli.main"]
DEADLINE_SECONDS = 120.0
STEPS, FOLLOWED = 2, 3
SECRETS = ("What is", "plus", "The answer is")
"""What stands in every prompt, and in what the model is taught to answer."""
GRADER = {"type": "number", "reference": "{{item.answer}}", "location": {"marker": "The answer is"}}
ROOMS = {"generation.v1.GenerationService": "generation", "learning.v1.LearningService": "learning"} | {
    "grading.v1.GradingService": "grading",
    "jobs.v1.WorkerService": "jobs",
}


@dataclass(frozen=True)
class Told:
    """What a job told."""

    job_id: str
    spans: Sequence[Seen]
    raw: bytes

    def of(self, name: str) -> list[Seen]:
        return [one for one in self.spans if one.name == name]

    def below(self, parent: Seen) -> list[Seen]:
        found = [one for one in self.spans if one.parent_id == parent.span_id]
        return sorted(found, key=lambda one: one.begin)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("traces")
    data_dir = folder / "pinetune"
    with Collector() as collector:
        variables = {
            "PINETUNE_POD_TRACES_ENDPOINT": collector.endpoint,
            "PINETUNE_WORKER_TRACED_ROLLOUTS": str(FOLLOWED),
        }
        with up(data_dir, variables) as client:
            job = run(client, folder)
        # All processes have ended, and sent what they had.
        yield Told(job.job_id, collector.spans, collector.raw)


@contextmanager
def up(data_dir: Path, variables: Mapping[str, str]) -> Iterator[JobsClient]:
    command = [*COMMAND, "up", "--data-dir", str(data_dir), "--http-port", "0", "--grpc-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **variables})
    assert process.stdout is not None
    try:
        line = process.stdout.readline().split()
        assert line[:1] == ["ready"], f"`up` said {line}"
        with connect(line[2].removeprefix("grpc://")) as channel:
            yield JobsClient(channel)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        process.stdout.close()


def run(client: JobsClient, folder: Path) -> jobs_pb2.Job:
    """Run a small job to its success."""
    rows = [
        {"id": f"{n}", "question": f"What is {n} plus 1?", "answer": str(n + 1), "cot": f"The answer is {n + 1}."}
        for n in range(16)
    ]
    files = []
    for name, part in (("train", rows[:8]), ("validation", rows[8:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
        files.append(client.create_dataset(folder / f"{name}.jsonl").dataset_id)
    job = client.create_job(json.dumps(order(*files)))
    give_up = time.monotonic() + DEADLINE_SECONDS
    while job.state not in ENDED:
        assert time.monotonic() < give_up, f"job {job.job_id} did not end: {job}"
        time.sleep(0.2)
        job = client.get_job(job.job_id)
    assert job.state == jobs_pb2.JOB_STATE_SUCCEEDED, job.error
    return job


def order(training_file: str, validation_file: str) -> dict[str, Any]:
    hyperparameters = {"n_epochs": STEPS, "batch_size": 8, "eval_interval": STEPS}
    return {
        "model": "nano",
        "training_file": training_file,
        "validation_file": validation_file,
        "method": {
            "type": "reinforcement",
            "reinforcement": {"grader": GRADER, "hyperparameters": hyperparameters},
        },
        "pinetune": {
            "dataset": {"prompt": "{{item.question}}"},
            "warm_up": {"epochs": 1, "batch_size": 8},
            "sampling": {"samples_per_prompt": 2, "max_tokens": 8},
            "policies": {"ungraded": "zero", "max_ungraded_share": 1.0},
            "engine": {"device": "cpu", "threads": 1, "weights": "stream"},
            "nano": {"layer_count": 1, "width": 16, "head_count": 2, "vocabulary_size": 300, "max_tokens": 96},
        },
    }


def test_every_span_has_its_parent_and_every_trace_one_beginning(told: Told) -> None:
    known = {one.span_id for one in told.spans}
    assert [one for one in told.spans if one.parent_id and one.parent_id not in known] == []
    roots = defaultdict(list)
    for one in told.spans:
        if not one.parent_id:
            roots[one.trace_id].append(one.name)
    assert set(roots) == {one.trace_id for one in told.spans}
    assert all(len(names) == 1 for names in roots.values()), roots


def test_each_followed_rollout_is_one_trace_from_prompt_to_gradient(told: Told) -> None:
    roots = told.of("rollout")
    assert len(roots) == STEPS * FOLLOWED
    steps = {one.trace_id: one for one in told.of("step")}
    for root in roots:
        (linked,) = root.linked_traces
        assert steps[linked].attributes["pinetune.step"] == root.attributes["pinetune.step"]
        parts = [one for one in told.spans if one.trace_id == root.trace_id and one is not root]
        said = {one.name: (one.service, one.attributes) for one in parts}
        assert {name: service for name, (service, _) in said.items()} == {
            "sampled": "pinetune-worker",
            "graded": "pinetune-worker",
            "learned": "pinetune-learning",
        }
        assert {one.parent_id for one in parts} == {root.span_id}
        assert said["sampled"][1]["pinetune.replica"] == "generation-0"
        assert 1 <= said["sampled"][1]["pinetune.tokens"] <= 8
        assert said["graded"][1]["pinetune.grader"] == "number"
        learned = said["learned"][1]
        assert isinstance(learned["pinetune.advantage"], float)
        assert learned["pinetune.completion_id"] == root.attributes["pinetune.completion_id"]
        assert learned["pinetune.reward"] == root.attributes["pinetune.reward"]


def test_each_call_of_a_step_is_told_by_its_caller_and_by_the_room_that_answers(told: Told) -> None:
    (step,) = (one for one in told.of("step") if one.attributes["pinetune.step"] == STEPS)
    parts = told.below(step)
    assert [one.name for one in parts] == [
        "sample",
        "grade",
        "update",
        "weights",
        "validate",
        "commit",
        *["checkpoint"] * 2,
    ]
    called = {one.name: [call.name.rsplit("/")[-1] for call in told.below(one)] for one in parts}
    assert called["sample"] == ["Generate"]
    assert called["grade"] == ["Grade"]
    assert called["update"] == ["Update"]
    # Brought and scored, by learner and sampler; what asks all samplers at once does so in threads of a pool.
    assert {"PushPolicy", "Score", "DescribeEngine"} == set(called["weights"])
    assert called["weights"].count("Score") == 2
    assert called["validate"] == ["sample", "grade"]
    assert called["commit"] == ["CommitStep"]
    clients = [one for one in told.spans if one.trace_id == step.trace_id and one.kind == "client"]
    assert len(clients) > 5
    pairs = [(one, server) for one in clients for server in told.below(one)]
    assert [client for client, _ in pairs] == clients, "each is answered once"
    for client, server in pairs:
        service = client.name.split("/")[0].removeprefix("pinetune.api.")
        assert (server.name, server.kind, server.service) == (client.name, "server", f"pinetune-{ROOMS[service]}")
    # The learner calls the samplers in its turn: the weights go straight from it to them.
    assert ("pinetune-learning", "pinetune-generation") in {(one.service, server.service) for one, server in pairs}


def test_every_span_names_its_job(told: Told) -> None:
    assert {one.attributes.get("pinetune.job_id") for one in told.spans} == {told.job_id}


def test_no_text_of_prompts_and_answers_is_told(told: Told) -> None:
    assert told.raw
    assert not [text for text in SECRETS if text.encode() in told.raw]
