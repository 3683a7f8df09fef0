"""Processes of this machine: they start in order, die together, and never outlive the one that started them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from pinetune.jobs.launcher.base import Engine, Exit, Restart, RestartLimit, WorkOrder
from pinetune.jobs.launcher.local import LocalLauncher
from pinetune.pod.errors import Broken

# Stands in for every room: says what it was told, then waits until its stdin ends.
PATIENT = "import json, os, sys; print(json.dumps(dict(os.environ)), flush=True); sys.stdin.read()"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
# As a pod does: the first signal lets it end in order, a second one ends it at once.
ORDERLY = """
import os, signal, time
def on_signal(number, frame):
    signal.signal(number, signal.SIG_DFL)
    print("stopping", flush=True)
signal.signal(signal.SIGTERM, on_signal)
print("up", flush=True)
log = os.readlink("/proc/self/fd/1")
folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(log))))
while not os.path.exists(folder + "/go on"):
    time.sleep(0.02)
print("done", flush=True)
"""
ENGINE = Engine(name="transformers", device="cpu", dtype="float32", replicas=2, threads=1)
ORDER = WorkOrder("ftjob-1", 1, learns=True, model_uri="/models/base", makes_model=True, engine=ENGINE)
SCALING = replace(ORDER, engine=replace(ENGINE, replicas=1, max_replicas=3))
PATIENCE_SECONDS = 20.0
LIMIT = RestartLimit(2, 600.0)

Launch = Callable[..., LocalLauncher]
T = TypeVar("T")


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launch]:
    """A function that makes a launcher whose rooms run these scripts; all it started is killed with the test."""
    made: list[LocalLauncher] = []

    def make(*, grace_seconds: float = 0.2, **scripts: str) -> LocalLauncher:
        def command(room: str) -> Sequence[str]:
            return [sys.executable, "-c", scripts.get(room, PATIENT)]

        made.append(
            LocalLauncher(
                data_dir=tmp_path,
                jobs_address="127.0.0.1:1",
                grading_address="127.0.0.1:2",
                stop_grace_seconds=grace_seconds,
                restart_limit=LIMIT,
                command=command,
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


def pids(launcher: LocalLauncher) -> dict[str, int]:
    (group,) = launcher._groups.values()
    return {process.plan.name: process.popen.pid for process in group.processes}


def log_of(folder: Path, name: str, part: str) -> str:
    """Return a process's log once it has `part`."""
    path = folder / "jobs" / "ftjob-1" / "logs" / f"{name}-1.log"
    return wait_for(lambda: path.read_text() if path.exists() and part in path.read_text() else "")


def wait_for(look: Callable[[], T]) -> T:
    """Return what `look` gives once that is true."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def exit_of(launcher: LocalLauncher) -> Exit:
    (end,) = wait_for(launcher.poll)
    assert isinstance(end, Exit)
    return end


def restart_of(launcher: LocalLauncher) -> Restart:
    (restart,) = wait_for(launcher.poll)
    assert isinstance(restart, Restart)
    return restart


def scraped(folder: Path) -> list[str]:
    return [one["labels"]["process"] for one in json.loads((folder / "run" / "targets.json").read_text())]


def is_free(port: int) -> bool:
    """Return whether a process may begin to listen on the port."""
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def is_gone(pid: int) -> bool:
    """Return whether a process is gone; one that only its parent's look keeps counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_each_process_is_told_what_it_needs(launcher: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINETUNE_POD_ADDRESS_FILE", "/ours")
    monkeypatch.setenv("PINETUNE_POD_LOG_LEVEL", "DEBUG")
    started = launcher()
    started.launch(ORDER)
    assert list(pids(started)) == ["learning", "generation-0", "generation-1", "worker"]
    told = {name: json.loads(log_of(tmp_path, name, "}")) for name in pids(started)}
    assert all(environment["PINETUNE_POD_STOP_ON_STDIN_EOF"] == "true" for environment in told.values())
    assert all("PINETUNE_POD_ADDRESS_FILE" not in environment for environment in told.values())
    assert all(environment["PINETUNE_POD_LOG_LEVEL"] == "DEBUG" for environment in told.values())
    addresses = {name: f"127.0.0.1:{environment['PINETUNE_POD_GRPC_PORT']}" for name, environment in told.items()}
    assert len(set(addresses.values())) == 4
    worker = told["worker"]
    assert worker["PINETUNE_WORKER_LEARNING_ADDRESS"] == addresses["learning"]
    generation = f"{addresses['generation-0']},{addresses['generation-1']}"
    assert worker["PINETUNE_WORKER_GENERATION_ADDRESSES"] == generation
    assert (worker["PINETUNE_WORKER_WORK_ID"], worker["PINETUNE_WORKER_ATTEMPT"]) == ("ftjob-1", "1")
    assert told["generation-1"]["PINETUNE_GENERATION_MODEL"] == "/models/base"
    assert float(told["generation-1"]["PINETUNE_GENERATION_WAIT_FOR_MODEL_SECONDS"]) > 0


