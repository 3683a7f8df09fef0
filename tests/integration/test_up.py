"""`pinetune up` as a person starts it: every service as a process, one line when all is well, a clean end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "pinetune.cli.main"]
READY = re.compile(r"ready http://(127\.0\.0\.1:\d+) grpc://(127\.0\.0\.1:\d+)\n")
SOON_SECONDS = 60.0
SERVICES = ("grading", "jobs", "gateway")


@dataclass(frozen=True)
class Up:
    """A running `pinetune up`."""

    process: "subprocess.Popen[str]"
    data_dir: Path
    http: str
    grpc: str

    def pid_of(self, service: str) -> int:
        return int(json.loads((self.data_dir / "run" / f"{service}.json").read_text())["pid"])

    def ask(self, *arguments: str) -> str:
        command = [*COMMAND, *arguments, "--server", self.grpc]
        return subprocess.run(command, env=_environment(), capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    data_dir = tmp_path_factory.mktemp("up")
    process = _start(data_dir)
    assert process.stdout is not None
    ready = READY.fullmatch(process.stdout.readline())
    assert ready is not None, process.communicate()[1]
    running = Up(process, data_dir, ready[1], ready[2])
    yield running
    if process.poll() is None:
        process.terminate()
        process.communicate(timeout=SOON_SECONDS)


def test_the_pages_and_the_jobs_service_answer_at_the_ready_lines_addresses(up: Up) -> None:
    with urllib.request.urlopen(f"http://{up.http}/healthz", timeout=SOON_SECONDS) as answer:
        assert answer.status == 200
    assert json.loads(up.ask("jobs", "list", "--json")) == {"jobs": [], "next_page_token": ""}


def test_a_grader_is_tried_at_the_same_address(up: Up, tmp_path: Path) -> None:
    grader = tmp_path / "grader.yaml"
    grader.write_text('type: number\nname: sum\nreference: "{{item.answer}}"\n')
    item = ["--item", '{"answer": "1200"}']
    graded = json.loads(up.ask("graders", "run", str(grader), "--sample", "The answer is 1,200.", *item, "--json"))
    assert (graded["reward"], graded["metadata"]["name"]) == (1.0, "sum")


def test_the_gateway_is_scraped_like_any_pod(up: Up) -> None:
    metrics = json.loads((up.data_dir / "run" / "gateway.json").read_text())["metrics"]
    with urllib.request.urlopen(f"http://{up.http}/", timeout=SOON_SECONDS) as page:
        assert b"No job yet" in page.read()
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=SOON_SECONDS) as answer:
        text = answer.read().decode()
    assert 'pinetune_gateway_requests_total{code="200"}' in text
    assert "pinetune_pod_serving 1.0" in text


def test_prometheus_is_told_where_every_service_is_scraped(up: Up) -> None:
    told = json.loads((up.data_dir / "run" / "targets-services.json").read_text())
    assert {one["labels"]["room"]: one["targets"] for one in told} == {
        service: [json.loads((up.data_dir / "run" / f"{service}.json").read_text())["metrics"]] for service in SERVICES
    }


def test_a_second_up_on_the_same_folder_is_refused(up: Up) -> None:
    second = _start(up.data_dir)
    out, err = second.communicate(timeout=SOON_SECONDS)
    assert (second.returncode, out) == (2, "")
    assert f"in use by another `pinetune up`, process {up.process.pid}" in err
    assert up.process.poll() is None


def test_a_service_that_dies_is_back_at_its_address(up: Up) -> None:
    killed = up.pid_of("jobs")
    os.kill(killed, signal.SIGKILL)
    _until(lambda: (up.data_dir / "run" / "jobs.json").exists() and up.pid_of("jobs") != killed)
    assert json.loads((up.data_dir / "run" / "jobs.json").read_text())["grpc"] == up.grpc
    assert json.loads(up.ask("datasets", "list", "--json"))["datasets"] == []


def test_sigterm_stops_every_service_and_exits_with_0(up: Up) -> None:
    pids = [up.pid_of(service) for service in SERVICES]
    up.process.terminate()
    out, err = up.process.communicate(timeout=SOON_SECONDS)
    assert (up.process.returncode, out) == (0, "")
    assert err.splitlines() == [
        f"jobs ended with exit code -9; starting it again, its log is {up.data_dir / 'logs' / 'jobs.log'}"
    ]
    assert not [pid for pid in pids if _lives(pid)]
    assert json.loads((up.data_dir / "run" / "targets-services.json").read_text()) == []


def test_a_killed_up_takes_its_services_with_it(tmp_path: Path) -> None:
    process = _start(tmp_path)
    _until(lambda: (tmp_path / "run" / "grading.json").exists())
    pid = int(json.loads((tmp_path / "run" / "grading.json").read_text())["pid"])
    process.kill()
    process.communicate(timeout=SOON_SECONDS)
    _until(lambda: not _lives(pid))


def test_a_service_that_cannot_start_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    process = _start(tmp_path, PINETUNE_GRADING_THREADS="-1")
    out, err = process.communicate(timeout=SOON_SECONDS)
    assert (process.returncode, out) == (1, "")
    assert "grading ended with exit code 2" in err
    assert "PINETUNE_GRADING_THREADS" in err
    assert "Traceback" not in err
    assert err.count("error: ") == 1, "the log's lines are no faults of their own"


def test_a_service_that_waits_for_its_database_is_told_of(tmp_path: Path) -> None:
    database = f"postgresql+psycopg://nobody@/none?host={tmp_path}"
    process = _start(tmp_path, PINETUNE_JOBS_DATABASE_URL=database)
    assert process.stderr is not None
    try:
        said = next(line for line in process.stderr if line.startswith("jobs"))
        assert said == f"jobs is not ready yet; its log is {tmp_path / 'logs' / 'jobs.log'} and says\n"
        assert "cannot be opened yet" in process.stderr.readline()
    finally:
        process.terminate()
        process.communicate(timeout=SOON_SECONDS)


def _start(data_dir: Path, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, "up", "--data-dir", str(data_dir), "--http-port", "0", "--grpc-port", "0"],
        env={**_environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PINETUNE_")}


def _lives(pid: int) -> bool:
    try:
        # A zombie, dead but not yet waited for by the init of a container, has no command line.
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
