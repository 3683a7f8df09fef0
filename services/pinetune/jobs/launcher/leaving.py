"""Samplers that an attempt on this machine has too many of: told to end, killed after a grace, missed by nobody."""

import time

from pinetune.jobs.launcher.ports import HeldPorts
from pinetune.jobs.launcher.process import RunningProcess


class Leaving:
    """The samplers of one attempt that are on their way out."""

    def __init__(self, ports: HeldPorts, *, grace_seconds: float) -> None:
        """Give `ports` those of each that is gone: it may be wanted again."""
        self._ports = ports
        self._grace_seconds = grace_seconds
        self._kill_times: dict[str, float] = {}
        self._processes: dict[str, RunningProcess] = {}

    @property
    def processes(self) -> list[RunningProcess]:
        """Those that are not known to be gone."""
        return list(self._processes.values())

    def dismiss(self, process: RunningProcess) -> None:
        """Ask a sampler to end."""
        name = process.plan.name
        self._processes[name], self._kill_times[name] = process, time.monotonic() + self._grace_seconds
        process.tell_to_end()

    def see_off(self) -> None:
        """Forget those that are gone, and kill those whose grace is over."""
        for name, process in list(self._processes.items()):
            if not process.alive:
                del self._processes[name]
                self._ports.hold(process.plan.ports)
            elif time.monotonic() >= self._kill_times[name]:
                process.popen.kill()
