"""The few calls that the launcher makes to the Kubernetes API, objects as their JSON has them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubernetes import client, config
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from pinetune.jobs.launcher.kubernetes_objects import MANAGED_BY, MANAGED_LABEL
from pinetune.jobs.launcher.pod_templates import CONTAINER, Object
from pinetune.pod.errors import InvalidInput

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
CALL_SECONDS = 20
LOG_LINES = 15
CONFLICT, GONE = 409, 404
OURS = f"{MANAGED_LABEL}={MANAGED_BY}"


class Cluster:
    """One namespace. Its methods raise ApiException where the API server refuses, HTTPError where it is not reached."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self._api = api
        self._core = client.CoreV1Api(api)
        self._batch = client.BatchV1Api(api)
        self._apps = client.AppsV1Api(api)

    def create(self, one: Object) -> Object:
        """Create an object, or find that it is there already, as after a call whose answer was lost; return it."""
        create, read = self._methods(one["kind"])
        try:
            made = create(self.namespace, one, _request_timeout=CALL_SECONDS)
        except ApiException as error:
            if error.status != CONFLICT:
                raise
            made = self._there_already(read, one, error)
        return self._plain(made)

    def _there_already(self, read: Callable[..., Any], one: Object, conflict: ApiException) -> Any:
        try:
            return read(one["metadata"]["name"], self.namespace, _request_timeout=CALL_SECONDS)
        except ApiException as error:
            if error.status != GONE:
                raise
            # The conflict was another one: several that are counted by one quota, or it is gone again.
            raise conflict from error

    def delete_owner(self, name: str) -> None:
        """Delete an attempt's ConfigMap once all that it owns is gone; nothing where it is gone already."""
        try:
            self._core.delete_namespaced_config_map(
                name, self.namespace, propagation_policy="Foreground", _request_timeout=CALL_SECONDS
            )
        except ApiException as error:
            if error.status != GONE:
                raise

    def scale(self, stateful_set: str, replicas: int) -> None:
        """Have a StatefulSet keep so many pods, the lowest numbers."""
        # A list is sent as a JSON patch by every version of the client; of a table the versions think differently.
        patch = [{"op": "replace", "path": "/spec/replicas", "value": replicas}]
        self._apps.patch_namespaced_stateful_set_scale(
            stateful_set, self.namespace, patch, _request_timeout=CALL_SECONDS
        )

    def owners(self) -> list[Object]:
        """Return the ConfigMaps of all attempts."""
        return self._items(self._core.list_namespaced_config_map)

    def jobs(self) -> list[Object]:
        """Return the Jobs of all attempts."""
        return self._items(self._batch.list_namespaced_job)

    def pods(self) -> list[Object]:
        """Return the pods of all attempts, by name."""
        return sorted(self._items(self._core.list_namespaced_pod), key=lambda pod: str(pod["metadata"]["name"]))

    def warnings(self) -> list[Object]:
        """Return the namespace's warnings, oldest first."""
        found = self._core.list_namespaced_event(
            self.namespace, field_selector="type=Warning", _request_timeout=CALL_SECONDS
        )
        return sorted(self._plain(found)["items"], key=lambda event: str(event.get("lastTimestamp") or ""))

    def last_lines(self, pod: str, *, before_restart: bool = False) -> list[str]:
        """Return the last lines that a pod wrote, or the container before its last restart; none where it is gone.

        None either where the API server is not reached: for the lines alone no end of an attempt is to be missed.
        """
        try:
            text: str = self._core.read_namespaced_pod_log(
                pod,
                self.namespace,
                container=CONTAINER,
                previous=before_restart,
                tail_lines=LOG_LINES,
                _request_timeout=CALL_SECONDS,
            )
        except (ApiException, HTTPError):
            return []
        return [line for line in text.splitlines() if line.strip()]

    def _items(self, list_them: Callable[..., Any]) -> list[Object]:
        found = list_them(self.namespace, label_selector=OURS, _request_timeout=CALL_SECONDS)
        items: list[Object] = self._plain(found)["items"]
        return items

    def _plain(self, model: object) -> Object:
        plain: Object = self._api.sanitize_for_serialization(model)
        return plain

    def _methods(self, kind: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
        match kind:
            case "ConfigMap":
                return self._core.create_namespaced_config_map, self._core.read_namespaced_config_map
            case "Service":
                return self._core.create_namespaced_service, self._core.read_namespaced_service
            case "Job":
                return self._batch.create_namespaced_job, self._batch.read_namespaced_job
            case "StatefulSet":
                return self._apps.create_namespaced_stateful_set, self._apps.read_namespaced_stateful_set
        raise ValueError(f"the launcher makes no {kind}")


def connect_to_cluster(namespace: str) -> Cluster:
    """Return the cluster this pod runs in, else the one that the kubeconfig names; an empty namespace is the pod's own.

    Raises InvalidInput NO_CLUSTER where there is neither.
    """
    try:
        config.load_incluster_config()
    except config.ConfigException:
        try:
            config.load_kube_config()
        except (config.ConfigException, OSError) as error:
            raise InvalidInput(
                f"PINETUNE_JOBS_LAUNCHER: kubernetes needs a service account or a kubeconfig: {error}",
                reason="NO_CLUSTER",
            ) from error
    if not namespace:
        if not NAMESPACE_FILE.exists():
            raise InvalidInput(
                "PINETUNE_JOBS_NAMESPACE: name the namespace for jobs; outside of a pod there is none to go by",
                reason="NO_CLUSTER",
            )
        namespace = NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    return Cluster(client.ApiClient(), namespace)
