"""`pinetune jobs report` against the gateway's own pages."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.fakes import history
from tests.fakes.jobs_service import FakeJobs, serving

from pinetune.cli.main import main
from pinetune.client.jobs import JobsClient
from pinetune.gateway.http_server import HttpServer
from pinetune.gateway.pages import make_app
from pinetune.gateway.reading import Reader


@pytest.fixture
def gateway() -> Iterator[str]:
    jobs = FakeJobs()
    jobs.add(history.reinforcement("ftjob-rl", step_count=10))
    jobs.add(history.supervised("ftjob-sft"))
    with serving(jobs) as address, grpc.insecure_channel(address) as channel:
        server = HttpServer(make_app(Reader(JobsClient(channel))), "127.0.0.1", 0, grace_seconds=5.0)
        server.start()
        yield f"http://{server.address}"
        server.stop()


def test_a_report_of_two_jobs_is_written_whole(
    gateway: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "report.html"
    assert _report(gateway, target, "ftjob-rl", "ftjob-sft") == 0
    page = target.read_text()
    assert "sums (ftjob-rl)" in page
    assert "sums (ftjob-sft)" in page
    assert page.endswith("</html>")
    assert capsys.readouterr().out == f"{target}\n"
    assert list(tmp_path.iterdir()) == [target]


def test_a_report_of_an_unknown_job_writes_no_file(
    gateway: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _report(gateway, tmp_path / "report.html", "ftjob-9") == 2
    assert capsys.readouterr().err == "error: there is no job 'ftjob-9'\n"
    assert list(tmp_path.iterdir()) == []


def _report(gateway: str, target: Path, *job_ids: str) -> int:
    with pytest.raises(SystemExit) as raised:
        main(["jobs", "report", *job_ids, "-o", str(target), "--http", gateway])
    return int(raised.value.code or 0)
