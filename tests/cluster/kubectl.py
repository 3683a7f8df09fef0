"""What tests do with a cluster, by kubectl: as a person at a terminal would."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy" / "kubernetes"
NAMESPACE = "pinetune"
Object = dict[str, Any]
T = TypeVar("T")


class CommandError(AssertionError):
    """kubectl refused; the message has what it said on stderr."""

    def __init__(self, message: str, printed: str) -> None:
        super().__init__(message)
        self.printed = printed
        """What it said on stdout."""


def kubectl(*arguments: str, given: str | None = None, seconds: float = 300.0) -> str:
    """Run kubectl in the namespace and return what it prints; raises CommandError with what it says on stderr."""
    command = ["kubectl", "--namespace", NAMESPACE, *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode != 0:
        raise CommandError(f"{' '.join(command)}: {done.stderr.strip()}", done.stdout.strip())
    return done.stdout


def read(*arguments: str) -> Object:
    """Return what `kubectl get …` finds, as an object."""
    found: Object = json.loads(kubectl("get", *arguments, "--output=json"))
    return found


def pods_of(component: str) -> list[Object]:
    """Return the pods of a component that are not leaving."""
    found: list[Object] = read("pods", f"--selector=app.kubernetes.io/component={component}")["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def wait_for(what: str, look: Callable[[], T], *, seconds: float) -> T:
    """Return what `look` gives once that is true; fails with what the pods are doing."""
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            state = kubectl("get", "pods", "--output=wide") + kubectl("get", "events", "--sort-by=.lastTimestamp")
            raise AssertionError(f"{what} did not come about within {seconds:.0f} s\n{state}")
        time.sleep(0.5)
    return found


@contextmanager
def forwarded(target: str, port: int, *, namespace: str = NAMESPACE) -> Iterator[str]:
    """Forward a free local port to a Service or pod; yields its address."""
    command = ["kubectl", "--namespace", namespace, "port-forward", target, f":{port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "->" in line, line + process.stdout.read()
        yield line.removeprefix("Forwarding from ").split(" ->")[0]
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
