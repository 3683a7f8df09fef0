"""Runs attempts as pods of a Kubernetes namespace.

What runs is read from the cluster and nowhere else: a jobs service that comes back finds its attempts going on. An
attempt is over when its ConfigMap is gone, and that goes last; so no two attempts of a job ever run side by side.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from pinetune.jobs.launcher.base import Exit, Restart, RestartLimit, WorkOrder
from pinetune.jobs.launcher.kubernetes_cluster import Cluster
from pinetune.jobs.launcher.kubernetes_objects import (
    ATTEMPT_LABEL,
    WORK_LABEL,
    Surroundings,
    attempt_name,
    ordered_replicas,
    owned_objects,
    owner_object,
)
from pinetune.jobs.launcher.kubernetes_refusals import passes, said, said_briefly
from pinetune.jobs.launcher.kubernetes_states import (
    SAMPLER_RESTARTS_MAX,
    AttemptObjects,
    Ended,
    first_end,
    has_begun,
    restarted,
    why_pending,
)
from pinetune.jobs.launcher.pod_templates import Object
from pinetune.pod.errors import Broken, PinetuneError, Transient, Unavailable

log = logging.getLogger(__name__)

TERMINATED = -15
WORKER = "worker"
RESTART_LIMIT = RestartLimit(SAMPLER_RESTARTS_MAX, math.inf)
RETRY_SECONDS = 5.0
"""After how long a launch is worth repeating that the API server did not take."""


@dataclass(frozen=True)
class _Attempt:
    """An attempt whose objects were seen or made."""

    work_id: str
    attempt: int

    @property
    def name(self) -> str:
        return f"{self.work_id}-{self.attempt}"


class KubernetesLauncher:
    """Pods of one namespace; see `Launcher`."""

    def __init__(self, cluster: Cluster, surroundings: Surroundings, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self._cluster = cluster
        self._retry_seconds = retry_seconds
        self._surroundings = surroundings
        self._there: dict[str, _Attempt] = {}
        """What has objects, by their name."""
        self._ends: dict[str, Exit] = {}
        """How those ended that are being deleted."""
        self._pending: dict[str, str] = {}
        self._starting: set[str] = set()
        self._restarts: dict[str, dict[str, int]] = {}
        """How often each sampler was put back as of the last look, by attempt and process."""
        self._scaled: dict[str, int] = {}
        """How many samplers each attempt was last given by this process; not what a predecessor gave it."""
        self._unscaled: dict[str, str] = {}
        """Why attempts have not the samplers that they should have."""

    def launch(self, order: WorkOrder) -> None:
        """Create the objects, but for those that are there.

        Raises Unavailable CLUSTER_UNAVAILABLE where the API server does not take them now, and leaves those there that
        it took; Broken LAUNCH_FAILED where it never will, Unsupported for an engine without pods, and leaves none.
        """
        name = attempt_name(order)
        try:
            self._create(name, order)
        except Transient:
            raise
        except PinetuneError:
            if name in self._there:
                self._end(self._there[name])
            raise
        self._scaled[name] = order.engine.replicas

    def _create(self, name: str, order: WorkOrder) -> None:
        try:
            owner = self._cluster.create(owner_object(order))
            self._there[name] = _Attempt(order.work_id, order.attempt)
            if name in self._ends or owner["metadata"].get("deletionTimestamp"):
                raise Unavailable(
                    "its objects are being deleted",
                    reason="CLUSTER_UNAVAILABLE",
                    retry_after_seconds=self._retry_seconds,
                )
            for one in owned_objects(order, self._surroundings, owner_uid=owner["metadata"]["uid"]):
                self._cluster.create(one)
        except (ApiException, HTTPError) as error:
            if not passes(error):
                raise Broken(
                    f"the pods of {order.work_id} cannot be made: {said(error)}", reason="LAUNCH_FAILED"
                ) from error
            log.warning("the pods of %s cannot be made now: %s", name, said(error))
            raise Unavailable(
                f"its pods cannot be made now, and are tried again: {said_briefly(error)}",
                reason="CLUSTER_UNAVAILABLE",
                retry_after_seconds=self._retry_seconds,
            ) from error

    def stop(self, work_id: str, *, grace_seconds: float) -> None:
        """Delete the objects; pods get the grace that their template has, whatever is asked for here."""
        for name, attempt in self._there.items():
            if attempt.work_id == work_id and name not in self._ends:
                self._end(attempt)

    def scale(self, work_id: str, replicas: int) -> None:
        """Scale the StatefulSet of the samplers where it has another number; a refusal is said in `pending`."""
        for name, attempt in self._there.items():
            if attempt.work_id != work_id or name in self._ends:
                continue
            if self._scaled.get(name) == replicas:
                self._unscaled.pop(name, None)
                continue
            try:
                self._cluster.scale(f"{name}-generation", replicas)
            except (ApiException, HTTPError) as error:
                sentence = f"generation cannot have {replicas} replicas: {said(error)}"
                if self._unscaled.get(name) != sentence:  # It is tried every second.
                    log.exception("%s: %s", name, sentence)
                self._unscaled[name] = sentence
            else:
                self._scaled[name] = replicas
                self._unscaled.pop(name, None)

    def poll(self) -> list[Exit | Restart]:
        """Look at the cluster; return attempts that are gone and samplers put back.

        What has ended is deleted, and what could not be deleted before.
        """
        seen = self._look()
        gone = [attempt for name, attempt in self._there.items() if name not in seen]
        self._there = {name: self._there.get(name) or _attempt_of(owner) for name, (owner, _) in seen.items()}
        self._pending, self._starting = {}, set()
        self._restarts = {name: self._restarts[name] for name in self._restarts if name in seen}
        self._scaled = {name: count for name, count in self._scaled.items() if name in seen}
        self._unscaled = {name: sentence for name, sentence in self._unscaled.items() if name in seen}
        # Of two attempts the older one is nobody's: it was created by a call that the API server took late.
        newest = {one.work_id: one.attempt for one in sorted(self._there.values(), key=lambda one: one.attempt)}
        restarts: list[Restart] = []
        for name, (owner, objects) in seen.items():
            if owner["metadata"].get("deletionTimestamp"):
                continue
            attempt = self._there[name]
            if name in self._ends or attempt.attempt < newest[attempt.work_id]:
                self._end(attempt)
            elif (end := first_end(objects)) is not None:
                self._end(attempt, self._exit(attempt, end))
            else:
                restarts += self._restarts_of(attempt, objects)
                if not has_begun(objects, WORKER):
                    self._starting.add(attempt.work_id)
                if sentence := self._unscaled.get(name) or why_pending(objects):
                    self._pending[attempt.work_id] = sentence
        return [*restarts, *self._exits_of(gone)]

    def _exits_of(self, gone: Sequence[_Attempt]) -> list[Exit]:
        return [self._ends.pop(attempt.name, _vanished(attempt)) for attempt in gone]

    def running(self) -> frozenset[str]:
        """Return the work that has objects, those being deleted included."""
        return frozenset(attempt.work_id for attempt in self._there.values())

    def starting(self) -> frozenset[str]:
        """Return the work whose worker's container had not begun as of the last look."""
        return frozenset(self._starting)

    def pending(self) -> Mapping[str, str]:
        """Return what keeps work from running, as of the last look."""
        return self._pending

    def close(self) -> None:
        """Leave everything as it is: jobs go on without this service, and the next one finds them."""

    def _look(self) -> dict[str, tuple[Object, AttemptObjects]]:
        """Return what the cluster has, by attempt."""
        # Owners last: what they own is deleted before them, so no attempt looks whole without its objects.
        jobs, pods = _by_attempt(self._cluster.jobs()), _by_attempt(self._cluster.pods())
        owners = self._cluster.owners()
        warnings = self._cluster.warnings() if owners else []
        found = {}
        for owner in owners:
            name = owner["metadata"]["name"]
            events = [event for event in warnings if event["involvedObject"]["name"].startswith(f"{name}-")]
            ordered = ordered_replicas(owner)
            objects = AttemptObjects(name, jobs[name], pods[name], events, self._scaled.get(name, ordered), ordered)
            found[name] = owner, objects
        return found

    def _restarts_of(self, attempt: _Attempt, objects: AttemptObjects) -> list[Restart]:
        """Return the samplers that were put back since the last look; what was before this service came is no news."""
        found = restarted(objects)
        known = self._restarts.get(attempt.name)
        self._restarts[attempt.name] = {process: count for process, (count, _) in found.items()}
        if known is None:
            return []
        return [
            Restart(
                attempt.work_id,
                attempt.attempt,
                process,
                end.code,
                self._cluster.last_lines(end.pod, before_restart=True),
                count=count,
                limit=RESTART_LIMIT,
            )
            for process, (count, end) in found.items()
            if count > known.get(process, 0)
        ]

    def _exit(self, attempt: _Attempt, end: Ended) -> Exit:
        lines = self._cluster.last_lines(end.pod) if end.pod else ["its pod was deleted, or its node is lost"]
        return Exit(attempt.work_id, attempt.attempt, end.process, end.code, lines)

    def _end(self, attempt: _Attempt, end: Exit | None = None) -> None:
        """Delete an attempt's objects; every look does so again until the cluster has begun to."""
        told = end or Exit(attempt.work_id, attempt.attempt, "the attempt", TERMINATED, ())
        self._ends.setdefault(attempt.name, told)
        try:
            self._cluster.delete_owner(attempt.name)
        except (ApiException, HTTPError) as error:
            log.warning("the objects of %s cannot be deleted now: %s", attempt.name, said(error))


def _attempt_of(owner: Object) -> _Attempt:
    labels = owner["metadata"]["labels"]
    return _Attempt(labels[WORK_LABEL], int(labels[ATTEMPT_LABEL]))


def _by_attempt(objects: list[Object]) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = defaultdict(list)
    for one in objects:
        found[_attempt_of(one).name].append(one)
    return found


def _vanished(attempt: _Attempt) -> Exit:
    lines = ["the objects of the attempt were deleted by somebody else, or while this service was away"]
    return Exit(attempt.work_id, attempt.attempt, "the attempt", TERMINATED, lines)
