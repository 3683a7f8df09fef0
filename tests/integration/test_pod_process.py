"""A pod as a process: signals, the end of stdin, exit codes, the address file."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from tests.fakes.echo import method

from pinetune.pod.channel import connect

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT / 'services'}:{ROOT}"}
DEADLINE_SECONDS = 30.0


class Process:
    """A pod of `tests.fakes.echo` in a process of its own."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.echo", *arguments],
            env=ENVIRONMENT | variables,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []

    def line_with(self, text: str) -> str:
        """Read stderr up to a line with `text` and return it."""
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"the pod ended without {text!r}; it wrote: {''.join(self.lines)}")

    def address(self) -> str:
        """Return the address in the line that says "serving"."""
        found: str = json.loads(self.line_with('"serving"'))["grpc"]
        return found

    def begin_to_wait(self, channel: grpc.Channel, *, seconds: float) -> "grpc.Future[bytes]":
        """Make a call that takes so long, and return once the pod is at it: one that it has not begun it may refuse."""
        answer = method(channel, "Wait").future(str(seconds).encode(), timeout=60)
        self.line_with("a call waits")
        return answer

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and all that stderr said."""
        _, rest = self.popen.communicate(timeout=DEADLINE_SECONDS)
        return self.popen.returncode, "".join(self.lines) + rest


Spawn = Callable[..., Process]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """A function that starts a pod process; none of them outlives the test."""
    processes: list[Process] = []

    def start(*arguments: str, **variables: str) -> Process:
        processes.append(Process(*arguments, **variables))
        return processes[-1]

    yield start
    for process in processes:
        process.popen.kill()
        process.popen.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_call_in_flight_finishes_after_the_signal_and_the_pod_exits_with_0(spawn: Spawn, number: int) -> None:
    process = spawn()
    with connect(process.address()) as channel:
        answer = process.begin_to_wait(channel, seconds=0.5)
        process.popen.send_signal(number)
        assert answer.result() == b"waited"
    code, said = process.end()
    assert code == 0
    assert json.loads(next(line for line in said.splitlines() if '"stopping"' in line))["reason"] == (
        signal.Signals(number).name
    )
    assert "shut down" in said


def test_no_new_call_is_taken_after_the_signal(spawn: Spawn) -> None:
    process = spawn()
    with connect(process.address()) as channel:
        answer = process.begin_to_wait(channel, seconds=0.5)
        process.popen.send_signal(signal.SIGTERM)
        process.line_with('"stopping"')
        assert answer.result() == b"waited"
        with pytest.raises(grpc.RpcError) as caught:
            method(channel, "Echo")(b"x")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert process.end()[0] == 0


def test_a_call_that_outlives_the_grace_period_is_cut_off_and_does_not_hold_the_exit(spawn: Spawn) -> None:
    process = spawn(PINETUNE_POD_GRACE_SECONDS="0.1")
    with connect(process.address()) as channel:
        answer = process.begin_to_wait(channel, seconds=600.0)
        process.popen.send_signal(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as caught:
            answer.result()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    code, said = process.end()
    assert code == 0
    assert "outlived the grace period" in said
    assert "shut down" in said


def test_the_end_of_stdin_stops_the_pod_when_asked_to(spawn: Spawn) -> None:
    process = spawn(PINETUNE_POD_STOP_ON_STDIN_EOF="true")
    process.address()
    code, said = process.end()  # `communicate` closes stdin
    assert code == 0
    assert "stdin ended" in said


def test_a_child_dies_with_its_killed_parent() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time\n"
            "subprocess.Popen([sys.executable, '-m', 'tests.fakes.echo'], stdin=subprocess.PIPE)\n"
            "time.sleep(600)",
        ],
        env=ENVIRONMENT | {"PINETUNE_POD_STOP_ON_STDIN_EOF": "true"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert parent.stderr is not None
    assert '"serving"' in parent.stderr.readline()
    parent.kill()
    # The child holds the other end of this stderr, which ends only when the child has.
    _, said = parent.communicate(timeout=DEADLINE_SECONDS)
    assert "stdin ended" in said
    assert '"stopped"' in said


def test_a_signal_interrupts_a_slow_start(spawn: Spawn) -> None:
    process = spawn("slow")
    process.line_with("starting up")
    process.popen.send_signal(signal.SIGTERM)
    code, said = process.end()
    assert code == 0
    assert "stopping before the start was over" in said
    assert '"serving"' not in said
    assert "shut down" in said


@pytest.mark.parametrize("arguments", [(), ("slow",)], ids=["serving", "starting"])
def test_a_pod_that_cannot_go_on_stops_and_exits_with_1(spawn: Spawn, arguments: tuple[str, ...]) -> None:
    code, written = spawn("failing", *arguments).end()
    assert code == 1
    assert "cannot go on: its engine died" in written
    assert "shut down" in written


def test_the_end_of_stdin_interrupts_a_slow_start(spawn: Spawn) -> None:
    process = spawn("slow", PINETUNE_POD_STOP_ON_STDIN_EOF="true")
    process.line_with("starting up")
    code, said = process.end()
    assert code == 0
    assert "stdin ended" in said


def test_a_second_signal_ends_the_process_at_once(spawn: Spawn) -> None:
    process = spawn()
    with connect(process.address()) as channel:
        process.begin_to_wait(channel, seconds=600.0)
        process.popen.send_signal(signal.SIGTERM)
        process.line_with('"stopping"')
        process.popen.send_signal(signal.SIGTERM)
        assert process.end()[0] == -signal.SIGTERM


def test_the_address_file_names_the_ports_once_the_pod_serves(spawn: Spawn, tmp_path: Path) -> None:
    path = tmp_path / "address.json"
    path.write_text('{"grpc": "127.0.0.1:1", "metrics": "127.0.0.1:1", "pid": 1}')
    process = spawn(PINETUNE_POD_ADDRESS_FILE=str(path))
    serving = json.loads(process.line_with('"serving"'))
    addresses = json.loads(path.read_text())
    assert addresses == {"grpc": serving["grpc"], "metrics": serving["metrics"], "pid": process.popen.pid}
    assert [entry.name for entry in tmp_path.iterdir()] == ["address.json"]
    with connect(addresses["grpc"]) as channel:
        assert method(channel, "Echo")(b"x") == b"x"


def test_a_former_pods_addresses_are_gone_before_the_new_pod_serves(spawn: Spawn, tmp_path: Path) -> None:
    path = tmp_path / "address.json"
    path.write_text("{}")
    spawn("slow", PINETUNE_POD_ADDRESS_FILE=str(path)).line_with("starting up")
    assert not path.exists()


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PINETUNE_POD_THREDS", "4", "no setting of that name; did you mean PINETUNE_POD_THREADS?"),
        ("PINETUNE_POD_THREADS", "0", "Input should be greater than or equal to 1; given '0'."),
    ],
    ids=["unknown", "out of range"],
)
def test_a_wrong_setting_is_one_sentence_and_exit_code_2(
    spawn: Spawn, variable: str, value: str, sentence: str
) -> None:
    assert spawn(**{variable: value}).end() == (2, f"{variable}: {sentence}\n")


def test_a_taken_port_is_a_sentence_in_the_log_and_exit_code_2(spawn: Spawn) -> None:
    port = spawn().address().rsplit(":", 1)[1]
    code, said = spawn(PINETUNE_POD_GRPC_PORT=port).end()
    assert code == 2
    assert "PINETUNE_POD_GRPC_PORT: cannot listen on" in said
    assert "Traceback" not in said
