"""Jobs on the cluster: a client, the demo's order made small, and what is waited for."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from tests.cluster.kubectl import ROOT, forwarded, kubectl, read, wait_for

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.client.jobs import ENDED, JobsClient
from pinetune.pod.channel import connect

EXAMPLE = ROOT / "examples" / "word_problems"
STEP_SECONDS = 900.0
OWNED = "configmaps,services,jobs,statefulsets,pods"
TO_THE_END = 1_000_000


@contextmanager
def jobs_client(token: str) -> Iterator[JobsClient]:
    """Yield a client through a port that is forwarded to the pod; it lives as long as that pod does."""
    with forwarded("service/pinetune-jobs", 50051) as address, connect(address, token=token) as channel:
        yield JobsClient(channel)


def demo_order(client: JobsClient, folder: Path, *, step_count: int, **pinetune: object) -> str:
    """Upload some of the demo's problems; return its job, of few steps and with a small model, as JSON."""
    command = [sys.executable, str(EXAMPLE / "generate.py"), "--seed", "1", "--out", str(folder)]
    subprocess.run([*command, "--train", "192", "--validation", "16", "--test", "16"], check=True, capture_output=True)
    order = yaml.safe_load((EXAMPLE / "job.yaml").read_text().replace("${SEED}", "1"))
    for name in ("training", "validation"):
        path = folder / f"{name.removesuffix('ing')}.jsonl"
        order[f"{name}_file"] = client.create_dataset(path).dataset_id
    order["method"]["reinforcement"]["hyperparameters"] = {"batch_size": 16, "eval_interval": 4}
    order["pinetune"] |= {
        "nano": {"layer_count": 2, "width": 64, "head_count": 4, "vocabulary_size": 512, "max_tokens": 192},
        "budget": {"max_steps": step_count},
        "checkpoints": {"interval": 2},
        **pinetune,
    }
    order["pinetune"]["warm_up"]["epochs"] = 2
    del order["pinetune"]["evaluation"]
    return json.dumps(order)


def reached(client: JobsClient, job_id: str, step: int = TO_THE_END) -> jobs_pb2.Job:
    """Return the job once it has done `step` or has ended."""

    def look() -> jobs_pb2.Job | None:
        job = client.get_job(job_id)
        return job if job.step >= step or job.state in ENDED else None

    job = wait_for(f"step {step} of {job_id}", look, seconds=STEP_SECONDS)
    assert job is not None
    return job


def assert_whole(client: JobsClient, job_id: str, *, step_count: int) -> jobs_pb2.Job:
    """Return the job once it has succeeded with each step once, and nothing of it is left on the cluster."""
    job = reached(client, job_id)
    assert job.state == jobs_pb2.JOB_STATE_SUCCEEDED, job.error
    steps = client.list_steps(job_id, phase=jobs_pb2.JOB_PHASE_TRAINING)
    assert [step.number for step in steps] == list(range(step_count + 1))
    selector = f"--selector=pinetune.dev/work={job_id}"
    wait_for("the end of the job's objects", lambda: not read(OWNED, selector)["items"], seconds=120)
    return job


def await_jobs_service() -> None:
    """Return once the jobs service is whole."""
    kubectl("rollout", "status", "statefulset/pinetune-jobs", "--timeout=300s")
