"""A whole job through `pinetune up`: real processes, a model from nothing, and a worker that is killed under way."""

import os
import signal
from pathlib import Path

import pytest
from tests.e2e.deployment import DEADLINE_SECONDS, make_data, order, up, wait_for, worker_of
from transformers import AutoModelForCausalLM, AutoTokenizer

from pinetune.api.jobs.v1 import jobs_pb2


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
