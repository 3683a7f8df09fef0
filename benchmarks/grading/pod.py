"""A grading pod as users have it: a process of its own, asked over gRPC on loopback.

Requests are encoded anew for each call (`client.grade_requests`), as a client does. Printed are grades a second
and what each costs in the server: user and system CPU of the whole process, transport included.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc

from benchmarks.grading.comparison import encoder
from benchmarks.grading.texts import solutions
from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.grading import graders
from pinetune.pod.channel import connect

SAMPLES = 4096
"""Answers of a call."""
SECONDS = 2.0
"""Time of a round."""
GRADER = {"type": "number", "reference": "{{item.answer}}", "location": {"marker": "####", "marker_required": True}}
METHOD = "/pinetune.api.grading.v1.GradingService/Grade"
GRADES_BAR = 4_000_000
"""Grades a second."""
BARE_SERVER = """
import sys
from concurrent.futures import ThreadPoolExecutor
import grpc
service, method = sys.argv[1].strip("/").split("/")
reply = b"x" * int(sys.argv[2])
handler = grpc.unary_unary_rpc_method_handler(lambda request, context: reply)
server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
sys.stdin.read()
"""
NANOSECONDS_BAR = 160
"""CPU of the server for a grade."""


def main(rounds: int) -> None:
    """Measure a pod with one call in flight and with two, beside a bare server that grades nothing."""
    request = encoder(GRADER, solutions(SAMPLES))
    with running_pod() as (pod, pod_channel), running_bare(reply_bytes=len_of_reply(request())) as (bare, bare_channel):
        grade: grpc.UnaryUnaryMultiCallable[bytes, bytes] = pod_channel.unary_unary(METHOD)
        echo: grpc.UnaryUnaryMultiCallable[bytes, bytes] = bare_channel.unary_unary(METHOD)
        reply = wire.GradeResponse.FromString(grade(request()))
        assert len(reply.grades) == SAMPLES, f"{SAMPLES} texts were sent and {len(reply.grades)} grades came back"
        for in_flight in (1, 2):
            ours, floor = [], []
            for _ in range(rounds):
                ours.append(measure(pod.pid, lambda: grade(request()), in_flight))
                floor.append(measure(bare.pid, lambda: echo(request()), in_flight))
            say(f"grpc, {in_flight} in flight", ours, f" (bar {GRADES_BAR / 1e6:g} million, {NANOSECONDS_BAR} ns)")
            say("  a bare grpcio server", floor, ", which grades nothing")


def say(name: str, measured: Sequence[tuple[float, float]], remark: str) -> None:
    """Print the best rates of several rounds."""
    grades, nanoseconds = max(rate for rate, _ in measured), min(cost for _, cost in measured)
    print(f"{name:24} {grades / 1e6:8.2f} million/s | {nanoseconds:6.0f} ns of server CPU each{remark}", flush=True)


def len_of_reply(request: bytes) -> int:
    """Return how long the pod's reply to a request is."""
    return len(graders.grade(request).reply)


def measure(server: int, call: Callable[[], object], in_flight: int) -> tuple[float, float]:
    """Return grades a second and the server's CPU nanoseconds for each."""
    end = time.perf_counter() + SECONDS

    def calls() -> int:
        count = 0
        while time.perf_counter() < end:
            call()
            count += 1
        return count

    begin, cpu = time.perf_counter(), cpu_seconds(server)
    with ThreadPoolExecutor(in_flight) as threads:
        count = SAMPLES * sum(future.result() for future in [threads.submit(calls) for _ in range(in_flight)])
    return count / (time.perf_counter() - begin), (cpu_seconds(server) - cpu) / count * 1e9


@contextmanager
def running_bare(*, reply_bytes: int) -> Iterator[tuple["subprocess.Popen[str]", grpc.Channel]]:
    """Start a gRPC server that answers with as many bytes as the pod does, with a channel to it."""
    server = subprocess.Popen(
        [sys.executable, "-c", BARE_SERVER, METHOD, str(reply_bytes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        try:
            assert server.stdout is not None
            with connect(f"127.0.0.1:{int(server.stdout.readline())}") as channel:
                yield server, channel
        finally:
            server.terminate()


def cpu_seconds(process: int) -> float:
    """Return the user and system time of a process, all its threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running_pod() -> Iterator[tuple["subprocess.Popen[str]", grpc.Channel]]:
    """Start a pod that ends with this block, with a channel to it."""
    pod = subprocess.Popen(
        [sys.executable, "-m", "pinetune.grading"],
        env=os.environ | {"PINETUNE_POD_STOP_ON_STDIN_EOF": "true", "PINETUNE_GRADING_THREADS": "1"},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with pod:
        try:
            assert pod.stderr is not None
            line = next(line for line in pod.stderr if '"serving"' in line)
            with connect(json.loads(line)["grpc"]) as channel:
                yield pod, channel
        finally:
            pod.terminate()
