"""What is sent to the API server, as one that a test listens with sees it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from kubernetes import client

from pinetune.jobs.launcher.kubernetes_cluster import Cluster


class ApiServer(HTTPServer):
    """Keeps what it was sent and answers with a scale."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sent: list[tuple[str, str, str, object]] = []
        """Method, path, content type and body."""


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def do_PATCH(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.sent.append((self.command, self.path, self.headers["Content-Type"], body))
        answer = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {}, "spec": {"replicas": 2}}
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_stateful_set_is_scaled_by_its_scale_alone(server: ApiServer) -> None:
    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{server.server_port}"
    Cluster(client.ApiClient(configuration), "lab").scale("ftjob-1-2-generation", 2)
    assert server.sent == [
        (
            "PATCH",
            "/apis/apps/v1/namespaces/lab/statefulsets/ftjob-1-2-generation/scale",
            "application/json-patch+json",
            [{"op": "replace", "path": "/spec/replicas", "value": 2}],
        )
    ]
