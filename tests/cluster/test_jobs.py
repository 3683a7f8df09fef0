"""A job as pods: it ends well although a sampler, the learner and the jobs service itself are deleted under way."""

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cluster.kubectl import forwarded, kubectl, pods_of, read, wait_for
from tests.e2e.test_main_job import make_data, order

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.client.jobs import ENDED, JobsClient
from pinetune.pod.channel import connect

STEP_SECONDS = 900.0
OWNED = "configmaps,services,jobs,statefulsets,pods"


@contextmanager
def jobs_client(token: str) -> Iterator[JobsClient]:
    with forwarded("service/pinetune-jobs", 50051) as address, connect(address, token=token) as channel:
        yield JobsClient(channel)


def reached(client: JobsClient, job_id: str, step: int) -> jobs_pb2.Job:
    """Return the job once it has done `step` or has ended."""

    def look() -> jobs_pb2.Job | None:
        job = client.get_job(job_id)
        return job if job.step >= step or job.state in ENDED else None

    job = wait_for(f"step {step} of {job_id}", look, seconds=STEP_SECONDS)
    assert job is not None
    return job


def delete_pod_of(component: str) -> None:
    kubectl("delete", "pod", pods_of(component)[0]["metadata"]["name"], "--grace-period=1")


def test_a_job_ends_well_although_its_pods_and_the_jobs_service_are_deleted(tmp_path: Path, token: str) -> None:
    make_data(tmp_path)
    with jobs_client(token) as client:
        files = [client.create_dataset(tmp_path / f"{name}.jsonl") for name in ("train", "validation")]
        job_id = client.create_job(order(*(file.dataset_id for file in files))).job_id
        reached(client, job_id, step=1)
        delete_pod_of("generation")
        reached(client, job_id, step=3)
        delete_pod_of("learning")
        assert reached(client, job_id, step=5).attempt == 2
        delete_pod_of("jobs")
    kubectl("rollout", "status", "statefulset/pinetune-jobs", "--timeout=300s")
    with jobs_client(token) as client:
        job = reached(client, job_id, step=1_000_000)
        steps = list(client.list_steps(job_id, phase=jobs_pb2.JOB_PHASE_TRAINING))
    assert job.state == jobs_pb2.JOB_STATE_SUCCEEDED, job.error
    # The jobs service was away, the job's pods were not: no further attempt.
    assert job.attempt == 2
    assert [step.number for step in steps] == list(range(17))
    selector = f"--selector=pinetune.dev/work={job_id}"
    wait_for("the end of the job's objects", lambda: not read(OWNED, selector)["items"], seconds=120)


@pytest.mark.parametrize("path", ["/", "/health"])
def test_the_gateway_answers(path: str) -> None:

    port = 8080 if path == "/" else 9464
    with (
        forwarded("deployment/pinetune-gateway", port) as address,
        urllib.request.urlopen(f"http://{address}{path}", timeout=30) as response,
    ):
        assert response.status == 200
