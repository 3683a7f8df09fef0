"""The `pinetune` command as a process of its own: what only a process can show, signals and pipes above all."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fakes import history
from tests.fakes.jobs_service import FakeJobs, serving

COMMAND = [sys.executable, "-m", "pinetune.cli.main"]
SOON_SECONDS = 30.0


@pytest.fixture
def jobs() -> FakeJobs:
    fake = FakeJobs()
    fake.add(history.reinforcement("ftjob-now", step_count=4, ended=False))
    return fake


@pytest.fixture
def server(jobs: FakeJobs) -> Iterator[str]:
    with serving(jobs) as address:
        yield address


def test_ctrl_c_on_a_watch_leaves_the_job_running_and_says_how_to_come_back(jobs: FakeJobs, server: str) -> None:
    watch = _start("jobs", "watch", "ftjob-now", "--server", server)
    assert watch.stdout is not None
    # Not a line for each message: a log gets a few of the warm-up's steps only.
    assert any("training 4/4" in line for line in iter(watch.stdout.readline, ""))
    watch.send_signal(signal.SIGINT)
    _, err = watch.communicate(timeout=SOON_SECONDS)
    assert watch.returncode == 0
    assert f"the job goes on; come back with `pinetune jobs watch ftjob-now --server {server}`" in err
    assert "Traceback" not in err
    assert "CancelJob" not in jobs.calls


def test_ctrl_c_anywhere_else_exits_with_130(jobs: FakeJobs, server: str, tmp_path: Path) -> None:
    order = tmp_path / "eval.yaml"
    order.write_text("name: base\nmodel: nano\ndataset_id: file-1\ngrader: {type: number}\n")
    waiting = _start("evals", "create", "-f", str(order), "--wait", "--server", server)
    _until(lambda: bool(jobs.evaluation_orders))
    time.sleep(0.3)  # into the wait for the result
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=SOON_SECONDS)
    assert waiting.returncode == 130
    assert "Traceback" not in err


def test_a_reader_that_has_read_enough_gets_no_traceback(jobs: FakeJobs, server: str) -> None:
    jobs.add(history.reinforcement("ftjob-rl", step_count=60))
    listing = _start("rollouts", "list", "ftjob-rl", "--limit", "1000", "--json", "--server", server)
    assert listing.stdout is not None
    assert listing.stderr is not None
    listing.stdout.readline()
    listing.stdout.close()
    with listing.stderr as stream:
        assert stream.read() == ""
    assert listing.wait(SOON_SECONDS) == 1


def test_what_the_command_asks_works_from_any_folder(server: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "jobs", "list", "--server", server, "--json"],
        cwd=tmp_path,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=SOON_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [job["job_id"] for job in json.loads(done.stdout)["jobs"]] == ["ftjob-now"]


def _start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PINETUNE_")}
    services = Path(__file__).parents[2] / "services"
    return {**kept, "PYTHONPATH": os.pathsep.join([str(services), *filter(None, [os.environ.get("PYTHONPATH")])])}


def _until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
