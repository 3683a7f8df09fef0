"""The gateway as a pod: what its users see while pods stop and start."""

import json
import socket
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fakes import history
from tests.fakes.jobs_service import FakeJobs, serving

from pinetune.gateway.__main__ import build
from pinetune.gateway.config import GatewaySettings
from pinetune.pod.server import start
from pinetune.pod.settings import PodSettings

OUTAGE_SECONDS = 6.0
"""How long the jobs service stays away: a roll-out of it takes as long, and more."""


def test_a_page_that_waits_for_the_jobs_service_is_shown_by_a_gateway_that_stops_meanwhile(tmp_path: Path) -> None:
    address_file = tmp_path / "http.json"
    with ThreadPoolExecutor() as threads:
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
            settings = GatewaySettings(http_port=0, http_address_file=address_file, jobs_address=f"127.0.0.1:{port}")
            pod = start("gateway", PodSettings(grace_seconds=60.0), lambda pod: build(pod, settings))
            page = threads.submit(_page, json.loads(address_file.read_text())["http"])
            nobody.accept()[0].close()
        closed = threads.submit(pod.close)
        time.sleep(OUTAGE_SECONDS)
        jobs = FakeJobs()
        jobs.add(history.reinforcement("ftjob-rl", step_count=1))
        with serving(jobs, port):
            assert "ftjob-rl" in page.result(timeout=60)
            assert closed.result(timeout=60)


def _page(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/", timeout=60) as reply:
        text: str = reply.read().decode()
    return text
