"""The overlay `local`, deployed for the tests of this folder, and nothing left of it afterwards."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.kubectl import DEPLOY, NAMESPACE, CommandError, kubectl

SERVICES = ("deployment/pinetune-grading", "statefulset/pinetune-jobs", "deployment/pinetune-gateway")
READY_SECONDS = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(scope="session")
def token(deployed: None) -> str:
    """The token of the deployment."""
    return kubectl("get", "secret", "pinetune-token", "--output=go-template={{.data.token | base64decode}}")


@pytest.fixture(scope="session", autouse=True)
def deployed() -> Iterator[None]:
    """Deploy `local`, wait until all services are ready; delete it after the last test."""
    if kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"):
        pytest.exit(f"the cluster has a namespace {NAMESPACE}, and these tests delete theirs: try another cluster", 2)
    overlay = str(DEPLOY / "overlays" / "local")
    try:
        kubectl("apply", "-k", overlay)
        kubectl("create", "secret", "generic", "pinetune-token", f"--from-literal=token={secrets.token_hex(16)}")
        for service in SERVICES:
            _wait_until_ready(service)
        yield
    finally:
        kubectl("delete", "-k", overlay, "--ignore-not-found", "--wait=true", seconds=600)


def _wait_until_ready(service: str) -> None:
    try:
        kubectl("rollout", "status", service, f"--timeout={READY_SECONDS}s", seconds=READY_SECONDS + 30)
    except CommandError as error:
        state = kubectl("get", "pods", "--output=wide") + kubectl("get", "events", "--sort-by=.lastTimestamp")
        raise AssertionError(f"{error}\n{state}") from error
