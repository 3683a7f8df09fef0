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
        self.refusals: dict[str, int] = {}
        """The status that a method is answered with, where it is refused."""


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def do_GET(self) -> None:
        self._answer({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ftjob-1-2", "uid": "uid-1"}})

    def do_POST(self) -> None:
        self._answer(self._body())

    def do_PATCH(self) -> None:
        self.server.sent.append((self.command, self.path, self.headers["Content-Type"], self._body()))
        self._answer({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {}, "spec": {"replicas": 2}})

    def _body(self) -> object:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, answer: object) -> None:
        self.send_response(self.server.refusals.get(self.command, 200))
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


@pytest.fixture
def cluster(server: ApiServer) -> Cluster:
    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{server.server_port}"
    return Cluster(client.ApiClient(configuration), "lab")


def test_a_stateful_set_is_scaled_by_its_scale_alone(server: ApiServer, cluster: Cluster) -> None:
    cluster.scale("ftjob-1-2-generation", 2)
    assert server.sent == [
        (
            "PATCH",
            "/apis/apps/v1/namespaces/lab/statefulsets/ftjob-1-2-generation/scale",
            "application/json-patch+json",
            [{"op": "replace", "path": "/spec/replicas", "value": 2}],
        )
    ]


OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ftjob-1-2"}}


def test_an_object_that_is_there_already_is_found(server: ApiServer, cluster: Cluster) -> None:
    server.refusals = {"POST": 409}
    assert cluster.create(OWNER)["metadata"]["uid"] == "uid-1"


def test_a_conflict_over_something_else_stays_a_conflict(server: ApiServer, cluster: Cluster) -> None:
    server.refusals = {"POST": 409, "GET": 404}
    with pytest.raises(client.ApiException) as raised:
        cluster.create(OWNER)
    assert raised.value.status == 409
