"""The server of a pod, from the first line of its process to the last.

    def build(pod: Pod) -> list[RegisteredService]:
        grading = GradingServicer(...)
        pod.add_startup(grading.load)       # optional: slow things; the pod says NOT_SERVING meanwhile
        pod.add_shutdown(grading.close)     # optional: runs after the last call has ended
        return [RegisteredService(SERVICE_NAME, lambda server: add_GradingServiceServicer_to_server(grading, server))]

    if __name__ == "__main__":
        sys.exit(run("grading", load(PodSettings), build))

A pod is: one gRPC port with the services, `grpc.health.v1` and reflection; one HTTP port with /metrics and /health;
threads that handle calls. It serves until SIGTERM, SIGINT, the end of stdin (where asked), `Pod.stop()` or
`Pod.fail()`; then it says NOT_SERVING, refuses new calls (UNAVAILABLE, POD_STOPPING, with a hint when to come again),
lets those in flight finish within the grace period and cancels the rest, runs the shutdown callbacks and exits with 0,
or with 1 after `fail`.
`start` is the same without signals, for tests and for processes that hold several pods.
"""

import faulthandler
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry

from pinetune.pod import logging as pod_logging
from pinetune.pod import spans
from pinetune.pod.errors import InvalidInput
from pinetune.pod.listener import Listener, RegisteredService
from pinetune.pod.settings import PodSettings
from pinetune.pod.stopping import StartupInterrupted, StopRequests

__all__ = ["Build", "Pod", "PodSettings", "RegisteredService", "run", "start"]

log = logging.getLogger(__name__)

EXIT_OK, EXIT_FAILED, EXIT_MISCONFIGURED = 0, 1, 2


class Pod:
    """One server with its callbacks; made by `run` or `start`, used by rooms inside `build`."""

    def __init__(self, room: str, settings: PodSettings) -> None:
        self.room = room
        self.settings = settings
        self.registry: CollectorRegistry = REGISTRY
        """The metrics that /metrics shows."""
        self.stopping = threading.Event()
        """Set when the pod begins to stop; long handlers look at it and hurry."""
        self.grpc_address = ""
        """`host:port` of the services, known after `build`."""
        self.metrics_address = ""
        """`host:port` of /metrics, likewise."""
        self.requests = StopRequests()
        """Where requests to stop arrive."""
        self.failed = False
        """Whether the pod ends because it cannot go on."""
        self._listener: Listener | None = None
        self._tracing = spans.OFF
        self._startups: list[Callable[[], None]] = []
        self._shutdowns: list[Callable[[], None]] = []

    def add_startup(self, callback: Callable[[], None]) -> None:
        """Run `callback` in the main thread after the ports are open and before the pod serves; its exception ends it.

        Calls that come meanwhile are answered with UNAVAILABLE, POD_STARTING.
        """
        self._startups.append(callback)

    def add_shutdown(self, callback: Callable[[], None]) -> None:
        """Run `callback` after the last call has ended; the last one added runs first."""
        self._shutdowns.append(callback)

    def stop(self, reason: str = "asked by the pod") -> None:
        """Ask the process to stop as SIGTERM does; returns at once."""
        self.requests.ask(reason)

    def fail(self, reason: str) -> None:
        """As `stop`, where the pod cannot do its work any more: the process's exit code says so to its launcher."""
        self.failed = True
        log.critical("cannot go on: %s", reason)
        self.requests.ask(reason)

    def open(self, build: "Build") -> None:
        """Build the services, open the ports, run the startup callbacks, take calls."""
        self._tracing = spans.open_tracing(self.room, self.settings.traces_endpoint)
        services = build(self)
        self._listener = Listener(self.room, self.settings, services, self.registry)
        self.grpc_address = self._listener.grpc_address
        self.metrics_address = self._listener.metrics_address
        for callback in self._startups:
            callback()
        self._listener.serve()
        if self.settings.address_file is not None:
            _write_addresses(self.settings.address_file, self)
        log.info("serving", extra={"grpc": self.grpc_address, "metrics": self.metrics_address, "pid": os.getpid()})

    def close(self) -> bool:
        """Stop as described at the top; False where a call outlived the grace period and still holds its thread."""
        self.stopping.set()
        all_ended = self._listener is None or self._listener.drain(self.settings.grace_seconds)
        for callback in reversed(self._shutdowns):
            try:
                callback()
            except Exception:
                log.exception("a shutdown callback failed; the others still run")
        if self._listener is not None:
            self._listener.close()
        spans.close_tracing(self._tracing)
        return all_ended


Build = Callable[[Pod], Sequence[RegisteredService]]
"""What a room brings: it makes the services and adds their startup and shutdown to the pod."""


def start(room: str, settings: PodSettings, build: Build) -> Pod:
    """Return a pod that serves; the caller ends it with `close`. Raises what `build` or a startup callback raised."""
    pod = Pod(room, settings)
    try:
        pod.open(build)
    except BaseException:
        pod.close()
        raise
    return pod


def run(room: str, settings: PodSettings, build: Build) -> int:
    """Be a pod until asked to stop, in the main thread of the process; return the process's exit code.

    0 after a stop that was asked for, 1 where the start or the pod failed, 2 where the start failed for the settings.
    """
    pod_logging.configure(room, level=settings.log_level, style=settings.log_format)
    faulthandler.register(signal.SIGUSR1)  # `kill -USR1` shows where every thread of a stuck pod is.
    if settings.address_file is not None:
        settings.address_file.unlink(missing_ok=True)  # Nobody shall take a former pod's ports for this one's.
    pod = Pod(room, settings)
    pod.requests.listen_to_signals()
    if settings.stop_on_stdin_eof:
        pod.requests.listen_to_stdin()
    code = _serve_until_asked(pod, build)
    if not pod.close():
        log.warning("calls outlived the grace period and were cut off")
        logging.shutdown()
        # Returning would wait for their threads: the interpreter joins those of pools at exit, without a deadline.
        os._exit(code)
    log.info("stopped")
    return code


def _serve_until_asked(pod: Pod, build: Build) -> int:
    code = EXIT_OK
    try:
        pod.open(build)
        pod.requests.startup_is_over()
        log.info("stopping", extra={"reason": pod.requests.wait(), "grace_seconds": pod.settings.grace_seconds})
    except StartupInterrupted:
        log.info("stopping before the start was over", extra={"reason": pod.requests.wait()})
    except InvalidInput as error:
        log.critical("cannot start: %s", error, extra={"reason": error.reason})
        code = EXIT_MISCONFIGURED
    except Exception:
        log.critical("cannot start", exc_info=True)
        code = EXIT_FAILED
    pod.requests.startup_is_over()
    return EXIT_FAILED if pod.failed and code == EXIT_OK else code


def _write_addresses(path: Path, pod: Pod) -> None:
    """Publish the ports: whole or not at all, under a temporary name first."""
    addresses = {"grpc": pod.grpc_address, "metrics": pod.metrics_address, "pid": os.getpid()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(addresses) + "\n", encoding="utf-8")
    temporary.replace(path)
