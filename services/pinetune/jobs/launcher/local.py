"""Runs jobs as processes of this machine: learning, generation and the worker of each, on loopback ports.

Every child has a pipe as stdin and stops when it ends: they die with this process, however it dies. What Prometheus is
to scrape stands in `run/targets.json`, written anew whenever processes come and go.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pinetune.jobs.launcher.base import Exit, Restart, RestartLimit, WorkOrder
from pinetune.jobs.launcher.group import ProcessGroup
from pinetune.jobs.launcher.ports import LOOPBACK, free_ports
from pinetune.jobs.launcher.process import ProcessPlan
from pinetune.jobs.launcher.room_settings import Addresses, generation_settings, learning_settings, worker_settings
from pinetune.pod.errors import Broken

log = logging.getLogger(__name__)

CLOSE_POLL_SECONDS = 0.05
OWN_VARIABLES = ("HOST", "GRPC_PORT", "METRICS_PORT", "ADDRESS_FILE", "STOP_ON_STDIN_EOF", "THREADS")
"""Settings of this pod that its children must not inherit."""
WORKER_VARIABLES = frozenset({"PINETUNE_WORKER_TRACED_ROLLOUTS"})
"""The worker's settings that are the user's to choose; the others are the launcher's."""

Command = Callable[[str], Sequence[str]]
"""Program and arguments of a room's process: `learning`, `generation` or `worker`."""


def module_command(room: str) -> Sequence[str]:
    """Return the command that runs a room with this interpreter."""
    module = "pinetune.jobs.worker" if room == "worker" else f"pinetune.{room}"
    return [sys.executable, "-m", module]


