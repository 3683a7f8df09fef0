"""The two open ports of a pod: gRPC with its services, health and reflection; HTTP with /metrics and /health."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry

from pinetune.pod import health
from pinetune.pod.errors import TRAILER_BYTES_MAX, InvalidInput
from pinetune.pod.interceptors import PodInterceptor
from pinetune.pod.scrape import ScrapePort
from pinetune.pod.settings import PodSettings

# What a handler may still need for its last lines once gRPC has cancelled its call.
STRAGGLER_SECONDS = 1.0
# What the last bytes of answers may need on their way out.
SENDING_SECONDS = 1.0


@dataclass(frozen=True)
class RegisteredService:
    """A gRPC service that a pod offers."""

    name: str
    """Full name, e.g. `pinetune.api.grading.v1.GradingService`; health and reflection know it by this."""
    add_to_server: Callable[[grpc.Server], None]
    """Registers the servicer: the generated `add_…Servicer_to_server`, or generic handlers."""


class Listener:
    """Ports that are open and answer probes; calls are taken between `serve` and `drain`."""

    def __init__(
        self, room: str, settings: PodSettings, services: Sequence[RegisteredService], registry: CollectorRegistry
    ) -> None:
        """Open both ports, NOT_SERVING; InvalidInput where one is taken or a file of the settings cannot be read."""
        self._started = threading.Event()
        self._interceptor = PodInterceptor(settings.token_text(), self._started)
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix=f"{room}-call")
        self._server = grpc.server(self._threads, interceptors=[self._interceptor], options=_options(settings))
        self._health = health.Health(service.name for service in services)
        self._health.add_to_server(self._server)
        for service in services:
            service.add_to_server(self._server)
        names = [*(service.name for service in services), health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, self._server)
        self.grpc_address = _reachable(settings.host, _bind(self._server, settings))
        self._scrape_port = _serve_metrics(settings, registry, self._health.is_serving)
        self.metrics_address = _reachable(settings.host, self._scrape_port.port)
        self._server.start()

    def serve(self) -> None:
        """Take calls from now on."""
        self._started.set()
        self._health.set_serving(True)

    def drain(self, grace_seconds: float) -> bool:
        """Say NOT_SERVING, take no new calls, wait for those in flight; cancel what outlives the grace period.

        False where a cancelled call still holds its thread.
        """
        self._health.close()
        # The port stays open meanwhile: probes hear NOT_SERVING and callers when to come again, from us and not from a
        # closed socket.
        self._interceptor.refuse_new()
        all_ended = self._interceptor.calls.wait_until_none(grace_seconds)
        # Answers that are written but not yet sent still need a moment. The wait is bounded against gRPC's bugs.
        self._server.stop(SENDING_SECONDS if all_ended else None).wait(SENDING_SECONDS + STRAGGLER_SECONDS)
        return self._interceptor.calls.wait_until_none(STRAGGLER_SECONDS)

    def close(self) -> None:
        """Close /metrics and give the threads back, without waiting for one that a cancelled call still holds."""
        self._scrape_port.close()
        self._threads.shutdown(wait=False)
        self._health.shut_down_threads()


def _options(settings: PodSettings) -> list[tuple[str, int]]:
    age = int(settings.connection_age_seconds * 1000)
    return [
        *([("grpc.max_connection_age_ms", age)] if age else []),
        ("grpc.max_receive_message_length", settings.message_bytes_max),
        ("grpc.max_send_message_length", settings.message_bytes_max),
        ("grpc.max_metadata_size", TRAILER_BYTES_MAX),
        # With the default of 1 a second pod on the same port starts without a word and takes half of the calls.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        # Callers' keepalive pings are never "too many": a process that was held up reads several at once, and would end
        # the connection of a worker that has waited for it.
        ("grpc.http2.max_ping_strikes", 0),
    ]


def _bind(server: grpc.Server, settings: PodSettings) -> int:
    wanted, tls = _joined(settings.host, settings.grpc_port), settings.tls()
    credentials = None if tls is None else tls.credentials()
    try:
        if credentials is None:
            return server.add_insecure_port(wanted)
        return server.add_secure_port(wanted, credentials)
    except RuntimeError as error:
        raise InvalidInput(
            f"PINETUNE_POD_GRPC_PORT: cannot listen on {wanted} ({error}); 0 takes any free port",
            reason="PORT_UNUSABLE",
            address=wanted,
        ) from error


def _serve_metrics(settings: PodSettings, registry: CollectorRegistry, serving: Callable[[], bool]) -> ScrapePort:
    try:
        return ScrapePort(settings.host, settings.metrics_port, registry, serving)
    except OSError as error:
        wanted = _joined(settings.host, settings.metrics_port)
        raise InvalidInput(
            f"PINETUNE_POD_METRICS_PORT: cannot listen on {wanted} ({error.strerror}); 0 takes any free port",
            reason="PORT_UNUSABLE",
            address=wanted,
        ) from error


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reachable(host: str, port: int) -> str:
    """Return where a process on this machine finds the port; "any interface" is no address to connect to."""
    return _joined({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)
