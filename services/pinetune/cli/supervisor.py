"""Starts the services of `pinetune up` one after the other, starts one that dies again, stops them in reverse order."""

import queue
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import FrameType

from pinetune.cli.child import Child, Service
from pinetune.cli.console import say
from pinetune.cli.data_folder import DataFolder
from pinetune.client.calls import wait_until_serving
from pinetune.pod.channel import connect

START_SECONDS = 120.0
"""How long a service may take until it serves."""
STOP_SECONDS = 40.0
"""How long a service may take to end; above the grace that pods give their calls."""
SLOW_SECONDS = 10.0
"""After how long a person is told what a service waits for."""
POLL_SECONDS = 0.1
RESTART_COUNT_MAX = 3
"""Restarts of one service within `RESTART_WINDOW_SECONDS` beyond which `up` gives up."""
RESTART_WINDOW_SECONDS = 600.0

Addresses = Mapping[str, Mapping[str, str]]
"""By service, where it listens: `addresses["jobs"]["grpc"]`."""
Plan = tuple[tuple[str, Callable[[Addresses], Mapping[str, str]]], ...]
"""Services in the order of their start, each with what makes its variables from the addresses of those before it."""


class Stopped(Exception):  # noqa: N818  not an error
    """Someone asked `up` to stop."""


class ServiceError(Exception):
    """A service could not be kept running."""

    def __init__(self, sentence: str, child: Child) -> None:
        super().__init__(sentence)
        self.child = child


class Supervisor:
    """The services of one `up`."""

    def __init__(self, folder: DataFolder, plan: Plan) -> None:
        self._folder = folder
        self._plan = plan
        self._children: dict[str, Child] = {}
        self._restarts: Counter[str] = Counter()
        self._last_restart_time = 0.0
        # Filled by signal handlers, which may interrupt the main thread anywhere; a SimpleQueue allows that.
        self._happenings: queue.SimpleQueue[Child | signal.Signals] = queue.SimpleQueue()
        self.addresses: dict[str, dict[str, str]] = {}

    def listen_to_signals(self) -> None:
        """Take SIGTERM and SIGINT as requests to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def start(self) -> None:
        """Start all services, each once those before it serve. Raises Stopped or ServiceError."""
        for name, variables in self._plan:
            self._start(Service(name, variables(self.addresses)))

    def supervise(self) -> None:
        """Keep the services running until asked to stop. Raises ServiceError where one dies again and again."""
        while True:
            happening = self._happenings.get()
            if isinstance(happening, signal.Signals):
                return
            if self._children.get(happening.service.name) is happening:
                self._restart(happening)

    def stop(self) -> None:
        """Stop the services, the last one started first."""
        self._folder.write_targets({})
        for name in reversed(list(self._children)):
            self._children.pop(name).stop(STOP_SECONDS)

    def _start(self, service: Service) -> None:
        child = Child(service, self._folder, self._happenings.put)
        self._children[service.name] = child
        began, told = time.monotonic(), False
        while not (addresses := child.addresses()):
            seconds = time.monotonic() - began
            if seconds > START_SECONDS:
                raise ServiceError(f"{service.name} did not serve within {START_SECONDS:.0f} s", child)
            if seconds > SLOW_SECONDS and not told and (said := child.last_lines(1)):
                say(f"{service.name} is not ready yet; its log is {child.log_file} and says\n{said}")
                told = True
            self._raise_what_happened(child)
        with connect(addresses["grpc"]) as channel:
            wait_until_serving(channel, service.name, seconds=START_SECONDS)
        self.addresses[service.name] = addresses
        self._folder.write_targets({name: where["metrics"] for name, where in self.addresses.items()})

    def _raise_what_happened(self, starting: Child) -> None:
        """Wait a moment; raise where someone asks to stop or the starting service has ended."""
        try:
            happening = self._happenings.get(timeout=POLL_SECONDS)
        except queue.Empty:
            return
        if isinstance(happening, signal.Signals):
            raise Stopped
        if happening is starting:
            raise ServiceError(f"{starting.service.name} ended with exit code {starting.process.wait()}", starting)
        if self._children.get(happening.service.name) is happening:
            self._restart(happening)

    def _restart(self, dead: Child) -> None:
        """Start a service again, where its peers look for it."""
        name, code = dead.service.name, dead.stop(0)
        now = time.monotonic()
        if now - self._last_restart_time > RESTART_WINDOW_SECONDS:
            self._restarts.clear()
        self._last_restart_time = now
        self._restarts[name] += 1
        if self._restarts[name] > RESTART_COUNT_MAX:
            raise ServiceError(f"{name} ended with exit code {code} for the {self._restarts[name]}th time", dead)
        say(f"{name} ended with exit code {code}; starting it again, its log is {dead.log_file}")
        self._start(Service(name, {**dead.service.variables, **_same_ports(self.addresses.get(name, {}))}))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._happenings.put(signal.Signals(number))


def _same_ports(addresses: Mapping[str, str]) -> dict[str, str]:
    variables = {"grpc": "PINETUNE_POD_GRPC_PORT", "metrics": "PINETUNE_POD_METRICS_PORT"}
    return {variables[name]: addresses[name].rpartition(":")[2] for name in variables if name in addresses}
