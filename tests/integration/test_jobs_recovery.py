"""A job goes on whichever process is killed: the real service and scheduler, real processes, a worker of 3 steps."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.fakes.jobs_room import GRADER, FakeGrading, registered_grading

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.client.jobs import JobsClient
from pinetune.jobs.__main__ import build
from pinetune.jobs.config import JobsSettings
from pinetune.pod.channel import connect
from pinetune.pod.server import PodSettings, start

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 30.0


def command(room: str) -> Sequence[str]:
    return [sys.executable, "-m", "tests.fakes.worker_process", room]


@pytest.fixture(autouse=True)
def children_find_the_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "services"), str(ROOT)]))


@pytest.fixture
def grading_address() -> Iterator[str]:
    pod = start("grading", PodSettings(grace_seconds=1.0), lambda _: [registered_grading(FakeGrading())])
    yield pod.grpc_address
    pod.close()


@contextmanager
def jobs_service(folder: Path, database_url: str, grading_address: str) -> Iterator[JobsClient]:
    settings = JobsSettings(
        data_dir=folder, database_url=database_url, grading_address=grading_address, stop_grace_seconds=0.5
    )
    pod = start("jobs", PodSettings(grace_seconds=1.0), lambda pod: build(pod, settings, command=command))
    try:
        with connect(pod.grpc_address) as channel:
            yield JobsClient(channel)
    finally:
        pod.close()


def create_job(client: JobsClient) -> str:
    names = []
    for question in ("a", "b"):
        row = json.dumps({"question": question, "answer": "1", "cot": "x"}).encode()
        names.append(client.create_dataset(row, filename="rows.jsonl").dataset_id)
    order = {
        "model": "nano",
        "training_file": names[0],
        "validation_file": names[1],
        "method": {"type": "reinforcement", "reinforcement": {"grader": GRADER}},
        "pinetune": {"dataset": {"prompt": "{{item.question}}"}},
    }
    return client.create_job(json.dumps(order)).job_id


def wait_for_step(client: JobsClient, job_id: str, step: int) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while client.get_job(job_id).step < step:
        assert time.monotonic() < end, [event.message for event in client.list_events(job_id)]
        time.sleep(0.05)


def children(room: str) -> list[int]:
    """Return the pids of the processes of a room that this process has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line, stat = (folder / "cmdline").read_bytes(), (folder / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parent = int(stat.rsplit(")", 1)[1].split()[1])
        if parent == os.getpid() and line.rstrip(b"\0").endswith(room.encode()):
            found.append(int(folder.name))
    return found


@pytest.mark.parametrize("room", ["worker", "learning"])
def test_a_job_survives_the_death_of_a_process(tmp_path: Path, grading_address: str, room: str) -> None:
    with jobs_service(tmp_path, "", grading_address) as client:
        job_id = create_job(client)
        wait_for_step(client, job_id, 2)
        for pid in children(room):
            os.kill(pid, signal.SIGKILL)
        *_, last = client.watch(job_id)
        assert last.job.state == wire.JOB_STATE_SUCCEEDED
        assert last.job.attempt == 2
        assert [step.number for step in client.list_steps(job_id)] == [1, 2, 3]
        events = [event.message for event in client.list_events(job_id)]
        assert any(f"{room} ended with signal 9; started again as attempt 2" in event for event in events)
        assert "attempt 2 goes on after step 1; step 2 is done again" in events


def test_a_job_survives_the_end_of_the_service(tmp_path: Path, database_url: str, grading_address: str) -> None:
    with jobs_service(tmp_path, database_url, grading_address) as client:
        job_id = create_job(client)
        wait_for_step(client, job_id, 2)
    assert children("worker") == []
    with jobs_service(tmp_path, database_url, grading_address) as client:
        *_, last = client.watch(job_id)
        assert last.job.state == wire.JOB_STATE_SUCCEEDED
        assert [step.number for step in client.list_steps(job_id)] == [1, 2, 3]


def test_a_service_that_stops_launches_nothing_and_its_successor_does(tmp_path: Path, grading_address: str) -> None:
    settings = JobsSettings(data_dir=tmp_path, grading_address=grading_address)
    pod = start("jobs", PodSettings(grace_seconds=1.0), lambda pod: build(pod, settings, command=command))
    try:
        with connect(pod.grpc_address) as channel:
            (scheduler,) = (thread for thread in threading.enumerate() if thread.name == "scheduler")
            # As while the pod waits for calls in flight.
            pod.stopping.set()
            job_id = create_job(JobsClient(channel))
            scheduler.join(PATIENCE_SECONDS)
            assert not scheduler.is_alive()
            assert JobsClient(channel).get_job(job_id).state == wire.JOB_STATE_QUEUED
    finally:
        pod.close()
    with jobs_service(tmp_path, "", grading_address) as client:
        wait_for_step(client, job_id, 2)
        assert client.get_job(job_id).attempt == 1
