"""What the jobs room shows of a running job, between two scrapes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client import REGISTRY

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.jobs import metrics
from pinetune.jobs.store.database import Database

JOB = "ftjob-metrics"
SECOND = 1_000_000
LAST_STEP = "pinetune_jobs_last_step_timestamp_seconds"


def shown(name: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"job_id": JOB})


def step(number: int, *, at_seconds: int) -> wire.Step:
    step = wire.Step(number=number, phase=wire.JOB_PHASE_TRAINING, timing=wire.StepTiming(total_seconds=4))
    step.commit_time.FromSeconds(at_seconds)
    return step


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    metrics.forget_job(JOB)


def test_the_time_without_a_step_counts_from_the_last_one_or_from_the_begin_of_the_phase() -> None:
    metrics.note_heartbeat(JOB, wire.JOB_PHASE_PREPARING, 100 * SECOND)
    metrics.note_heartbeat(JOB, wire.JOB_PHASE_PREPARING, 102 * SECOND)
    assert shown(LAST_STEP) == 100
    metrics.note_heartbeat(JOB, wire.JOB_PHASE_TRAINING, 110 * SECOND)
    assert shown(LAST_STEP) == 110
    metrics.note_step(JOB, step(1, at_seconds=117))
    metrics.note_heartbeat(JOB, wire.JOB_PHASE_TRAINING, 118 * SECOND)
    assert shown(LAST_STEP) == 117
    assert shown("pinetune_jobs_last_step_seconds") == 4
    assert shown("pinetune_jobs_last_heartbeat_timestamp_seconds") == 118


def test_a_job_that_compares_its_models_takes_no_steps_and_has_no_time_of_the_last() -> None:
    metrics.note_heartbeat(JOB, wire.JOB_PHASE_TRAINING, 110 * SECOND)
    metrics.note_heartbeat(JOB, wire.JOB_PHASE_COMPARING, 120 * SECOND)
    assert shown(LAST_STEP) is None


def test_a_job_that_ran_ended_and_runs_again_is_shown_again() -> None:
    metrics.note_heartbeat(JOB, wire.JOB_PHASE_TRAINING, 110 * SECOND)
    metrics.forget_job(JOB)
    assert shown(LAST_STEP) is None
    metrics.note_heartbeat(JOB, wire.JOB_PHASE_TRAINING, 200 * SECOND)
    assert shown(LAST_STEP) == 200


def test_statements_that_the_database_refuses_are_counted_and_its_size_is_known(database_url: str) -> None:
    database = Database(database_url)
    before = REGISTRY.get_sample_value("pinetune_jobs_database_errors_total") or 0.0
    with pytest.raises(sa.exc.DBAPIError), database.read() as connection:
        connection.execute(sa.text("SELECT nothing FROM nowhere"))
    assert REGISTRY.get_sample_value("pinetune_jobs_database_errors_total") == before + 1
    assert database.size_bytes() >= 4096
    database.close()


def test_the_space_of_the_data_folder_is_asked_at_each_scrape(tmp_path: Path) -> None:
    metrics.watch_disk(tmp_path)
    free, size = (REGISTRY.get_sample_value(f"pinetune_jobs_data_{what}_bytes") for what in ("free", "size"))
    assert free is not None
    assert size is not None
    assert 0 < free <= size
