"""What the Kubernetes launcher does to the samplers' StatefulSet, with a cluster that a test writes down."""

from typing import Any

import pytest
from kubernetes.client import ApiException

from pinetune.jobs.launcher.base import Engine, Exit, WorkOrder
from pinetune.jobs.launcher.kubernetes import KubernetesLauncher
from pinetune.jobs.launcher.kubernetes_cluster import Cluster
from pinetune.jobs.launcher.kubernetes_objects import ATTEMPT_LABEL, ROOM_LABEL, WORK_LABEL, Surroundings
from pinetune.jobs.launcher.pod_templates import CONTAINER, PodTemplates

Object = dict[str, Any]
LABELS = {WORK_LABEL: "ftjob-1", ATTEMPT_LABEL: "2"}
SET = "ftjob-1-2-generation"
ENGINE = Engine("transformers", "cpu", "float32", replicas=1, threads=None, max_replicas=3)
ORDER = WorkOrder("ftjob-1", 2, learns=True, model_uri="/base", makes_model=False, engine=ENGINE)
WAITING = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient gpu."}


class ScaledCluster(Cluster):
    """One attempt; its StatefulSet has as many pods as it was scaled to, and one that leaves is seen leaving."""

    def __init__(self) -> None:
        self.namespace = "pinetune"
        self.scaled: list[tuple[str, int]] = []
        self.refusal: ApiException | None = None
        self.objects: dict[str, Object] = {}
        self.replicas = 0
        self.leaving: list[Object] = []
        self.room_for = 3
        """Pods that find a node."""

    def create(self, one: Object) -> Object:
        self.objects[one["kind"]] = one
        if one["kind"] == "StatefulSet":
            self.replicas = one["spec"]["replicas"]
        return one | {"metadata": one["metadata"] | {"uid": "uid-1"}}

    def scale(self, stateful_set: str, replicas: int) -> None:
        self.scaled.append((stateful_set, replicas))
        if self.refusal is not None:
            raise self.refusal
        for number in range(replicas, self.replicas):
            status = {"name": CONTAINER, "restartCount": 9, "state": {"terminated": {"exitCode": 2}}}
            one = self.pod(number, containerStatuses=[status])
            one["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            self.leaving.append(one)
        self.replicas = replicas

    def pod(self, number: int, **status: object) -> Object:
        labels = LABELS | {ROOM_LABEL: "generation"}
        return {"metadata": {"name": f"{SET}-{number}", "labels": labels}, "status": status}

    def pods(self) -> list[Object]:
        running = {"name": CONTAINER, "restartCount": 0, "state": {"running": {}}}
        there = [
            self.pod(number, containerStatuses=[running])
            if number < self.room_for
            else self.pod(number, conditions=[WAITING])
            for number in range(self.replicas)
        ]
        return [*there, *self.leaving]

    def owners(self) -> list[Object]:
        return [self.objects["ConfigMap"]] if "ConfigMap" in self.objects else []

    def jobs(self) -> list[Object]:
        return []

    def warnings(self) -> list[Object]:
        return []

    def delete_owner(self, name: str) -> None:
        self.objects.clear()
        self.replicas = 0


@pytest.fixture
def cluster() -> ScaledCluster:
    return ScaledCluster()


@pytest.fixture
def launcher(cluster: ScaledCluster) -> KubernetesLauncher:
    made = another(cluster)
    made.launch(ORDER)
    assert made.poll() == []
    return made


def another(cluster: ScaledCluster) -> KubernetesLauncher:
    template = {"spec": {"containers": [{"name": CONTAINER, "image": "pinetune"}]}}
    templates = PodTemplates(dict.fromkeys(("learning", "generation", "worker"), template))
    return KubernetesLauncher(cluster, Surroundings(templates, "jobs:1", "grading:1", ""))


def test_the_stateful_set_is_scaled_when_the_wish_changes_and_left_alone_else(
    launcher: KubernetesLauncher, cluster: ScaledCluster
) -> None:
    for wish in (1, 1, 3, 3, 2, 2):
        launcher.scale("ftjob-1", wish)
        assert launcher.poll() == []
    launcher.scale("ftjob-other", 3)
    assert cluster.scaled == [(SET, 3), (SET, 2)]


def test_pods_that_were_too_many_are_neither_a_restart_nor_an_end(
    launcher: KubernetesLauncher, cluster: ScaledCluster
) -> None:
    launcher.scale("ftjob-1", 3)
    launcher.poll()
    launcher.scale("ftjob-1", 1)
    assert len(cluster.pods()) == 3, "two of them leave, by an exit code that would end the attempt else"
    assert launcher.poll() == []
    assert launcher.running() == {"ftjob-1"}
    assert launcher.pending() == {}


def test_a_further_sampler_that_finds_no_node_is_told_and_the_job_goes_on(
    launcher: KubernetesLauncher, cluster: ScaledCluster
) -> None:
    cluster.room_for = 1
    launcher.scale("ftjob-1", 2)
    assert launcher.poll() == []
    assert launcher.pending() == {"ftjob-1": f"generation-1 has no node: {WAITING['message']}"}
    launcher.scale("ftjob-1", 1)
    launcher.poll()
    assert launcher.pending() == {}


def test_a_refusal_is_told_and_the_wish_tried_again_at_every_look(
    launcher: KubernetesLauncher, cluster: ScaledCluster
) -> None:
    cluster.refusal = ApiException(status=403, reason="Forbidden")
    cluster.refusal.body = "no patch of statefulsets/scale"
    for _ in range(2):
        launcher.scale("ftjob-1", 2)
        launcher.poll()
    said = "generation cannot have 2 replicas: Forbidden: no patch of statefulsets/scale"
    assert launcher.pending() == {"ftjob-1": said}
    cluster.refusal = None
    launcher.scale("ftjob-1", 2)
    launcher.poll()
    assert launcher.pending() == {}
    assert cluster.scaled == [(SET, 2)] * 3


def test_a_refusal_is_over_once_the_wish_is_what_runs(launcher: KubernetesLauncher, cluster: ScaledCluster) -> None:
    cluster.refusal = ApiException(status=403, reason="Forbidden")
    launcher.scale("ftjob-1", 3)
    launcher.scale("ftjob-1", 1)
    launcher.poll()
    assert launcher.pending() == {}


def test_a_refusal_is_logged_once_until_it_says_something_else(
    launcher: KubernetesLauncher, cluster: ScaledCluster, caplog: pytest.LogCaptureFixture
) -> None:
    for reason in ("Forbidden", "Forbidden", "Conflict"):
        cluster.refusal = ApiException(status=403, reason=reason)
        launcher.scale("ftjob-1", 2)
        launcher.poll()
    first, second = (record.getMessage() for record in caplog.records)
    assert "Forbidden" in first
    assert "Conflict" in second


def test_a_launcher_that_comes_later_says_the_wish_once_whatever_its_predecessor_did(
    launcher: KubernetesLauncher, cluster: ScaledCluster
) -> None:
    launcher.scale("ftjob-1", 3)
    successor = another(cluster)
    assert successor.poll() == []
    assert cluster.scaled == [(SET, 3)], "it does nothing before the worker has said what it wants"
    for _ in range(2):
        successor.scale("ftjob-1", 3)
        successor.poll()
    assert cluster.scaled == [(SET, 3)] * 2


def test_what_is_being_deleted_is_not_scaled(launcher: KubernetesLauncher, cluster: ScaledCluster) -> None:
    launcher.stop("ftjob-1", grace_seconds=1.0)
    launcher.scale("ftjob-1", 3)
    (end,) = launcher.poll()
    assert isinstance(end, Exit)
    assert cluster.scaled == []
