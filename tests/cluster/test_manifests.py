"""The API server takes every overlay, and the strictest Pod Security level every pod."""

import copy
import json
import subprocess
from collections.abc import Iterator

import pytest
import yaml
from tests.cluster.kubectl import DEPLOY, NAMESPACE, CommandError, Object, kubectl

OVERLAYS = ("local", "gpu", "production")
ACCOUNT = f"--as=system:serviceaccount:{NAMESPACE}:"


def pods_in(overlay: str) -> Iterator[tuple[str, Object]]:
    """Yield every pod of an overlay, those that the launcher makes from its templates included."""
    folder = DEPLOY / "overlays" / overlay
    for one in yaml.safe_load_all(kubectl("kustomize", str(folder))):
        if one["kind"] in ("Deployment", "StatefulSet"):
            template = one["spec"]["template"]
            for claim in one["spec"].get("volumeClaimTemplates", []):
                template["spec"]["volumes"].append({"name": claim["metadata"]["name"], "emptyDir": {}})
            yield one["metadata"]["name"], template
    yield from yaml.safe_load((folder / "pod-templates.yaml").read_text()).items()


def as_pod(name: str, template: Object) -> str:
    metadata = {"name": f"try-{name}", "labels": template["metadata"].get("labels", {})}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})


def is_allowed(*question: str) -> bool:
    """Return what `kubectl auth can-i` answers; a question that it does not understand is an error."""
    try:
        answer = kubectl("auth", "can-i", *question)
    except CommandError as error:
        # It fails with its no.
        if not error.printed.startswith("no"):
            raise
        answer = error.printed
    return answer.strip() == "yes"


@pytest.fixture(scope="module")
def bare_namespace() -> Iterator[str]:
    """A namespace of its own: changes to what is deployed have rules of their own, those of volumes for example."""
    name = f"{NAMESPACE}-dry-run"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_api_server_takes_an_overlay_without_a_warning(overlay: str, bare_namespace: str) -> None:
    objects = list(yaml.safe_load_all(kubectl("kustomize", str(DEPLOY / "overlays" / overlay))))
    for one in objects:
        if "namespace" in one["metadata"]:
            one["metadata"]["namespace"] = bare_namespace
    command = ["kubectl", "apply", "-f", "-", "--dry-run=server"]
    done = subprocess.run(command, input=yaml.safe_dump_all(objects), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(objects)
    assert done.stderr == ""


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_passes_the_restricted_level_of_pod_security(overlay: str) -> None:
    for name, template in pods_in(overlay):
        assert "created" in kubectl("create", "-f", "-", "--dry-run=server", given=as_pod(name, template))


def test_the_namespace_refuses_a_pod_that_asks_for_more() -> None:
    name, template = next(pods_in("local"))
    privileged = copy.deepcopy(template)
    privileged["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(CommandError, match="violates PodSecurity"):
        kubectl("create", "-f", "-", "--dry-run=server", given=as_pod(name, privileged))


@pytest.mark.parametrize(
    "may",
    [
        "create configmaps",
        "delete configmaps",
        "list pods",
        "get pods --subresource=log",
        "create jobs.batch",
        "list events",
        "patch statefulsets.apps --subresource=scale",
    ],
)
def test_the_jobs_service_may_run_the_pods_of_its_jobs(may: str) -> None:
    assert is_allowed(*may.split(), f"{ACCOUNT}pinetune-jobs")


@pytest.mark.parametrize(
    "may",
    [
        "get secrets",
        "create pods",
        "create pods --subresource=exec",
        "delete statefulsets.apps",
        "patch statefulsets.apps",
        "update statefulsets.apps --subresource=scale",
        "patch deployments.apps --subresource=scale",
        "create rolebindings",
        "*  *",
    ],
)
def test_the_jobs_service_may_do_nothing_else(may: str) -> None:
    assert not is_allowed(*may.split(), f"{ACCOUNT}pinetune-jobs")


@pytest.mark.parametrize("may", ["create configmaps", "list pods"])
def test_the_jobs_service_may_do_nothing_in_another_namespace(may: str) -> None:
    assert not is_allowed(*may.split(), f"{ACCOUNT}pinetune-jobs", "--namespace=default")


@pytest.mark.parametrize("account", ["pinetune-grading", "pinetune-gateway", "pinetune-work", "default"])
def test_the_other_pods_may_do_nothing_at_all(account: str) -> None:
    for may in ("list pods", "get secrets", "create configmaps"):
        assert not is_allowed(*may.split(), f"{ACCOUNT}{account}")