def test_an_evaluation_has_no_learner_and_waits_for_no_model(launcher: Launch, tmp_path: Path) -> None:
    started = launcher()
    started.launch(replace(ORDER, learns=False, makes_model=False))
    assert list(pids(started)) == ["generation-0", "generation-1", "worker"]
    assert json.loads(log_of(tmp_path, "worker", "}"))["PINETUNE_WORKER_LEARNING_ADDRESS"] == ""
    assert "PINETUNE_GENERATION_WAIT_FOR_MODEL_SECONDS" not in json.loads(log_of(tmp_path, "generation-0", "}"))


def test_prometheus_is_told_what_runs(launcher: Launch, tmp_path: Path) -> None:
    started = launcher()
    targets = tmp_path / "run" / "targets.json"
    assert json.loads(targets.read_text()) == []
    started.launch(ORDER)
    told = json.loads(targets.read_text())
    assert [one["labels"]["room"] for one in told] == ["learning", "generation", "generation", "worker"]
    assert {one["labels"]["job_id"] for one in told} == {"ftjob-1"}
    started.stop("ftjob-1", grace_seconds=5)
    exit_of(started)
    assert json.loads(targets.read_text()) == []


def test_when_the_worker_is_done_its_services_are_stopped(launcher: Launch) -> None:
    started = launcher(worker="print('all is done')")
    started.launch(ORDER)
    children = pids(started)
    end = exit_of(started)
    assert (end.work_id, end.attempt, end.process, end.code) == ("ftjob-1", 1, "worker", 0)
    assert list(end.log_lines) == ["all is done"]
    assert all(is_gone(pid) for pid in children.values())
    assert started.running() == frozenset()


def test_a_replica_that_dies_is_started_again_alone_with_its_ports(launcher: Launch, tmp_path: Path) -> None:
    started = launcher()
    started.launch(ORDER)
    before, targets = pids(started), (tmp_path / "run" / "targets.json").read_text()
    log_of(tmp_path, "generation-1", "}")
    os.kill(before["generation-1"], signal.SIGKILL)
    restart = restart_of(started)
    assert (restart.work_id, restart.attempt, restart.process) == ("ftjob-1", 1, "generation-1")
    assert (restart.code, restart.count, restart.limit) == (-signal.SIGKILL, 1, LIMIT)
    after = pids(started)
    assert {name for name in before if before[name] != after[name]} == {"generation-1"}
    assert not any(is_gone(pid) for pid in after.values())
    first, second = log_of(tmp_path, "generation-1", "}\n{").splitlines()
    assert json.loads(first) == json.loads(second), "it is told the same, its ports among it"
    assert (tmp_path / "run" / "targets.json").read_text() == targets


