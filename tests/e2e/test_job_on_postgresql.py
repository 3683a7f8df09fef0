"""A whole job through `pinetune up` whose state is in PostgreSQL, which crashes while the job trains."""

import json
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.e2e.deployment import DEADLINE_SECONDS, GRADER, make_data, up, wait_for
from tests.postgresql import PostgresqlServer

from pinetune.api.jobs.v1 import jobs_pb2


def order(training_file: str, validation_file: str) -> str:
    hyperparameters = {"n_epochs": 1, "batch_size": 8, "eval_interval": 4}
    return json.dumps(
        {
            "model": "nano",
            "training_file": training_file,
            "validation_file": validation_file,
            "method": {
                "type": "reinforcement",
                "reinforcement": {"grader": GRADER, "hyperparameters": hyperparameters},
            },
            "pinetune": {
                "dataset": {"prompt": "{{item.question}}"},
                "warm_up": {"epochs": 1, "batch_size": 16, "learning_rate": 1e-3},
                "sampling": {"samples_per_prompt": 2, "max_tokens": 8},
                "checkpoints": {"interval": 4},
                "nano": {"layer_count": 1, "width": 32, "head_count": 2, "vocabulary_size": 300, "max_tokens": 96},
            },
        }
    )


@pytest.mark.timeout(DEADLINE_SECONDS)
def test_a_job_ends_although_its_database_crashes_under_it(tmp_path: Path, postgresql: PostgresqlServer) -> None:
    make_data(tmp_path)
    url = postgresql.make_database()
    with up(tmp_path / "pinetune", PINETUNE_JOBS_DATABASE_URL=url) as (client, _):
        files = [client.create_dataset(tmp_path / f"{name}.jsonl") for name in ("train", "validation")]
        job_id = client.create_job(order(*(file.dataset_id for file in files))).job_id
        wait_for(client, job_id, step=2)
        postgresql.stop()
        time.sleep(1.0)  # Long enough for the worker to meet it.
        postgresql.start()
        job = wait_for(client, job_id, step=1_000_000)
        assert job.state == jobs_pb2.JOB_STATE_SUCCEEDED, job.error
        steps = list(client.list_steps(job_id, phase=jobs_pb2.JOB_PHASE_TRAINING))
        evaluations = {one.order.name for one in client.list_evaluations(job_id)}
        told = [one.event.step.number for one in client.watch(job_id) if one.event.step.phase == steps[0].phase]
    assert job.attempt == 1, "the worker waited for the database"
    assert [step.number for step in steps] == told == list(range(job.total_steps + 1))
    assert evaluations == {"base", "warm_up", "fine_tuned"}
    assert not (tmp_path / "pinetune" / "jobs.sqlite").exists()
    assert postgresql.sql(str(sa.make_url(url).database), "SELECT count(*) FROM works") == "4\n"
