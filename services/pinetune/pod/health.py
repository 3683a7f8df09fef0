"""What a pod answers to probes: `grpc.health.v1` for the pod ("") and for each of its services.

Two things differ from grpcio-health-checking's servicer. Probes have threads of their own, so that a pod whose threads
all compute is busy and not dead. And open `Watch` streams end when the pod stops, or else the server would wait for
them through its whole grace period.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health_pb2

from pinetune.pod import metrics

OVERALL = ""
"""The name under which a probe asks for the pod as a whole."""
SERVICE_NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

Send = Callable[[health_pb2.HealthCheckResponse | None], None]


class _Watcher:
    """One open `Watch`."""

    def __init__(self, name: str, send: Send) -> None:
        self._name = name
        self._send = send
        # Its own lock, not the registry's: sending waits for gRPC's thread, which may be forgetting another watcher.
        self._lock = threading.Lock()
        self._ended = False

    def tell(self, status_of: Callable[[str], health_pb2.HealthCheckResponse]) -> None:
        """Send the status as it is now; two changes at once cannot arrive in the wrong order."""
        with self._lock:
            if not self._ended:
                self._send(status_of(self._name))

    def end(self) -> None:
        """End the stream; nothing is sent on it afterwards."""
        with self._lock:
            if not self._ended:
                self._send(None)
            self._ended = True


class Health:
    """One status for the pod and all its services: serving or not."""

    def __init__(self, service_names: Iterable[str]) -> None:
        self._names = frozenset({OVERALL, *service_names})
        self._serving = False
        self._closed = False
        self._watchers: set[_Watcher] = set()
        self._lock = threading.Lock()
        metrics.SERVING.set(0)
        self._probes = ThreadPoolExecutor(max_workers=2, thread_name_prefix="probe")

    def add_to_server(self, server: grpc.Server) -> None:
        """Register the two methods with the server."""

        def check(
            request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
        ) -> health_pb2.HealthCheckResponse:
            return self.check(request.service, context)

        def watch(request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext, send: Send) -> None:
            self.watch(request.service, context, send)

        # gRPC reads these off the handlers: their own threads, and that `watch` sends by callback and holds none.
        vars(check).update(experimental_thread_pool=self._probes)
        vars(watch).update(experimental_thread_pool=self._probes, experimental_non_blocking=True)
        request, response = health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString
        handlers = {
            "Check": grpc.unary_unary_rpc_method_handler(check, request, response),
            "Watch": grpc.unary_stream_rpc_method_handler(watch, request, response),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, handlers),))

    def check(self, name: str, context: grpc.ServicerContext) -> health_pb2.HealthCheckResponse:
        """Return the status of the pod or of one service; NOT_FOUND for a name that is neither."""
        if name not in self._names:
            context.abort(grpc.StatusCode.NOT_FOUND, f"this pod has no service {name!r}")
        return self._status_of(name)

    def watch(self, name: str, context: grpc.ServicerContext, send: Send) -> None:
        """Send the status now and whenever it changes, until the caller leaves or the pod stops."""
        watcher = _Watcher(name, send)
        with self._lock:
            if not self._closed:
                self._watchers.add(watcher)
        watcher.tell(self._status_of)
        if self._closed:
            watcher.end()
        elif not context.add_callback(lambda: self._forget(watcher)):
            self._forget(watcher)

    def is_serving(self) -> bool:
        """Return whether the pod serves."""
        return self._serving

    def set_serving(self, serving: bool) -> None:
        """Change the status of the pod and of all its services, and tell the watchers."""
        with self._lock:
            self._serving = serving and not self._closed
            watchers = list(self._watchers)
        metrics.SERVING.set(self._serving)
        for watcher in watchers:
            watcher.tell(self._status_of)

    def close(self) -> None:
        """Say NOT_SERVING for good and end all watches; a later `set_serving(True)` changes nothing."""
        with self._lock:
            self._closed = True
        self.set_serving(False)
        with self._lock:
            watchers = list(self._watchers)
            self._watchers.clear()
        for watcher in watchers:
            watcher.end()

    def shut_down_threads(self) -> None:
        """Give the probes' threads back, once the server has stopped."""
        self._probes.shutdown(wait=False)

    def _status_of(self, name: str) -> health_pb2.HealthCheckResponse:
        if name not in self._names:
            return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        status = health_pb2.HealthCheckResponse.SERVING if self._serving else health_pb2.HealthCheckResponse.NOT_SERVING
        return health_pb2.HealthCheckResponse(status=status)

    def _forget(self, watcher: _Watcher) -> None:
        with self._lock:
            self._watchers.discard(watcher)
