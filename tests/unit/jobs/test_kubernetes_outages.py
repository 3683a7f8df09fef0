"""What becomes of jobs while the API server is away or refuses, with a cluster that a test writes down."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiException
from tests.fakes.jobs_room import LIMITS, Room, jobs_room
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError, ReadTimeoutError

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.jobs.bell import Bell
from pinetune.jobs.launcher.base import Engine, Exit, WorkOrder
from pinetune.jobs.launcher.kubernetes import KubernetesLauncher
from pinetune.jobs.launcher.kubernetes_cluster import Cluster
from pinetune.jobs.launcher.kubernetes_objects import Surroundings
from pinetune.jobs.launcher.pod_templates import CONTAINER, PodTemplates
from pinetune.jobs.scheduler import Limits, Scheduler
from pinetune.jobs.wanted_replicas import WantedReplicas
from pinetune.pod.errors import Broken, Unavailable

Object = dict[str, Any]
ENGINE = Engine("transformers", "cpu", "float32", replicas=1, threads=None)
ORDER = WorkOrder("ftjob-1", 1, learns=True, model_uri="/base", makes_model=False, engine=ENGINE)
KINDS = ["ConfigMap", "Service", "Job", "StatefulSet", "Job"]
RUNNING, QUEUED = wire.JOB_STATE_RUNNING, wire.JOB_STATE_QUEUED
POOL = HTTPConnectionPool("10.0.0.1", 443)


def answer(status: int, reason: str, message: str = "") -> ApiException:
    """Return what the client makes of a refusal."""
    error = ApiException(status=status, reason=reason)
    error.body = json.dumps({"kind": "Status", "message": message, "code": status})
    return error


class UncertainCluster(Cluster):
    """Keeps objects and takes calls but for those that a test has it refuse."""

    def __init__(self) -> None:
        self.namespace = "pinetune"
        self.objects: dict[str, Object] = {}
        """By kind and name, in the order of their creation."""
        self.refusals: dict[str, Exception] = {}
        """What is raised, by `create` and the part of a name it is for, `look` and `delete`."""
        self.loses_answers = False
        """Whether a create that is refused takes effect nevertheless."""
        self.deletes_at_once = True

    def create(self, one: Object) -> Object:
        name = one["metadata"]["name"]
        error = next((error for part, error in self.refusals.items() if part in f"create {one['kind']} {name}"), None)
        if error is None or self.loses_answers:
            self.objects.setdefault(f"{one['kind']} {name}", one | {"metadata": one["metadata"] | {"uid": "uid-1"}})
        if error is not None:
            raise error
        return self.objects[f"{one['kind']} {name}"]

    def delete_owner(self, name: str) -> None:
        if "delete" in self.refusals:
            raise self.refusals["delete"]
        if not self.deletes_at_once:
            self.objects[f"ConfigMap {name}"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            return
        self.forget(name)

    def forget(self, name: str) -> None:
        """Let an attempt's objects be gone."""
        self.objects = {key: one for key, one in self.objects.items() if not key.split()[1].startswith(name)}

    def owners(self) -> list[Object]:
        return self._of("ConfigMap")

    def jobs(self) -> list[Object]:
        return self._of("Job")

    def pods(self) -> list[Object]:
        return []

    def warnings(self) -> list[Object]:
        return []

    def last_lines(self, pod: str, *, before_restart: bool = False) -> list[str]:
        return []

    @property
    def kinds(self) -> list[str]:
        """The kinds of all objects, in the order of their creation."""
        return [key.split()[0] for key in self.objects]

    def _of(self, kind: str) -> list[Object]:
        if "look" in self.refusals:
            raise self.refusals["look"]
        return [one for key, one in self.objects.items() if key.split()[0] == kind]


def made(cluster: Cluster) -> KubernetesLauncher:
    template = {"spec": {"containers": [{"name": CONTAINER, "image": "pinetune"}]}}
    templates = PodTemplates(dict.fromkeys(("learning", "generation", "worker"), template))
    return KubernetesLauncher(cluster, Surroundings(templates, "jobs:1", "grading:1", ""), retry_seconds=0.0)


@pytest.fixture
def cluster() -> UncertainCluster:
    return UncertainCluster()


@pytest.fixture
def launcher(cluster: UncertainCluster) -> KubernetesLauncher:
    return made(cluster)


