"""Python scripts that run as pods: beside pinetune's own, under the same policies, or outside, where its users are."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.cluster.kubectl import NAMESPACE, CommandError, Object, kubectl, read, wait_for

OUTSIDE = "default"
"""A namespace that no policy of ours is about."""


@dataclass(frozen=True)
class Script:
    """A running script."""

    name: str
    namespace: str

    def log(self) -> str:
        """Return what it has written so far; nothing before it has started."""
        try:
            return kubectl(f"--namespace={self.namespace}", "logs", self.name)
        except CommandError:
            return ""

    def wait_for_word(self, word: str, *, seconds: float) -> None:
        """Return once it has written the word."""
        wait_for(f"{word!r} of {self.name}", lambda: word in self.log(), seconds=seconds)

    def phase(self) -> str:
        """Return Pending, Running, Succeeded or Failed."""
        phase: str = read(f"--namespace={self.namespace}", "pod", self.name)["status"].get("phase", "")
        return phase

    def run(self, *command: str) -> None:
        """Run a command beside it; fails with what it has written where it has ended already."""
        assert self.phase() == "Running", self.log()
        kubectl(f"--namespace={self.namespace}", "exec", self.name, "--", *command)

    def output(self, *, seconds: float) -> str:
        """Return what it has written once it has succeeded."""
        wait_for(f"the end of {self.name}", lambda: self.phase() in ("Succeeded", "Failed"), seconds=seconds)
        said = kubectl(f"--namespace={self.namespace}", "logs", self.name)
        assert self.phase() == "Succeeded", said
        return said


@contextmanager
def running(name: str, script: str, *arguments: str, component: str = "", token: str = "") -> Iterator[Script]:
    """Run a script with pinetune's packages, as one of a component's pods or, without one, outside; deletes it.

    Outside there is no Secret with the token, so it is given.
    """
    namespace = NAMESPACE if component else OUTSIDE
    shown = {"value": token} if token else {"valueFrom": {"secretKeyRef": {"name": "pinetune-token", "key": "token"}}}
    labels = {"app.kubernetes.io/name": "pinetune", "app.kubernetes.io/component": component} if component else {}
    pod = _pod([script, *arguments], {"name": "PINETUNE_TOKEN", **shown})
    pod["metadata"] = {"name": name, "namespace": namespace, "labels": labels}
    kubectl(f"--namespace={namespace}", "create", "-f", "-", given=json.dumps(pod))
    try:
        yield Script(name, namespace)
    finally:
        kubectl(f"--namespace={namespace}", "delete", "pod", name, "--grace-period=0", "--force", "--wait=true")


def _pod(script: list[str], token: Object) -> Object:
    container = {
        "name": "script",
        "image": read("statefulset", "pinetune-jobs")["spec"]["template"]["spec"]["containers"][0]["image"],
        "command": ["python", "-P", "-c", *script],
        "env": [token],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }
