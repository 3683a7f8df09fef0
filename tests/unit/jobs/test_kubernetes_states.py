from collections.abc import Sequence
from typing import Any

import pytest

from pinetune.jobs.launcher.kubernetes_states import (
    SAMPLER_RESTARTS_MAX,
    AttemptObjects,
    Ended,
    first_end,
    has_begun,
    restarted,
    why_pending,
)

NAME = "ftjob-0a1b-4"
Object = dict[str, Any]


def job(room: str, condition: str = "", **spec: object) -> Object:
    conditions = [{"type": condition, "status": "True"}] if condition else []
    labels = {"app.kubernetes.io/component": room, "kueue.x-k8s.io/queue-name": "team-a"}
    metadata = {"name": f"{NAME}-{room}", "labels": labels}
    return {"metadata": metadata, "spec": spec, "status": {"conditions": conditions}}


def pod(room: str, suffix: str = "-0", *, conditions: Sequence[Object] = (), **container: object) -> Object:
    status = {"conditions": list(conditions), "containerStatuses": [{"name": "pinetune", **container}]}
    metadata = {"name": f"{NAME}-{room}{suffix}", "labels": {"app.kubernetes.io/component": room}}
    return {"metadata": metadata, "spec": {}, "status": status}


def ended(code: int) -> Object:
    return {"terminated": {"exitCode": code}}


def attempt(
    *, jobs: Sequence[Object] = (), pods: Sequence[Object] = (), events: Sequence[Object] = ()
) -> AttemptObjects:
    return AttemptObjects(NAME, jobs, pods, events)


def test_an_attempt_without_an_end_goes_on() -> None:
    assert first_end(attempt(jobs=[job("learning"), job("worker")], pods=[pod("generation")])) is None


@pytest.mark.parametrize(("code", "told"), [(0, 0), (1, 1), (137, -9), (143, -15)])
def test_the_workers_end_is_the_attempts_with_its_exit_code_or_signal(code: int, told: int) -> None:
    jobs = [job("learning", "Failed"), job("worker", "Complete" if code == 0 else "Failed")]
    found = first_end(attempt(jobs=jobs, pods=[pod("worker", "-0-x7", state=ended(code))]))
    assert found == Ended("worker", told, f"{NAME}-worker-0-x7")


def test_a_learner_whose_pod_was_deleted_has_been_killed() -> None:
    assert first_end(attempt(jobs=[job("learning", "Failed"), job("worker")])) == Ended("learning", -9, "")


def test_samplers_that_were_put_back_are_counted_with_their_last_end() -> None:
    pods = [
        pod("generation", "-0"),
        pod("generation", "-1", lastState=ended(137), restartCount=2),
        pod("worker", "-0-x7", lastState=ended(1), restartCount=1),
    ]
    assert restarted(attempt(pods=pods)) == {"generation-1": (2, Ended("generation-1", -9, f"{NAME}-generation-1"))}


def test_a_sampler_that_was_put_back_goes_on_until_it_dies_too_often() -> None:
    few = pod("generation", lastState=ended(137), restartCount=SAMPLER_RESTARTS_MAX)
    many = pod("generation", lastState=ended(137), restartCount=SAMPLER_RESTARTS_MAX + 1)
    assert first_end(attempt(pods=[few])) is None
    assert first_end(attempt(pods=[many])) == Ended("generation-0", -9, f"{NAME}-generation-0")


def test_a_sampler_that_refuses_its_settings_is_not_given_a_second_try() -> None:
    found = first_end(attempt(pods=[pod("generation", "-1", lastState=ended(2), restartCount=1)]))
    assert found == Ended("generation-1", 2, f"{NAME}-generation-1")