QUOTA = 'jobs.batch "ftjob-1-1-learning" is forbidden: exceeded quota: team, used: count/jobs.batch=4'
PASSING: dict[str, tuple[ApiException | HTTPError, str]] = {
    "refused connection": (
        MaxRetryError(POOL, "/api", NewConnectionError(HTTPConnection("10.0.0.1"), "[Errno 111] Connection refused")),
        "the API server is not reached (NewConnectionError)",
    ),
    "timeout": (ReadTimeoutError(POOL, "/api", "timed out"), "the API server is not reached (ReadTimeoutError)"),
    "broken TLS": (ApiException(status=0, reason="SSLError"), "the API server is not reached (ApiException)"),
    "token unknown": (answer(401, "Unauthorized"), "the API server answers 401 Unauthorized"),
    "request timeout": (answer(408, "Request Timeout"), "the API server answers 408 Request Timeout"),
    "quota counted by another": (answer(409, "Conflict"), "the API server answers 409 Conflict"),
    "too many requests": (answer(429, "Too Many Requests"), "the API server answers 429 Too Many Requests"),
    "internal": (answer(500, "Internal Server Error"), "the API server answers 500 Internal Server Error"),
    "unavailable": (answer(503, "Service Unavailable"), "the API server answers 503 Service Unavailable"),
    "quota": (answer(403, "Forbidden", QUOTA), QUOTA),
}
LASTING = {
    "bad request": answer(400, "Bad Request"),
    "forbidden": answer(403, "Forbidden", "User cannot create resource jobs"),
    "no namespace": answer(404, "Not Found"),
    "too large": answer(413, "Request Entity Too Large"),
    "invalid": answer(422, "Unprocessable Entity"),
}


@pytest.mark.parametrize("loses_answers", [False, True])
@pytest.mark.parametrize("broken_off", ["create ConfigMap", "learning", "worker"])
@pytest.mark.parametrize(("error", "said"), PASSING.values(), ids=PASSING)
def test_a_launch_that_the_api_server_does_not_take_now_goes_on_when_it_is_repeated(
    cluster: UncertainCluster,
    launcher: KubernetesLauncher,
    error: ApiException | HTTPError,
    said: str,
    broken_off: str,
    loses_answers: bool,
) -> None:
    cluster.refusals, cluster.loses_answers = {broken_off: error}, loses_answers
    for _ in range(2):
        with pytest.raises(Unavailable) as raised:
            launcher.launch(ORDER)
        assert raised.value.message == f"its pods cannot be made now, and are tried again: {said}"
        assert launcher.poll() == []
    cluster.refusals = {}
    launcher.launch(ORDER)
    assert launcher.poll() == []
    assert cluster.kinds == KINDS
    assert launcher.running() == {"ftjob-1"}


@pytest.mark.parametrize("error", LASTING.values(), ids=LASTING)
def test_a_launch_that_the_api_server_will_never_take_leaves_nothing(
    cluster: UncertainCluster, launcher: KubernetesLauncher, error: ApiException
) -> None:
    cluster.refusals = {"worker": error}
    with pytest.raises(Broken) as raised:
        launcher.launch(ORDER)
    assert raised.value.reason == "LAUNCH_FAILED"
    assert cluster.objects == {}


def test_what_a_refused_launch_cannot_delete_is_deleted_by_a_later_look(
    cluster: UncertainCluster, launcher: KubernetesLauncher
) -> None:
    cluster.refusals = {"worker": LASTING["invalid"], "delete": answer(503, "Service Unavailable")}
    with pytest.raises(Broken):
        launcher.launch(ORDER)
    assert launcher.poll() == []
    assert launcher.running() == {"ftjob-1"}
    cluster.refusals = {}
    launcher.poll()
    assert cluster.objects == {}
    (end,) = launcher.poll()
    assert isinstance(end, Exit)
    assert launcher.running() == frozenset()


def test_a_stop_that_the_api_server_does_not_take_is_said_again_by_the_next_look(
    cluster: UncertainCluster, launcher: KubernetesLauncher
) -> None:
    launcher.launch(ORDER)
    cluster.refusals = {"delete": answer(503, "Service Unavailable")}
    launcher.stop("ftjob-1", grace_seconds=1.0)
    cluster.refusals = {}
    assert launcher.poll() == []
    assert cluster.objects == {}


def test_nothing_is_added_to_an_attempt_that_is_being_deleted(
    cluster: UncertainCluster, launcher: KubernetesLauncher
) -> None:
    cluster.deletes_at_once = False
    cluster.refusals = {"worker": answer(503, "Service Unavailable")}
    with pytest.raises(Unavailable):
        launcher.launch(ORDER)
    launcher.stop("ftjob-1", grace_seconds=1.0)
    cluster.refusals = {}
    for one in (launcher, made(cluster)):
        with pytest.raises(Unavailable, match="are being deleted"):
            one.launch(ORDER)
    assert cluster.kinds == KINDS[:-1]