class LocalLauncher:
    """Processes of this machine; see `Launcher`."""

    def __init__(
        self,
        *,
        data_dir: Path,
        jobs_address: str,
        grading_address: str,
        stop_grace_seconds: float,
        restart_limit: RestartLimit,
        command: Command = module_command,
    ) -> None:
        self._data_dir = data_dir
        self._jobs_address = jobs_address
        self._grading_address = grading_address
        self._stop_grace_seconds = stop_grace_seconds
        self._restart_limit = restart_limit
        self._command = command
        self._groups: dict[str, ProcessGroup] = {}
        self._unscaled: dict[str, str] = {}
        """Why work has not the samplers that it should have."""
        self._write_targets()

    def launch(self, order: WorkOrder) -> None:
        """Start learning, generation and the worker; raises Broken LAUNCH_FAILED and leaves none behind."""
        assert order.work_id not in self._groups, "the scheduler waits for the end of the last attempt"
        folder = self._data_dir / "jobs" / order.work_id / "logs"
        group = ProcessGroup(
            order.work_id,
            order.attempt,
            log_folder=folder,
            stop_grace_seconds=self._stop_grace_seconds,
            restart_limit=self._restart_limit,
        )
        plans = self._plans(order)
        samplers = [plan for plan in plans if plan.room == "generation"]
        waiting = samplers[order.engine.replicas :]
        try:
            for plan in plans:
                if plan not in waiting:
                    group.start(plan)
            group.plan_samplers(samplers)
        except OSError as error:
            group.kill()
            raise Broken(
                f"the processes of {order.work_id} cannot be started: {error}", reason="LAUNCH_FAILED"
            ) from error
        self._groups[order.work_id] = group
        self._write_targets()

    def stop(self, work_id: str, *, grace_seconds: float) -> None:
        """Ask the processes to end; nothing where there are none."""
        if work_id in self._groups:
            self._groups[work_id].stop(grace_seconds=grace_seconds)

    def scale(self, work_id: str, replicas: int) -> None:
        """Have so many generation replicas run; one that cannot be started is said in `pending` until it can."""
        if (group := self._groups.get(work_id)) is None:
            return
        try:
            changed = group.scale(replicas)
        except OSError as error:
            said = f"generation cannot have {replicas} replicas: {error}"
            if self._unscaled.get(work_id) != said:  # It is tried every second.
                log.exception("%s: %s", work_id, said)
            self._unscaled[work_id] = said
            changed = True  # Some may have gone or come before.
        else:
            self._unscaled.pop(work_id, None)
        if changed:
            self._write_targets()

    def poll(self) -> list[Exit | Restart]:
        """Return what happened since the last call: attempts whose processes are all gone, and replicas restarted."""
        before = self._running_names()
        restarts = [restart for group in self._groups.values() for restart in group.restart_dead()]
        exits = [end for group in self._groups.values() if (end := group.poll()) is not None]
        for end in exits:
            del self._groups[end.work_id]
            self._unscaled.pop(end.work_id, None)
        if exits or self._running_names() != before:
            self._write_targets()
        return [*restarts, *exits]

    def running(self) -> frozenset[str]:
        """Return the work that has processes."""
        return frozenset(self._groups)

    def starting(self) -> frozenset[str]:
        """Return nothing: a process begins as it is started."""
        return frozenset()

    def pending(self) -> Mapping[str, str]:
        """Return what keeps further samplers from running; an attempt itself starts at once or not at all."""
        given_up = {work_id: group.given_up for work_id, group in self._groups.items() if group.given_up}
        return given_up | self._unscaled

    def close(self) -> None:
        """End all processes and wait until they are gone."""
        for group in self._groups.values():
            group.stop(grace_seconds=self._stop_grace_seconds)
        while self._groups:
            self.poll()
            time.sleep(CLOSE_POLL_SECONDS)

    def _plans(self, order: WorkOrder) -> list[ProcessPlan]:
        """Return the processes in the order of their start: services first, then the worker that waits for them.

        All samplers that there may ever be are among them: the worker has to know their addresses.
        """
        ports = iter(free_ports(2 * (order.engine.most_replicas + 2)))
        plans: list[ProcessPlan] = []
        addresses: dict[str, list[str]] = {"learning": [], "generation": []}

        def add(name: str, room: str, settings: Mapping[str, str]) -> None:
            grpc_port, metrics_port = next(ports), next(ports)
            environment = _environment(grpc_port, metrics_port, order.engine.threads) | dict(settings)
            alone = room == "generation"
            command = self._command(room)
            plans.append(ProcessPlan(name, room, command, environment, grpc_port, metrics_port, restarts_alone=alone))
            addresses.setdefault(room, []).append(f"{LOOPBACK}:{grpc_port}")

        if order.learns:
            add("learning", "learning", learning_settings(order))
        for replica in range(order.engine.most_replicas):
            add(f"generation-{replica}", "generation", generation_settings(order))
        reached = Addresses(self._jobs_address, self._grading_address, addresses["learning"], addresses["generation"])
        add("worker", "worker", worker_settings(order, reached))
        return plans

    def _running_names(self) -> list[str]:
        return [process.plan.name for group in self._groups.values() for process in group.processes]

    def _write_targets(self) -> None:
        """Publish where /metrics of each process is, whole or not at all (Prometheus file_sd)."""
        targets = [
            {
                "targets": [f"{LOOPBACK}:{process.plan.metrics_port}"],
                "labels": {"room": process.plan.room, "job_id": group.work_id, "process": process.plan.name},
            }
            for group in self._groups.values()
            for process in group.processes
        ]
        path = self._data_dir / "run" / "targets.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(targets, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)


def _environment(grpc_port: int, metrics_port: int, threads: int | None) -> dict[str, str]:
    """Return our environment with the ports of the child in place of ours."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in {f"PINETUNE_POD_{own}" for own in OWN_VARIABLES}
        and (name in WORKER_VARIABLES or not name.startswith("PINETUNE_WORKER_"))
    }
    ours = {
        "PINETUNE_POD_HOST": LOOPBACK,
        "PINETUNE_POD_GRPC_PORT": str(grpc_port),
        "PINETUNE_POD_METRICS_PORT": str(metrics_port),
        "PINETUNE_POD_STOP_ON_STDIN_EOF": "true",
    }
    return inherited | ours | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
