"""A Prometheus in a namespace of its own, set up as deploy/monitoring says for a cluster without the operator."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.kubectl import ROOT, forwarded, kubectl

SHIPPED = ROOT / "deploy" / "monitoring" / "prometheus"
HOME = "pinetune-prometheus"
IMAGE = "CLUSTER_PROMETHEUS_IMAGE"
"""Variable with the image to run, for a cluster that pulls none."""
PORT = 9090
QUICK = {"scrape_interval: 15s": "scrape_interval: 2s", "evaluation_interval: 15s": "evaluation_interval: 2s"}
"""Jobs of these tests take seconds."""


@contextmanager
def prometheus() -> Iterator[str]:
    """Run it; yields its address, and leaves nothing behind."""
    try:
        everything = json.dumps({"apiVersion": "v1", "kind": "List", "items": _objects()})
        kubectl(f"--namespace={HOME}", "apply", "-f", "-", given=everything)
        kubectl(f"--namespace={HOME}", "wait", "--for=condition=Ready", "pod/prometheus", "--timeout=240s")
        with forwarded("pod/prometheus", PORT, namespace=HOME) as address:
            yield f"http://{address}"
    finally:
        kubectl("delete", "namespace", HOME, "--ignore-not-found", "--wait=true")
        kubectl("delete", "clusterrole,clusterrolebinding", HOME, "--ignore-not-found")


def _objects() -> list[dict[str, object]]:
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            # By this label network.yaml lets a Prometheus in.
            "metadata": {"name": HOME, "labels": {"pinetune.dev/monitoring": "true"}},
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": HOME, "namespace": HOME}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": HOME},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": HOME},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": HOME},
            "subjects": [{"kind": "ServiceAccount", "name": HOME, "namespace": HOME}],
        },
        _config_map("config", {"prometheus.yaml": _config()}),
        _config_map("rules", {path.name: path.read_text() for path in sorted((SHIPPED / "rules").glob("*.yaml"))}),
        _pod(),
    ]


def _config() -> str:
    text = (SHIPPED / "prometheus-kubernetes.yaml").read_text()
    for shipped, quick in QUICK.items():
        assert shipped in text
        text = text.replace(shipped, quick)
    return text


def _config_map(name: str, data: dict[str, str]) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": HOME}, "data": data}


def _pod() -> dict[str, object]:
    folder = Path("/etc/pinetune")
    container = {
        "name": "prometheus",
        "image": os.environ.get(IMAGE, "prom/prometheus:v3.5.0"),
        "imagePullPolicy": "IfNotPresent",
        "args": [f"--config.file={folder}/prometheus.yaml", "--storage.tsdb.path=/data"],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"httpGet": {"port": PORT, "path": "/-/ready"}, "periodSeconds": 2},
        "volumeMounts": [
            {"name": "config", "mountPath": str(folder)},
            {"name": "rules", "mountPath": str(folder / "rules")},
            {"name": "data", "mountPath": "/data"},
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "prometheus", "namespace": HOME},
        "spec": {
            "serviceAccountName": HOME,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "fsGroup": 65534},
            "containers": [container],
            "volumes": [
                {"name": "config", "configMap": {"name": "config"}},
                {"name": "rules", "configMap": {"name": "rules"}},
                {"name": "data", "emptyDir": {}},
            ],
        },
    }
