"""What the Kubernetes launcher tells of samplers that the cluster puts back, with a cluster that a test writes down."""

from typing import Any

from pinetune.jobs.launcher.base import Restart
from pinetune.jobs.launcher.kubernetes import RESTART_LIMIT, KubernetesLauncher
from pinetune.jobs.launcher.kubernetes_cluster import Cluster
from pinetune.jobs.launcher.kubernetes_objects import ATTEMPT_LABEL, ROOM_LABEL, WORK_LABEL, Surroundings
from pinetune.jobs.launcher.pod_templates import CONTAINER, PodTemplates

Object = dict[str, Any]
LABELS = {WORK_LABEL: "ftjob-1", ATTEMPT_LABEL: "2"}


class WrittenCluster(Cluster):
    """One attempt with one sampler, put back as often as a test says."""

    def __init__(self) -> None:
        self.restart_count = 0

    def owners(self) -> list[Object]:
        return [{"metadata": {"name": "ftjob-1-2", "labels": LABELS}}]

    def jobs(self) -> list[Object]:
        return []

    def pods(self) -> list[Object]:
        status: Object = {"name": CONTAINER, "restartCount": self.restart_count, "state": {"running": {}}}
        if self.restart_count:
            status["lastState"] = {"terminated": {"exitCode": 137}}
        labels = LABELS | {ROOM_LABEL: "generation"}
        metadata = {"name": "ftjob-1-2-generation-0", "labels": labels}
        return [{"metadata": metadata, "status": {"containerStatuses": [status]}}]

    def warnings(self) -> list[Object]:
        return []

    def last_lines(self, pod: str, *, before_restart: bool = False) -> list[str]:
        return [f"{pod} {before_restart}"]


def launcher(cluster: Cluster) -> KubernetesLauncher:
    template = {"spec": {"containers": [{"name": CONTAINER, "image": "pinetune"}]}}
    templates = PodTemplates(dict.fromkeys(("learning", "generation", "worker"), template))
    return KubernetesLauncher(cluster, Surroundings(templates, "jobs:1", "grading:1", ""))


def test_each_restart_is_told_once_with_the_last_words_of_the_one_that_died() -> None:
    cluster = WrittenCluster()
    running = launcher(cluster)
    assert running.poll() == []
    cluster.restart_count = 1
    words = ["ftjob-1-2-generation-0 True"]
    assert running.poll() == [Restart("ftjob-1", 2, "generation-0", -9, words, 1, RESTART_LIMIT)]
    assert running.poll() == []
    cluster.restart_count = 3
    (restart,) = running.poll()
    assert isinstance(restart, Restart)
    assert restart.count == 3


def test_what_was_put_back_before_the_service_came_is_no_news() -> None:
    cluster = WrittenCluster()
    cluster.restart_count = 2
    running = launcher(cluster)
    assert running.poll() == []
    cluster.restart_count = 3
    assert len(running.poll()) == 1