def test_a_replica_that_dies_too_often_takes_the_others_along(launcher: Launch) -> None:
    started = launcher()
    started.launch(ORDER)
    for count in (1, 2):
        os.kill(pids(started)["generation-0"], signal.SIGKILL)
        assert restart_of(started).count == count
    os.kill(pids(started)["generation-1"], signal.SIGKILL)
    assert restart_of(started).count == 1, "each replica has restarts of its own"
    children = pids(started)
    os.kill(children["generation-0"], signal.SIGKILL)
    assert exit_of(started).process == "generation-0"
    assert all(is_gone(pid) for pid in children.values())


def test_a_replica_that_refuses_its_settings_is_not_started_again(launcher: Launch) -> None:
    started = launcher(generation="print('cannot start: no such model'); raise SystemExit(2)")
    started.launch(ORDER)
    assert exit_of(started).refusal == "no such model"


def test_replicas_that_are_stopped_stay_away(launcher: Launch) -> None:
    started = launcher()
    started.launch(ORDER)
    started.stop("ftjob-1", grace_seconds=5)
    assert exit_of(started).work_id == "ftjob-1"


def test_further_samplers_start_at_the_addresses_that_the_worker_has_from_the_start(
    launcher: Launch, tmp_path: Path
) -> None:
    started = launcher()
    started.launch(SCALING)
    assert list(pids(started)) == ["learning", "generation-0", "worker"]
    started.scale("ftjob-1", 3)
    assert list(pids(started)) == ["learning", "generation-0", "generation-1", "generation-2", "worker"]
    names = ("generation-0", "generation-1", "generation-2")
    told = [json.loads(log_of(tmp_path, name, "}")) for name in names]
    addresses = [f"127.0.0.1:{environment['PINETUNE_POD_GRPC_PORT']}" for environment in told]
    worker = json.loads(log_of(tmp_path, "worker", "}"))
    assert worker["PINETUNE_WORKER_GENERATION_ADDRESSES"].split(",") == addresses
    assert len(set(addresses)) == 3
    assert scraped(tmp_path) == ["learning", *names, "worker"]


def test_the_same_wish_again_changes_nothing(launcher: Launch) -> None:
    started = launcher()
    started.launch(SCALING)
    started.scale("ftjob-1", 2)
    before = pids(started)
    started.scale("ftjob-1", 2)
    assert pids(started) == before
    started.scale("ftjob-other", 2)
    assert started.poll() == []


def test_samplers_that_are_too_many_end_by_the_highest_number_and_are_no_death(
    launcher: Launch, tmp_path: Path
) -> None:
    started = launcher()
    started.launch(SCALING)
    started.scale("ftjob-1", 3)
    before = pids(started)
    started.scale("ftjob-1", 1)
    assert list(pids(started)) == ["learning", "generation-0", "worker"]
    assert scraped(tmp_path) == ["learning", "generation-0", "worker"]
    wait_for(lambda: is_gone(before["generation-1"]) and is_gone(before["generation-2"]))
    assert [started.poll() for _ in range(3)] == [[], [], []]
    assert not any(is_gone(pid) for pid in pids(started).values())


def test_one_that_still_ends_is_started_again_once_its_ports_are_free(launcher: Launch, tmp_path: Path) -> None:
    started = launcher(generation=ORDERLY, grace_seconds=PATIENCE_SECONDS)
    started.launch(SCALING)
    started.scale("ftjob-1", 2)
    first = pids(started)["generation-1"]
    log_of(tmp_path, "generation-1", "up")
    started.scale("ftjob-1", 1)
    log_of(tmp_path, "generation-1", "stopping")
    for _ in range(3):
        started.poll()
        started.scale("ftjob-1", 2)
    assert "generation-1" not in pids(started), "it still ends, by its one signal"
    (tmp_path / "go on").touch()
    wait_for(lambda: is_gone(first))
    started.poll()
    started.scale("ftjob-1", 2)
    assert pids(started)["generation-1"] != first


def test_one_that_does_not_end_is_killed_after_the_grace(launcher: Launch, tmp_path: Path) -> None:
    started = launcher(generation=STUBBORN)
    started.launch(SCALING)
    started.scale("ftjob-1", 2)
    stubborn = pids(started)["generation-1"]
    log_of(tmp_path, "generation-1", "up")
    started.scale("ftjob-1", 1)

    def killed() -> bool:
        assert started.poll() == []
        return is_gone(stubborn)

    wait_for(killed)


