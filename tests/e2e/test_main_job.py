"""A whole job through `pinetune up`: real processes, a model from nothing, and a worker that is killed under way."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.client.jobs import ENDED, JobsClient
from pinetune.pod.channel import connect

COMMAND = str(Path(sys.executable).with_name("pinetune"))
DEADLINE_SECONDS = 240
GRADER = {
    "type": "number",
    "reference": "{{item.answer}}",
    "location": {"marker": "The answer is"},
    "partial_score": 0.1,
}


@contextmanager
def up(data_dir: Path) -> Iterator[tuple[JobsClient, int]]:
    """Run `pinetune up`; yields a client and the process id, stops it with SIGTERM."""
    command = [COMMAND, "up", "--data-dir", str(data_dir), "--http-port", "0", "--grpc-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline().split()
        assert line[:1] == ["ready"], f"`up` said {line}"
        channel: grpc.Channel = connect(line[2].removeprefix("grpc://"))
        with channel:
            yield JobsClient(channel), process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) in (0, -signal.SIGKILL)
        process.stdout.close()


def make_data(folder: Path) -> None:
    rows = [
        {
            "id": f"{a}-{b}",
            "question": f"What is {a} plus {b}?",
            "answer": str(a + b),
            "cot": f"{a} + {b} = {a + b}. The answer is {a + b}.",
        }
        for a in range(10)
        for b in range(10)
    ]
    for name, part in (("train", rows[::2]), ("validation", rows[1::4])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))


def order(training_file: str, validation_file: str) -> str:
    return json.dumps(
        {
            "model": "nano",
            "training_file": training_file,
            "validation_file": validation_file,
            "method": {
                "type": "reinforcement",
                "reinforcement": {
                    "grader": GRADER,
                    "hyperparameters": {"n_epochs": 4, "batch_size": 16, "eval_interval": 4},
                },
            },
            "pinetune": {
                "dataset": {"prompt": "{{item.question}}"},
                "warm_up": {"epochs": 12, "batch_size": 16, "learning_rate": 3e-3},
                "sampling": {"samples_per_prompt": 4, "max_tokens": 32},
                "algorithm": {"learning_rate": 1e-4},
                "checkpoints": {"interval": 2},
                "nano": {
                    "layer_count": 2,
                    "width": 64,
                    "head_count": 4,
                    "vocabulary_size": 400,
                    "max_tokens": 96,
                },
            },
        }
    )


def wait_for(client: JobsClient, job_id: str, *, step: int) -> jobs_pb2.Job:
    """Return the job once it has done `step`, or has ended."""
    give_up = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < give_up:
        job = client.get_job(job_id)
        if job.step >= step or job.state in ENDED:
            return job
        time.sleep(0.2)
    raise AssertionError(f"job {job_id} did not reach step {step}: {client.get_job(job_id)}")


def worker_of(job_id: str) -> int:
    """Return the process id of the job's worker, by its environment."""
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            command = (process / "cmdline").read_bytes()
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if b"pinetune.jobs.worker" in command and f"PINETUNE_WORKER_WORK_ID={job_id}".encode() in environment:
            return int(process.name)
    raise AssertionError(f"no worker of {job_id} runs")


@pytest.mark.timeout(2 * DEADLINE_SECONDS)
def test_a_job_finishes_although_its_worker_and_then_the_whole_deployment_are_killed(tmp_path: Path) -> None:
    make_data(tmp_path)
    data_dir = tmp_path / "pinetune"
    with up(data_dir) as (client, up_pid):
        files = [client.create_dataset(tmp_path / f"{name}.jsonl") for name in ("train", "validation")]
        job = client.create_job(order(*(file.dataset_id for file in files)))
        wait_for(client, job.job_id, step=1)
        os.kill(worker_of(job.job_id), signal.SIGKILL)
        wait_for(client, job.job_id, step=5)
        os.kill(up_pid, signal.SIGKILL)
    with up(data_dir) as (client, _):
        job = wait_for(client, job.job_id, step=1_000_000)
        assert job.state == jobs_pb2.JOB_STATE_SUCCEEDED, job.error
        steps = list(client.list_steps(job.job_id, phase=jobs_pb2.JOB_PHASE_TRAINING))
        evaluations = {one.order.name: one for one in client.list_evaluations(job.job_id)}
        rollouts = list(client.list_rollouts(job_id=job.job_id, step=3))
    assert job.attempt == 3
    assert [step.number for step in steps] == list(range(17))
    assert all(step.canary_gap < 1e-4 for step in steps)
    assert [step.number for step in steps if step.HasField("validation")] == [0, 4, 8, 12, 16]
    assert set(evaluations) == {"base", "warm_up", "fine_tuned"}
    assert len(rollouts) == 16 * 4
    # The result is an ordinary Hugging Face folder.
    tokenizer = AutoTokenizer.from_pretrained(job.model_uri)
    model = AutoModelForCausalLM.from_pretrained(job.model_uri)
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
