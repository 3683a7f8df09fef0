"""The HTTP port that Prometheus scrapes: /metrics and nothing else."""

import threading
from socket import AF_INET6
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

# prometheus_client's own server looks for a stop every 0.5 s, which every stop of every pod would wait for.
POLL_SECONDS = 0.05


class _SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: a scrape every few seconds is no news."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ServerV6(_Server):
    address_family = AF_INET6


class ScrapePort:
    """Serves the metrics of a registry until closed."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        """Open the port, 0 for any free one; OSError where it is taken."""
        kind = _ServerV6 if ":" in host else _Server
        self._server = make_server(host, port, make_wsgi_app(registry), kind, handler_class=_SilentHandler)
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
