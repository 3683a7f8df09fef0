"""Jobs as pods: one to its end with its metrics in Prometheus; others although a pod is deleted or added."""

import json
import time
import urllib.request
from pathlib import Path

import pytest
from tests.cluster.jobs import assert_whole, await_jobs_service, demo_order, jobs_client, reached
from tests.cluster.kubectl import forwarded, kubectl, pods_of, read, wait_for
from tests.cluster.prometheus import prometheus
from tests.monitoring.shipped import alerts
from tools.dashboards.prometheus import Series, ask

from pinetune.api.jobs.v1 import jobs_pb2

ROOMS = {"grading", "jobs", "gateway", "learning", "generation", "worker"}
OF_THE_JOB = (
    "pinetune_worker_train_reward_mean",
    "pinetune_worker_canary_gap",
    "pinetune_worker_sampler_gap_p95",
    "pinetune_learning_tokens_total",
    "pinetune_generation_tokens_total",
)


def test_a_job_succeeds_and_its_metrics_are_in_prometheus(tmp_path: Path, token: str) -> None:
    begin = time.time()
    with prometheus() as url, jobs_client(token) as client:

        def asked(expression: str) -> list[Series]:
            return ask(url, expression, begin=begin, end=time.time(), step_seconds=2.0)

        # Weights from the learner to the sampler: no other test has those two speak to each other.
        ordered = demo_order(client, tmp_path, step_count=12, engine={"weights": "broadcast"})
        job_id = client.create_job(ordered).job_id
        assert_whole(client, job_id, step_count=12)
        assert {one.labels["room"] for one in asked("up == 1")} == ROOMS
        assert {one.labels["namespace"] for one in asked("up == 1")} == {"pinetune"}
        for name in OF_THE_JOB:
            (series,) = asked(f'sum by (job_id, namespace) ({name}{{job_id="{job_id}"}})')
            assert series.labels == {"job_id": job_id, "namespace": "pinetune"}, name
        (graded,) = asked(f'sum(pinetune_worker_completions_total{{job_id="{job_id}", outcome="graded"}})')
        assert 0 < max(value for _, value in graded.points) <= 12 * 16 * 4
        with urllib.request.urlopen(f"{url}/api/v1/rules?type=alert") as reply:
            rules = [rule for group in json.load(reply)["data"]["groups"] for rule in group["rules"]]
        assert {rule["name"]: rule["health"] for rule in rules} == dict.fromkeys(alerts(), "ok")
        assert {one.labels["alertname"] for one in asked('ALERTS{alertstate="firing"}')} == set()


@pytest.mark.parametrize(("component", "attempts"), [("generation", 1), ("learning", 2), ("jobs", 1)])
def test_a_job_goes_on_when_a_pod_is_deleted(component: str, attempts: int, tmp_path: Path, token: str) -> None:
    with jobs_client(token) as client:
        job_id = client.create_job(demo_order(client, tmp_path, step_count=8)).job_id
        # Past the checkpoint of step 2: what comes after it is lost with the learner, and done again.
        assert reached(client, job_id, step=3).attempt == 1
        kubectl("delete", "pod", pods_of(component)[0]["metadata"]["name"], "--grace-period=1")
    await_jobs_service()
    with jobs_client(token) as client:
        assert assert_whole(client, job_id, step_count=8).attempt == attempts
        events = " ".join(event.message for event in client.list_events(job_id))
    assert "is lost" in events or component != "generation"
    assert ("started again as attempt 2" in events) == (component == "learning")


def test_a_job_that_starts_while_the_jobs_service_is_away_waits_for_it(tmp_path: Path, token: str) -> None:
    with jobs_client(token) as client:
        job_id = client.create_job(demo_order(client, tmp_path, step_count=2)).job_id
        selector = f"--selector=pinetune.dev/work={job_id},app.kubernetes.io/component=worker"
        wait_for("its worker", lambda: read("pods", selector)["items"], seconds=60)
    kubectl("scale", "statefulset/pinetune-jobs", "--replicas=0")
    kubectl("wait", "--for=delete", "pod/pinetune-jobs-0", "--timeout=120s")
    (worker,) = read("pods", selector)["items"]
    # It asks for its work within seconds of its start, and finds nobody.
    kubectl("wait", "--for=condition=Ready", f"pod/{worker['metadata']['name']}", "--timeout=120s")
    time.sleep(5)
    kubectl("scale", "statefulset/pinetune-jobs", "--replicas=1")
    await_jobs_service()
    with jobs_client(token) as client:
        job = assert_whole(client, job_id, step_count=2)
        assert (job.attempt, job.state) == (1, jobs_pb2.JOB_STATE_SUCCEEDED)


def test_a_job_without_room_says_so_and_begins_once_it_has(tmp_path: Path, token: str) -> None:
    with jobs_client(token) as client:
        ordered = demo_order(client, tmp_path, step_count=2)
        kubectl("create", "quota", "full", f"--hard=pods={len(read('pods')['items'])}")
        try:
            job_id = client.create_job(ordered).job_id
            wait_for("the reason", lambda: "exceeded quota: full" in client.get_job(job_id).waiting_for, seconds=60)
        finally:
            kubectl("delete", "quota", "full")
        job = assert_whole(client, job_id, step_count=2)
        assert (job.attempt, job.waiting_for) == (1, "")
        assert any("exceeded quota: full" in event.message for event in client.list_events(job_id))


def test_a_job_with_a_backlog_gets_a_second_sampler_and_ends_well(tmp_path: Path, token: str) -> None:
    # No step samples in a millisecond: the second one is wanted after the first step. It has four minutes to join.
    engine, budget = {"max_replicas": 2, "backlog_seconds": 1e-3}, {"max_steps": 100_000, "max_seconds": 240.0}
    with jobs_client(token) as client:
        ordered = demo_order(client, tmp_path, step_count=0, engine=engine, budget=budget)
        job_id = client.create_job(ordered).job_id
        reached(client, job_id, step=1)
        both = {f"{job_id}-1-generation-{number}" for number in range(2)}
        wait_for("a second sampler", lambda: sampler_pods(job_id) == both, seconds=60)
        step_count = reached(client, job_id).step
        assert assert_whole(client, job_id, step_count=step_count).attempt == 1
        steps = list(client.list_steps(job_id, phase=jobs_pb2.JOB_PHASE_TRAINING))
        told = [event.message for event in client.list_events(job_id)]
    assert {step.training_grades.sampled_count for step in steps[1:]} == {16 * 4}
    assert any(one.endswith("above engine.backlog_seconds of 0.001: 2 samplers wanted instead of 1") for one in told)
    assert any(one.startswith("generation-1 has joined after ") for one in told), told
    assert not [one for one in told if "is lost" in one or "started again" in one]


def sampler_pods(job_id: str) -> set[str]:
    selector = f"--selector=pinetune.dev/work={job_id},app.kubernetes.io/component=generation"
    return {pod["metadata"]["name"] for pod in read("pods", selector)["items"]}


@pytest.mark.parametrize("path", ["/", "/health"])
def test_the_gateway_answers(path: str) -> None:
    port = 8080 if path == "/" else 9464
    with (
        forwarded("deployment/pinetune-gateway", port) as address,
        urllib.request.urlopen(f"http://{address}{path}", timeout=30) as response,
    ):
        assert response.status == 200
