"""An attempt as Kubernetes objects: what is created, in the order of creation.

    ConfigMap    ftjob-….-1              the attempt itself; it owns all the others, so deleting it deletes them
    Service      ftjob-….-1              headless: gives every pod a name
    Job          ftjob-….-1-learning     indexed, so that torchrun can span several pods of it later; a job has one
    StatefulSet  ftjob-….-1-generation   the samplers; one that dies is put back under its name; scaled while it runs
    Job          ftjob-….-1-worker       the loop; its end is the attempt's

Jobs never start a pod again by themselves: whether to go on, and from which checkpoint, is the scheduler's to decide.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pinetune.jobs.launcher.base import WorkOrder
from pinetune.jobs.launcher.pod_templates import Object, PodTemplates, container_of
from pinetune.jobs.launcher.room_settings import Addresses, generation_settings, learning_settings, worker_settings

GRPC_PORT, METRICS_PORT = 50051, 9464
MANAGED_BY = "pinetune-jobs"
MANAGED_LABEL = "app.kubernetes.io/managed-by"
WORK_LABEL, ATTEMPT_LABEL, ROOM_LABEL = "pinetune.dev/work", "pinetune.dev/attempt", "app.kubernetes.io/component"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
ORDER_KEY = "order.json"


@dataclass(frozen=True)
class Surroundings:
    """What all attempts of this cluster share."""

    templates: PodTemplates
    """How pods look."""
    jobs_address: str
    """Where workers find the jobs service."""
    grading_address: str
    """Where workers find the grading service."""
    queue_name: str
    """Kueue's queue for the pods; empty where there is no Kueue."""


def attempt_name(order: WorkOrder) -> str:
    """Return the name of an attempt's objects."""
    return f"{order.work_id}-{order.attempt}"


def owner_object(order: WorkOrder) -> Object:
    """Return the ConfigMap that stands for the attempt; it holds the order for people to read."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": attempt_name(order), "labels": _labels(order)},
        "data": {ORDER_KEY: json.dumps(asdict(order), indent=2)},
    }


def ordered_replicas(owner: Object) -> int | None:
    """Return how many samplers an attempt began with, by its ConfigMap; None where that does not say so."""
    try:
        replicas = json.loads(owner["data"][ORDER_KEY])["engine"]["replicas"]
    except (KeyError, TypeError, ValueError):
        return None
    return replicas if isinstance(replicas, int) else None


def owned_objects(order: WorkOrder, surroundings: Surroundings, *, owner_uid: str) -> list[Object]:
    """Return the objects that the attempt owns. Raises Unsupported where the engine has no pod template."""
    name = attempt_name(order)
    # Those that do not run yet included: a pod's name is known before there is the pod.
    generation = [f"{name}-generation-{replica}.{name}:{GRPC_PORT}" for replica in range(order.engine.most_replicas)]
    learning = [f"{name}-learning-0.{name}:{GRPC_PORT}"] if order.learns else []
    reached = Addresses(surroundings.jobs_address, surroundings.grading_address, learning, generation)
    objects = [_service(order)]
    if order.learns:
        objects.append(_job("learning", order, surroundings, learning_settings(order)))
    objects.append(_stateful_set(order, surroundings))
    objects.append(_job("worker", order, surroundings, worker_settings(order, reached)))
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": name,
        "uid": owner_uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    for one in objects:
        one["metadata"]["ownerReferences"] = [reference]
    return objects


def _service(order: WorkOrder) -> Object:
    ports = [{"name": "grpc", "port": GRPC_PORT}, {"name": "metrics", "port": METRICS_PORT}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": attempt_name(order), "labels": _labels(order)},
        "spec": {
            "clusterIP": "None",
            # Clients ask a pod's health themselves, and have to find it while it starts.
            "publishNotReadyAddresses": True,
            "selector": {WORK_LABEL: order.work_id, ATTEMPT_LABEL: str(order.attempt)},
            "ports": ports,
        },
    }


def _job(room: str, order: WorkOrder, surroundings: Surroundings, settings: Mapping[str, str]) -> Object:
    template = _pod(room, order, surroundings, settings)
    template["spec"] |= {"restartPolicy": "Never", "subdomain": attempt_name(order)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(room, order, surroundings),
        "spec": {
            "completionMode": "Indexed",
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            "template": template,
        },
    }


def _stateful_set(order: WorkOrder, surroundings: Surroundings) -> Object:
    template = _pod("generation", order, surroundings, generation_settings(order))
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _metadata("generation", order, surroundings),
        "spec": {
            "serviceName": attempt_name(order),
            "replicas": order.engine.replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": _labels(order) | {ROOM_LABEL: "generation"}},
            "template": template,
        },
    }


def _pod(room: str, order: WorkOrder, surroundings: Surroundings, settings: Mapping[str, str]) -> Object:
    template = surroundings.templates.of(room, order.engine.name)
    metadata = template.setdefault("metadata", {})
    metadata["labels"] = metadata.get("labels", {}) | _labels(order) | {ROOM_LABEL: room}
    container = container_of(template)
    told = _pod_settings(order) | dict(settings)
    kept = [one for one in container.get("env", []) if one["name"] not in told]
    container["env"] = kept + [{"name": name, "value": value} for name, value in told.items()]
    return template


def _pod_settings(order: WorkOrder) -> dict[str, str]:
    threads = order.engine.threads
    return {
        "PINETUNE_POD_HOST": "0.0.0.0",
        "PINETUNE_POD_GRPC_PORT": str(GRPC_PORT),
        "PINETUNE_POD_METRICS_PORT": str(METRICS_PORT),
    } | ({"OMP_NUM_THREADS": str(threads)} if threads else {})


def _metadata(room: str, order: WorkOrder, surroundings: Surroundings) -> Object:
    queue = {QUEUE_LABEL: surroundings.queue_name} if surroundings.queue_name else {}
    return {"name": f"{attempt_name(order)}-{room}", "labels": _labels(order) | {ROOM_LABEL: room} | queue}


def _labels(order: WorkOrder) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "pinetune",
        MANAGED_LABEL: MANAGED_BY,
        WORK_LABEL: order.work_id,
        ATTEMPT_LABEL: str(order.attempt),
    }