def test_an_attempt_has_ended_once_those_that_were_too_many_are_gone_too(launcher: Launch, tmp_path: Path) -> None:
    started = launcher(generation=STUBBORN)
    started.launch(SCALING)
    started.scale("ftjob-1", 2)
    stubborn = pids(started)["generation-1"]
    for name in ("generation-0", "generation-1"):
        log_of(tmp_path, name, "up")
    started.scale("ftjob-1", 1)
    started.stop("ftjob-1", grace_seconds=0.1)
    started.scale("ftjob-1", 2)
    assert exit_of(started).work_id == "ftjob-1"
    assert is_gone(stubborn)


def test_a_further_sampler_that_dies_is_started_again_alone(launcher: Launch) -> None:
    started = launcher()
    started.launch(SCALING)
    started.scale("ftjob-1", 2)
    os.kill(pids(started)["generation-1"], signal.SIGKILL)
    assert restart_of(started).process == "generation-1"


@pytest.mark.parametrize(
    ("sampler", "why"),
    [
        ("print('cannot start: no GPU memory'); raise SystemExit(2)", "it refuses its settings: no GPU memory"),
        ("raise SystemExit('broken')", "it died more than 2 times within 600 s, last with code 1: broken"),
    ],
    ids=["one that refuses its settings", "one that dies again and again"],
)
def test_a_further_sampler_that_cannot_run_is_given_up_and_told_and_ends_nothing(
    launcher: Launch, tmp_path: Path, sampler: str, why: str
) -> None:
    # The second one to start fails, and each of its successors.
    script = f"import os; first = os.path.exists('{tmp_path}/first')\nif first:\n    {sampler}\n"
    started = launcher(generation=f"{script}open('{tmp_path}/first', 'w').close()\n{PATIENT}")
    started.launch(SCALING)
    wait_for((tmp_path / "first").exists)
    started.scale("ftjob-1", 2)

    def told() -> str:
        assert not [one for one in started.poll() if isinstance(one, Exit)]
        return started.pending().get("ftjob-1", "")

    assert wait_for(told) == f"generation-1 is given up for this attempt, and the job goes on without it: {why}"
    started.scale("ftjob-1", 2)
    assert list(pids(started)) == ["learning", "generation-0", "worker"]
    assert scraped(tmp_path) == ["learning", "generation-0", "worker"]
    assert told(), "said until it is not wanted any more"
    (group,) = started._groups.values()
    assert not any(is_free(port) for port in group._samplers[1].ports), "nobody else is to answer there"
    started.scale("ftjob-1", 1)
    assert not told()


def test_one_that_cannot_be_started_is_told_until_it_can_and_ends_nothing(tmp_path: Path) -> None:
    program, away = tmp_path / "python", tmp_path / "away"
    program.symlink_to(sys.executable)
    started = LocalLauncher(
        data_dir=tmp_path,
        jobs_address="",
        grading_address="",
        stop_grace_seconds=0.2,
        restart_limit=LIMIT,
        command=lambda room: [str(program), "-c", PATIENT],
    )
    try:
        started.launch(SCALING)
        program.rename(away)
        started.scale("ftjob-1", 2)
        assert started.poll() == []
        (said,) = started.pending().values()
        assert said.startswith("generation cannot have 2 replicas: ")
        assert str(program) in said
        (group,) = started._groups.values()
        assert not any(is_free(port) for plan in group._samplers[1:] for port in plan.ports), "still kept for it"
        away.rename(program)
        started.scale("ftjob-1", 2)
        assert started.pending() == {}
        assert scraped(tmp_path) == ["learning", "generation-0", "generation-1", "worker"]
    finally:
        started.close()


