"""The gateway's process: a pod whose service is HTTP. `python -m pinetune.gateway`."""

import sys
from collections.abc import Sequence

from pinetune.client.jobs import JobsClient
from pinetune.gateway.config import GatewaySettings
from pinetune.gateway.http_server import HttpServer
from pinetune.gateway.pages import make_app
from pinetune.gateway.reading import Reader
from pinetune.pod.channel import connect
from pinetune.pod.config import load
from pinetune.pod.server import Pod, RegisteredService, run
from pinetune.pod.settings import PodSettings


def build(pod: Pod, settings: GatewaySettings) -> Sequence[RegisteredService]:
    """Open the HTTP port and leave its start and stop to the pod; there is no gRPC service but health."""
    channel = connect(settings.jobs_address)
    jobs = JobsClient(channel, patience_seconds=settings.jobs_patience_seconds)
    app = make_app(Reader(jobs))
    http = HttpServer(app, pod.settings.host, settings.http_port, grace_seconds=pod.settings.grace_seconds)

    def start() -> None:
        http.start()
        if settings.http_address_file is not None:
            http.write_address(settings.http_address_file)

    pod.add_startup(start)
    pod.add_shutdown(channel.close)
    pod.add_shutdown(http.stop)
    return []


def main() -> int:
    """Run the gateway until asked to stop."""
    settings = load(GatewaySettings)
    return run("gateway", load(PodSettings), lambda pod: build(pod, settings))


if __name__ == "__main__":
    sys.exit(main())
