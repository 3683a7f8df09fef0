"""What the cluster says of an attempt's pods, in a launcher's words: whether one has ended, and why one does not start.

Everything here reads objects as their JSON has them and decides nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pinetune.jobs.launcher.kubernetes_objects import QUEUE_LABEL, ROOM_LABEL
from pinetune.jobs.launcher.pod_templates import CONTAINER, Object
from pinetune.pod.server import EXIT_MISCONFIGURED

SAMPLER_RESTARTS_MAX = 5
"""Times that a sampler may be put back by the cluster before the attempt is given up."""
SIGNAL_OFFSET = 128
KILLED = -9
NOT_STARTING = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
    }
)


@dataclass(frozen=True)
class AttemptObjects:
    """What the cluster has of one attempt."""

    name: str
    """The name of its objects."""
    jobs: Sequence[Object]
    """The Jobs of the learner and the worker."""
    pods: Sequence[Object]
    """All pods, by name."""
    events: Sequence[Object]
    """Warnings about its objects, oldest first."""
    sampler_count: int | None = None
    """How many samplers it should have; None where that is not known."""
    ordered_count: int | None = None
    """How many it began with and cannot do without; None where that is not known: then it can do without none."""

    @property
    def samplers(self) -> Sequence[Object]:
        """The pods of generation that are to stay: those that are being deleted were too many, or are replaced."""
        return [pod for pod in self.pods if _room(pod) == "generation" and not _leaves(pod)]


@dataclass(frozen=True)
class Ended:
    """The first process of an attempt to end."""

    process: str
    """`worker`, `learning` or `generation-0` …"""
    code: int
    """Its exit code; negative for the signal that killed it."""
    pod: str
    """The pod it was in; empty where that is gone."""


def first_end(attempt: AttemptObjects) -> Ended | None:
    """Return the process that has ended for good, the worker's first; None while all may go on."""
    for job in sorted(attempt.jobs, key=lambda job: _room(job) != "worker"):
        if any(_is_true(job, kind) for kind in ("Complete", "Failed")):
            return _job_end(job, attempt.pods)
    failed = (_failed(attempt, pod) for pod in attempt.samplers if not _is_further(attempt, pod))
    return next((end for end in failed if end is not None), None)


def restarted(attempt: AttemptObjects) -> dict[str, tuple[int, Ended]]:
    """Return of each sampler that the cluster has put back, by its name, how often that was and how it ended last.

    Those are left out that the attempt goes on without, and that the cluster puts back for ever.
    """
    found = {}
    for pod in attempt.samplers:
        container = _container(pod)
        last, count = _terminated(container, "lastState"), container.get("restartCount", 0)
        if last and count > 0 and not (_is_further(attempt, pod) and count > SAMPLER_RESTARTS_MAX):
            process = _process(attempt, pod)
            found[process] = count, Ended(process, _code(last), pod["metadata"]["name"])
    return found


def why_pending(attempt: AttemptObjects) -> str:
    """Return one sentence on what keeps the attempt from running; empty where nothing does."""
    for job in attempt.jobs:
        if job["spec"].get("suspend"):
            queue = job["metadata"]["labels"].get(QUEUE_LABEL, "")
            return f"{_room(job)} is suspended" + (f": queue {queue} has not admitted it yet" if queue else "")
    for pod in attempt.pods:
        if not _leaves(pod) and (sentence := _why_done_without(attempt, pod) or _why_not_running(pod)):
            return f"{_process(attempt, pod)} {sentence}"
    for event in reversed(attempt.events):
        # A quota or a policy keeps pods from being made at all; only the events of their makers tell.
        if event.get("reason") == "FailedCreate" and not _is_settled(attempt, event):
            return f"{event['involvedObject']['name'].removeprefix(attempt.name + '-')}: {event.get('message', '')}"
    return ""


def has_begun(attempt: AttemptObjects, room: str) -> bool:
    """Return whether a container of the room's pods runs, or has run."""
    states = [_container(pod).get("state", {}) for pod in attempt.pods if _room(pod) == room]
    return any("running" in state or "terminated" in state for state in states)


def _job_end(job: Object, pods: Sequence[Object]) -> Ended:
    room = _room(job)
    for pod in pods:
        terminated = _terminated(_container(pod), "state") if _room(pod) == room else None
        if terminated:
            return Ended(room, _code(terminated), pod["metadata"]["name"])
    # The pod was deleted or evicted, or its node is lost.
    return Ended(room, 0 if _is_true(job, "Complete") else KILLED, "")


def _failed(attempt: AttemptObjects, pod: Object) -> Ended | None:
    """Return how a sampler ended last that would end so again; None for one that may go on."""
    container = _container(pod)
    last = _terminated(container, "lastState") or _terminated(container, "state")
    if last and (last["exitCode"] == EXIT_MISCONFIGURED or container.get("restartCount", 0) > SAMPLER_RESTARTS_MAX):
        return Ended(_process(attempt, pod), _code(last), pod["metadata"]["name"])
    return None


def _is_further(attempt: AttemptObjects, pod: Object) -> bool:
    """Return whether a pod is a sampler beyond those that the attempt began with."""
    number = pod["metadata"]["name"].rpartition("-")[2]
    return _room(pod) == "generation" and attempt.ordered_count is not None and int(number) >= attempt.ordered_count


def _why_done_without(attempt: AttemptObjects, pod: Object) -> str:
    """Say of a further sampler that it fails for good; the sentence stays the same however often that is."""
    if not _is_further(attempt, pod) or _container(pod).get("ready"):
        return ""
    end = _failed(attempt, pod)
    return f"ends again and again, last with code {end.code}: the job goes on without it" if end else ""


def _why_not_running(pod: Object) -> str:
    waiting = _container(pod).get("state", {}).get("waiting", {})
    if waiting.get("reason") in NOT_STARTING:
        return f"cannot start: {waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    for condition in pod.get("status", {}).get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            said = condition.get("message") or condition.get("reason", "")
            return f"has no node: {said}"
    return ""


def _is_settled(attempt: AttemptObjects, event: Object) -> bool:
    """Return whether a warning is of the samplers and none is missing: warnings stay for an hour."""
    concerns_samplers = event["involvedObject"]["name"] == f"{attempt.name}-generation"
    return concerns_samplers and attempt.sampler_count is not None and len(attempt.samplers) >= attempt.sampler_count


def _leaves(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _room(one: Object) -> str:
    room: str = one["metadata"]["labels"][ROOM_LABEL]
    return room


def _process(attempt: AttemptObjects, pod: Object) -> str:
    """Return `generation-0` for a sampler's pod, the room for the others."""
    name: str = pod["metadata"]["name"]
    return name.removeprefix(f"{attempt.name}-") if _room(pod) == "generation" else _room(pod)


def _container(pod: Object) -> Object:
    statuses: Sequence[Object] = pod.get("status", {}).get("containerStatuses") or []
    return next((one for one in statuses if one["name"] == CONTAINER), {})


def _terminated(container: Object, state: str) -> Mapping[str, int] | None:
    found: Mapping[str, int] | None = container.get(state, {}).get("terminated")
    return found


def _code(terminated: Mapping[str, int]) -> int:
    code = terminated["exitCode"]
    return SIGNAL_OFFSET - code if code > SIGNAL_OFFSET else code


def _is_true(one: Object, kind: str) -> bool:
    conditions: Sequence[Object] = one.get("status", {}).get("conditions") or []
    return any(condition["type"] == kind and condition["status"] == "True" for condition in conditions)