def test_a_further_sampler_that_cannot_run_ends_nothing_and_is_told() -> None:
    refuses = pod("generation", "-1", lastState=ended(2), restartCount=1)
    dies = pod("generation", "-1", lastState=ended(137), restartCount=SAMPLER_RESTARTS_MAX + 1)
    for one, code in ((refuses, 2), (dies, -9)):
        objects = AttemptObjects(NAME, (), [pod("generation"), one], (), ordered_count=1)
        assert first_end(objects) is None
        assert (
            why_pending(objects)
            == f"generation-1 ends again and again, last with code {code}: the job goes on without it"
        )
    assert restarted(objects) == {}, "told by that sentence from then on"
    serves = AttemptObjects(NAME, (), [dies | {"status": {"containerStatuses": [READY]}}], (), ordered_count=1)
    assert why_pending(serves) == ""
    both = AttemptObjects(NAME, (), [pod("generation"), refuses], (), ordered_count=2)
    assert first_end(both) == Ended("generation-1", 2, f"{NAME}-generation-1")


READY = {"name": "pinetune", "ready": True, "lastState": ended(137), "restartCount": SAMPLER_RESTARTS_MAX + 1}


def leaving(one: Object) -> Object:
    return one | {"metadata": one["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:00Z"}}


def test_a_sampler_that_is_sent_away_has_neither_ended_nor_been_put_back_nor_waits() -> None:
    unschedulable = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available."}
    pods = [
        pod("generation", "-0", state={"running": {}}),
        leaving(pod("generation", "-1", lastState=ended(2), restartCount=1)),
        leaving(pod("generation", "-2", state=ended(143), restartCount=SAMPLER_RESTARTS_MAX + 1)),
        leaving(pod("generation", "-3", conditions=[unschedulable])),
    ]
    assert first_end(attempt(pods=pods)) is None
    assert restarted(attempt(pods=pods)) == {}
    assert why_pending(attempt(pods=pods)) == ""


def test_a_warning_of_a_quota_is_over_once_no_sampler_is_missing() -> None:
    event = {"reason": "FailedCreate", "message": "quota", "involvedObject": {"name": f"{NAME}-generation"}}
    one = [pod("generation", "-0", state={"running": {}})]
    assert why_pending(AttemptObjects(NAME, (), one, [event], sampler_count=2)) == "generation: quota"
    assert why_pending(AttemptObjects(NAME, (), one, [event], sampler_count=1)) == ""
    both = [*one, leaving(pod("generation", "-1"))]
    assert why_pending(AttemptObjects(NAME, (), both, [event], sampler_count=2)) == "generation: quota"


def test_nothing_is_pending_where_all_pods_run() -> None:
    assert why_pending(attempt(jobs=[job("worker")], pods=[pod("worker", state={"running": {}})])) == ""


def test_a_pod_that_fits_nowhere_says_what_is_missing() -> None:
    condition = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient gpu."}
    found = why_pending(attempt(pods=[pod("generation", conditions=[condition])]))
    assert found == "generation-0 has no node: 0/1 nodes are available: 1 Insufficient gpu."


def test_an_image_that_cannot_be_had_is_named() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image pinetune:9"}}
    found = why_pending(attempt(pods=[pod("learning", "-0-abc", state=waiting)]))
    assert found == "learning cannot start: ImagePullBackOff: Back-off pulling image pinetune:9"


def test_a_quota_is_told_by_the_event_of_who_makes_the_pods() -> None:
    message = 'pods "x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1'
    event = {"reason": "FailedCreate", "message": message, "involvedObject": {"name": f"{NAME}-learning"}}
    assert why_pending(attempt(jobs=[job("learning")], events=[event])) == f"learning: {message}"


def test_a_suspended_job_names_the_queue_it_waits_in() -> None:
    found = why_pending(attempt(jobs=[job("learning", suspend=True)]))
    assert found == "learning is suspended: queue team-a has not admitted it yet"


@pytest.mark.parametrize(
    ("state", "begun"),
    [
        ({}, False),
        ({"waiting": {"reason": "ContainerCreating"}}, False),
        ({"running": {}}, True),
        (ended(1), True),
    ],
)
def test_a_room_has_begun_once_its_container_runs(state: Object, begun: bool) -> None:
    pods = [pod("worker", state=state), pod("learning", state={"running": {}})]
    assert has_begun(attempt(pods=pods), "worker") == begun
    assert not has_begun(attempt(pods=pods[1:]), "worker"), "suspended, or kept out by a quota"