def test_nobody_gets_the_ports_of_samplers_that_do_not_run(launcher: Launch, tmp_path: Path) -> None:
    started = launcher()
    started.launch(SCALING)
    worker = json.loads(log_of(tmp_path, "worker", "}"))
    ports = [int(one.rsplit(":", 1)[1]) for one in worker["PINETUNE_WORKER_GENERATION_ADDRESSES"].split(",")]
    assert [is_free(port) for port in ports] == [True, False, False], "the first one's script listens nowhere"
    started.scale("ftjob-1", 2)
    assert [is_free(port) for port in ports] == [True, True, False]
    started.scale("ftjob-1", 1)

    def kept_again() -> bool:
        started.poll()
        return [is_free(port) for port in ports] == [True, False, False]

    wait_for(kept_again)
    started.stop("ftjob-1", grace_seconds=5)
    exit_of(started)
    assert [is_free(port) for port in ports] == [True, True, True]


@pytest.mark.parametrize("victim", ["learning", "worker"])
def test_a_process_that_is_killed_takes_the_others_along(launcher: Launch, victim: str) -> None:
    started = launcher()
    started.launch(ORDER)
    children = pids(started)
    os.kill(children[victim], signal.SIGKILL)
    end = exit_of(started)
    assert (end.process, end.code) == (victim, -signal.SIGKILL)
    assert all(is_gone(pid) for pid in children.values())


def test_what_does_not_stop_is_killed_after_the_grace(launcher: Launch, tmp_path: Path) -> None:
    started = launcher(worker=STUBBORN, learning=STUBBORN)
    started.launch(ORDER)
    for name in ("worker", "learning"):
        log_of(tmp_path, name, "up")
    started.stop("ftjob-1", grace_seconds=0.1)
    assert exit_of(started).work_id == "ftjob-1"


def test_what_is_stopping_is_not_cut_off_by_a_second_order_to_stop(launcher: Launch, tmp_path: Path) -> None:
    started = launcher(learning=ORDERLY)
    started.launch(ORDER)
    log_of(tmp_path, "learning", "up")
    started.stop("ftjob-1", grace_seconds=PATIENCE_SECONDS)
    log_of(tmp_path, "learning", "stopping")
    started.stop("ftjob-1", grace_seconds=PATIENCE_SECONDS)
    (tmp_path / "go on").touch()
    exit_of(started)
    assert "done" in log_of(tmp_path, "learning", "stopping")


def test_a_program_that_is_not_there_leaves_no_process_behind(tmp_path: Path) -> None:
    def command(room: str) -> Sequence[str]:
        return [sys.executable, "-c", PATIENT] if room == "learning" else ["/no/such/program"]

    launcher = LocalLauncher(
        data_dir=tmp_path,
        jobs_address="",
        grading_address="",
        stop_grace_seconds=0.2,
        restart_limit=LIMIT,
        command=command,
    )
    with pytest.raises(Broken, match="/no/such/program") as caught:
        launcher.launch(ORDER)
    assert caught.value.reason == "LAUNCH_FAILED"
    assert launcher.running() == frozenset()


def test_children_die_with_a_launcher_that_is_killed(tmp_path: Path) -> None:
    script = f"""
import sys, time
from pathlib import Path
from pinetune.jobs.launcher.base import Engine, RestartLimit, WorkOrder
from pinetune.jobs.launcher.local import LocalLauncher
launcher = LocalLauncher(data_dir=Path({str(tmp_path)!r}), jobs_address="", grading_address="", stop_grace_seconds=1,
                         restart_limit=RestartLimit(0, 1), command=lambda room: [sys.executable, "-c", {PATIENT!r}])
engine = Engine("", "", "", 1, None)
launcher.launch(WorkOrder("ftjob-1", 1, learns=True, model_uri="", makes_model=False, engine=engine))
(group,) = launcher._groups.values()
print(*(process.popen.pid for process in group.processes), flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(children) == 3
        log_of(tmp_path, "worker", "}")
        parent.kill()
    wait_for(lambda: all(is_gone(pid) for pid in children))