def test_of_two_attempts_of_one_job_the_older_one_is_deleted(
    cluster: UncertainCluster, launcher: KubernetesLauncher
) -> None:
    launcher.launch(replace(ORDER, attempt=2))
    made(cluster).launch(ORDER)
    launcher.poll()
    assert [one["metadata"]["name"] for one in cluster.owners()] == ["ftjob-1-2"]
    launcher.poll()
    assert launcher.running() == {"ftjob-1"}


Start = Callable[[], Scheduler]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with jobs_room(tmp_path) as running:
        yield running


@pytest.fixture
def start(room: Room, cluster: UncertainCluster) -> Callable[..., Scheduler]:
    """A function that returns a jobs service's scheduler on this cluster, as after each start of the service."""

    def begin(limits: Limits = LIMITS) -> Scheduler:
        return Scheduler(
            room.database,
            made(cluster),
            limits,
            artifacts_uri="/a",
            news=room.news,
            queue=Bell(),
            wanted=WantedReplicas(),
            stopping=threading.Event(),
        )

    return begin


def look(scheduler: Scheduler, *, times: int) -> None:
    """Have the scheduler look so often; a look that the cluster does not answer ends as in the thread."""
    for _ in range(times):
        try:
            scheduler.look()
        except (ApiException, HTTPError):
            continue


def messages(room: Room, job: wire.Job) -> Sequence[str]:
    return [event.message for event in room.client.list_events(job.job_id)]


def test_a_short_outage_of_the_api_server_costs_a_job_nothing(
    room: Room, cluster: UncertainCluster, start: Start
) -> None:
    scheduler, away = start(), answer(503, "Service Unavailable")
    cluster.refusals = {"learning": away}
    job = room.create_job()
    look(scheduler, times=1)
    cluster.refusals = {"create": away, "look": away, "delete": away}
    look(scheduler, times=3)
    found = room.client.get_job(job.job_id)
    said = "its pods cannot be made now, and are tried again: the API server answers 503 Service Unavailable"
    assert (found.state, found.attempt, found.waiting_for) == (RUNNING, 1, said)
    cluster.refusals = {}
    look(scheduler, times=2)
    found = room.client.get_job(job.job_id)
    assert (found.state, found.attempt, found.waiting_for) == (RUNNING, 1, "")
    assert cluster.kinds == KINDS
    assert messages(room, job).count(said) == 1


@pytest.mark.parametrize("broken_off", ["create ConfigMap", "learning", "worker"])
def test_a_service_that_ends_while_it_launches_has_a_successor_that_goes_on(
    room: Room, cluster: UncertainCluster, start: Start, broken_off: str
) -> None:
    cluster.refusals = {broken_off: answer(503, "Service Unavailable")}
    job = room.create_job()
    look(start(), times=1)
    cluster.refusals = {}
    look(start(), times=2)
    assert cluster.kinds == KINDS
    assert room.client.get_job(job.job_id).state == RUNNING
    assert len(cluster.owners()) == 1
    assert not any("restart" in message for message in messages(room, job))


def test_a_job_that_is_cancelled_in_an_outage_leaves_nothing_and_no_slot_is_lost(
    room: Room, cluster: UncertainCluster, start: Start
) -> None:
    scheduler, away = start(), answer(503, "Service Unavailable")
    first, second = room.create_job(), room.create_job()
    cluster.refusals = {"worker": away}
    look(scheduler, times=1)
    cluster.refusals = {"create": away, "look": away, "delete": away}
    room.client.cancel_job(first.job_id)
    look(scheduler, times=1)
    assert room.client.get_job(first.job_id).state == wire.JOB_STATE_CANCELLED
    assert cluster.kinds == KINDS[:-1]
    cluster.refusals = {}
    look(scheduler, times=3)
    assert [one["metadata"]["name"] for one in cluster.owners()] == [f"{second.job_id}-1"]
    assert room.client.get_job(second.job_id).state == RUNNING


def test_what_a_predecessor_could_not_delete_of_a_failed_job_is_deleted(
    room: Room, cluster: UncertainCluster, start: Callable[..., Scheduler]
) -> None:
    cluster.refusals = {"worker": LASTING["invalid"], "delete": answer(503, "Service Unavailable")}
    job = room.create_job()
    look(start(), times=1)
    assert room.client.get_job(job.job_id).state == wire.JOB_STATE_FAILED
    assert cluster.kinds == KINDS[:-1]
    cluster.refusals = {}
    look(start(replace(LIMITS, cancel_grace_seconds=0.0)), times=3)
    assert cluster.objects == {}
