"""The HTTP port of a pod: /metrics for Prometheus, /health for probes that cannot speak gRPC over TLS."""

import threading
from collections.abc import Callable, Iterable
from socket import AF_INET6
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# prometheus_client's own server looks for a stop every 0.5 s, which every stop of every pod would wait for.
POLL_SECONDS = 0.05
HEALTH_PATH = "/health"


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: a scrape every few seconds is no news."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ServerV6(_Server):
    address_family = AF_INET6


class ScrapePort:
    """Serves the metrics of a registry, and whether the pod serves, until closed."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, serving: Callable[[], bool]) -> None:
        """Open the port, 0 for any free one; OSError where it is taken."""
        kind = _ServerV6 if ":" in host else _Server
        self._server = make_server(host, port, _app(registry, serving), kind, handler_class=_SilentHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that was opened."""
        return self._server.server_port

    def close(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _app(registry: CollectorRegistry, serving: Callable[[], bool]) -> "WSGIApplication":
    metrics = make_wsgi_app(registry)

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ.get("PATH_INFO") != HEALTH_PATH:
            page: Iterable[bytes] = metrics(environ, start_response)
            return page
        status, text = ("200 OK", b"SERVING\n") if serving() else ("503 Service Unavailable", b"NOT_SERVING\n")
        start_response(status, [("Content-Type", "text/plain")])
        return [text]

    return app
