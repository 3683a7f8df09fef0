"""What the jobs room shows of a running job, between two scrapes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client import REGISTRY

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.jobs import metrics
from pinetune.jobs.__main__ import build
from pinetune.jobs.config import JobsSettings
from pinetune.jobs.store.database import Database
from pinetune.pod.server import PodSettings, start

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


def space(place: str) -> tuple[float | None, float | None]:
    free, size = (
        REGISTRY.get_sample_value(f"pinetune_jobs_data_{what}_bytes", {"place": place}) for what in ("free", "size")
    )
    return free, size


@pytest.mark.parametrize("spelling", ["{folder}/artifacts", "file://{folder}/artifacts"], ids=["path", "address"])
def test_the_space_of_state_and_artifacts_is_asked_at_each_scrape(tmp_path: Path, spelling: str) -> None:
    another_disk = Path("/dev/shm")
    sizes = [shutil.disk_usage(folder).total for folder in (tmp_path, another_disk)]
    if sizes[0] == sizes[1]:
        pytest.skip("this machine has no second disk to tell from the first")
    metrics.watch_disks(state=tmp_path, artifacts_uri=spelling.format(folder=another_disk / "pinetune-not-made-yet"))
    for place, total in zip(("state", "artifacts"), sizes, strict=True):
        free, size = space(place)
        assert size == total
        assert free is not None
        assert 0 <= free <= size


def test_artifacts_in_object_storage_have_no_disk(tmp_path: Path) -> None:
    metrics.watch_disks(state=tmp_path, artifacts_uri="s3://bucket/artifacts")
    assert space("artifacts") == (None, None)
    assert space("state") != (None, None)


def test_a_share_that_is_gone_takes_no_other_metric_along(tmp_path: Path) -> None:
    file = tmp_path / ("a" * 300)  # a name that the file system refuses, as a share does that is gone
    metrics.watch_disks(state=tmp_path, artifacts_uri=str(file))
    free, size = space("artifacts")
    assert str(free) == str(size) == "nan"
    assert space("state")[0] is not None


def test_the_service_watches_the_disks_of_its_state_and_of_its_artifacts(tmp_path: Path) -> None:
    artifacts = Path("/dev/shm/pinetune-not-made-yet")
    settings = JobsSettings(data_dir=tmp_path / "state", artifacts_uri=str(artifacts), max_running=1)
    pod = start("jobs", PodSettings(grace_seconds=1.0), lambda pod: build(pod, settings))
    pod.close()
    assert space("artifacts")[1] == shutil.disk_usage(artifacts.parent).total
    assert space("state")[1] == shutil.disk_usage(tmp_path).total
