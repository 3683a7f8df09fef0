"""What is shipped holds before the tools that read it: promtool, and Grafana's types under the TypeScript compiler."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.monitoring.shipped import DASHBOARDS, PROMETHEUS, RULES

pytestmark = pytest.mark.monitoring
GRAFANA_TYPES, TYPESCRIPT = "@grafana/schema@13.2.3", "typescript@7.0.2"
STRICT = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022"]


def ran(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


KUBERNETES = "kubernetes_sd_configs: [{role: pod}]"
"""Debian's Prometheus is built without it: the checks put a pod as it finds them in its place."""
META = "__meta_kubernetes_"
POD = {
    "__address__": "10.0.0.7:9464",
    f"{META}namespace": "pinetune",
    f"{META}pod_name": "ftjob-1-1-generation-0",
    f"{META}pod_phase": "Running",
    f"{META}pod_container_port_name": "metrics",
    f"{META}pod_label_app_kubernetes_io_name": "pinetune",
    f"{META}pod_label_app_kubernetes_io_component": "generation",
    f"{META}pod_label_pinetune_dev_work": "ftjob-1",
    f"{META}pod_annotation_prometheus_io_scrape": "true",
    f"{META}pod_annotation_prometheus_io_path": "/metrics",
}


def configured(folder: Path, **pod: str) -> Path:
    """Return the cluster's configuration with one pod in place of discovery."""
    text = (PROMETHEUS / "prometheus-kubernetes.yaml").read_text(encoding="utf-8")
    assert KUBERNETES in text
    labels = {**POD, **{f"{META}{name}": value for name, value in pod.items()}}
    address = labels.pop("__address__")
    static = json.dumps([{"targets": [address], "labels": labels}])
    path = folder / "prometheus.yaml"
    path.write_text(text.replace(KUBERNETES, f"static_configs: {static}").replace("rules/", f"{RULES}/"))
    return path


def test_promtool_accepts_the_configuration_of_one_machine(tmp_path: Path) -> None:
    folder = shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    (tmp_path / "run").mkdir()
    for name in ("targets.json", "targets-services.json"):
        (tmp_path / "run" / name).write_text("[]")
    assert "SUCCESS" in ran("promtool", "check", "config", folder / "prometheus.yaml")


def test_a_pod_of_a_job_gets_the_labels_that_dashboards_use(tmp_path: Path) -> None:
    assert "SUCCESS" in ran("promtool", "check", "config", configured(tmp_path))
    (found,) = json.loads(ran("promtool", "check", "service-discovery", tmp_path / "prometheus.yaml", "pinetune"))
    labels = {name: value for name, value in found["labels"].items() if not name.startswith("__")}
    assert labels == {
        "job": "pinetune",
        "instance": "10.0.0.7:9464",
        "namespace": "pinetune",
        "room": "generation",
        "process": "ftjob-1-1-generation-0",
        "job_id": "ftjob-1",
    }


@pytest.mark.parametrize(
    "pod",
    [{"pod_phase": "Succeeded"}, {"pod_container_port_name": "grpc"}, {"pod_label_app_kubernetes_io_name": "other"}],
    ids=["ended", "another port", "another product"],
)
def test_what_is_no_running_pod_of_ours_is_not_scraped(pod: dict[str, str], tmp_path: Path) -> None:
    path = configured(tmp_path, **pod)
    (found,) = json.loads(ran("promtool", "check", "service-discovery", path, "pinetune"))
    assert not found.get("labels")


def test_promtool_accepts_the_rules() -> None:
    assert "SUCCESS" in ran("promtool", "check", "rules", "--lint=all", "--lint-fatal", *sorted(RULES.glob("*.yaml")))


@pytest.mark.parametrize("file", sorted((RULES / "tests").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_case_of_the_rules_comes_out_as_written(file: Path) -> None:
    assert "SUCCESS" in ran("promtool", "test", "rules", file)


@pytest.fixture(scope="module")
def types(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("types")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    ran("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", GRAFANA_TYPES, TYPESCRIPT, cwd=folder)
    return folder


def checked(folder: Path, dashboard: str) -> "subprocess.CompletedProcess[str]":
    source = folder / "dashboard.ts"
    source.write_text(
        "import type { Dashboard } from '@grafana/schema';\n"
        f"export const dashboard = {dashboard.strip()} satisfies Dashboard;\n"
    )
    command = ["npx", "--no-install", "tsc", *STRICT, source.name]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", sorted(DASHBOARDS.glob("*.json")), ids=lambda path: path.stem)
def test_grafanas_types_accept_a_dashboard(path: Path, types: Path) -> None:
    done = checked(types, path.read_text(encoding="utf-8"))
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("right", "wrong"), [('"gridPos"', '"gridPosition"'), ('"schemaVersion": 39', '"schemaVersion": "39"')]
)
def test_grafanas_types_refuse_a_wrong_key_and_a_wrong_value(right: str, wrong: str, types: Path) -> None:
    text = (DASHBOARDS / "job.json").read_text(encoding="utf-8")
    assert right in text
    assert checked(types, text.replace(right, wrong)).returncode != 0
