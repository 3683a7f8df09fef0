"""A whole job whose files are all in a bucket: through `pinetune up`, with a worker that is killed under way."""

import json
import os
import signal
from pathlib import Path

import pytest
from tests.e2e.deployment import DEADLINE_SECONDS, make_data, order, up, wait_for, worker_of
from transformers import AutoModelForCausalLM, AutoTokenizer

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.cli.checkpoints import copy_folder
from pinetune.pod.manifest import read_manifest
from pinetune.pod.storage import files_in, open_address


def short_order(training_file: str, validation_file: str) -> str:
    table = json.loads(order(training_file, validation_file))
    table["method"]["reinforcement"]["hyperparameters"] |= {"n_epochs": 1, "eval_interval": 2}
    table["pinetune"]["warm_up"]["epochs"] = 1
    table["pinetune"]["checkpoints"] = {"interval": 1, "keep_best": 1}
    return json.dumps(table)


@pytest.mark.timeout(DEADLINE_SECONDS)
def test_a_job_lives_in_a_bucket_and_survives_the_death_of_its_worker(bucket: str, tmp_path: Path) -> None:
    make_data(tmp_path)
    data_dir, artifacts = tmp_path / "pinetune", f"{bucket}/team/artifacts"
    with up(data_dir, PINETUNE_JOBS_ARTIFACTS_URI=f"{artifacts}/") as (client, _):
        files = [client.create_dataset(tmp_path / f"{name}.jsonl") for name in ("train", "validation")]
        job = client.create_job(short_order(*(file.dataset_id for file in files)))
        wait_for(client, job.job_id, step=1)
        os.kill(worker_of(job.job_id), signal.SIGKILL)
        job = wait_for(client, job.job_id, step=1_000_000)
        assert job.state == jobs_pb2.JOB_STATE_SUCCEEDED, job.error
        steps = list(client.list_steps(job.job_id, phase=jobs_pb2.JOB_PHASE_TRAINING))
        rollouts = list(client.list_rollouts(job_id=job.job_id, step=3))
        checkpoints = list(client.list_checkpoints(job.job_id))
        client.delete_dataset(files[0].dataset_id)
    assert job.attempt == 2
    assert [step.number for step in steps] == list(range(5))
    assert len(rollouts) == 16 * 4

    folder = f"{artifacts}/jobs/{job.job_id}"
    found = set(files_in(*open_address(folder)).values())
    assert {name.split("/")[0] for name in found} == {"base", "corpus.jsonl", "model", "policies", "rollouts", "states"}
    policies = {f"{folder}/policies/{name.split('/')[1]}" for name in found if name.startswith("policies/")}
    kept = {checkpoint.policy_uri for checkpoint in checkpoints if checkpoint.policy_uri}
    assert policies == kept | {f"{folder}/policies/v000005"}, "what is kept, and the learner's last"
    states = {f"{folder}/states/{name.split('/')[1]}" for name in found if name.count("/") == 2 and "states/" in name}
    known = {checkpoint.state_uri for checkpoint in checkpoints if checkpoint.state_uri}
    # The one that the worker was about to delete when it was killed may be left.
    assert known <= states
    assert len(states - known) <= 1, states
    assert set(files_in(*open_address(f"{artifacts}/datasets")).values()) == {f"{files[1].dataset_id}.jsonl"}
    assert not (data_dir / "artifacts").exists()

    assert job.model_uri == f"{folder}/model"
    assert copy_folder(job.model_uri, tmp_path / "model") > 0
    assert read_manifest(str(tmp_path / "model")) == read_manifest(job.model_uri)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert model.get_input_embeddings().num_embeddings == len(AutoTokenizer.from_pretrained(tmp_path / "model"))
