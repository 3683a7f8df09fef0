"""`python -m pinetune.grading` as a process: it serves, and stops when asked to."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.api.grading.v1.grading_pb2_grpc import GradingServiceStub
from pinetune.pod.channel import connect

SERVICES = Path(__file__).resolve().parents[2] / "services"
DEADLINE_SECONDS = 30.0


def start(**variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "pinetune.grading"],
        env=os.environ | {"PYTHONPATH": str(SERVICES), "PINETUNE_POD_STOP_ON_STDIN_EOF": "true"} | variables,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_pod_grades_and_exits_with_0_when_asked_to_stop() -> None:
    with start(PINETUNE_GRADING_THREADS="1") as pod:
        try:
            assert pod.stderr is not None
            line = next(line for line in pod.stderr if '"serving"' in line)
            spec = wire.GraderSpec(json='{"type": "number", "reference": "4"}')
            with connect(json.loads(line)["grpc"]) as channel:
                request = wire.GradeRequest(grader=spec, items_json=["{}"], output_texts=["It is 4"])
                assert GradingServiceStub(channel).Grade(request).grades[0].score == 1
            pod.send_signal(signal.SIGTERM)
            pod.communicate(timeout=DEADLINE_SECONDS)
        finally:
            pod.kill()
    assert pod.returncode == 0


def test_a_wrong_setting_is_named_before_the_pod_starts() -> None:
    with start(PINETUNE_GRADING_THREADS="-1") as pod:
        _, written = pod.communicate(timeout=DEADLINE_SECONDS)
    assert pod.returncode == 2
    assert written.startswith("PINETUNE_GRADING_THREADS: ")
