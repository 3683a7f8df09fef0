"""A grading pod with Python graders, whole: several callers at once, short deadlines, callers that leave, shutdown."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from prometheus_client import REGISTRY

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.api.grading.v1.grading_pb2_grpc import GradingServiceStub
from pinetune.client.grading import GradingClient
from pinetune.client.rollout import Grade
from pinetune.grading.__main__ import build
from pinetune.pod.channel import connect
from pinetune.pod.errors import TimedOut
from pinetune.pod.server import Pod, PodSettings, start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux")

EXACT = "def grade(sample, item):\n    return 1.0 if sample['output_text'] == item['answer'] else 0.0\n"
ENDLESS = "import time\ndef grade(sample, item):\n    open('running', 'w').close()\n    time.sleep(600)\n"
# Until a file lies beside it: who makes it says how long the others have to wait.
SLOW = (
    "import os, time\ndef grade(sample, item):\n    open('running', 'w').close()\n"
    "    while not os.path.exists('go'):\n        time.sleep(0.01)\n    return 0.5\n"
)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def pod(folders: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    """A grading pod with one process for Python graders."""
    monkeypatch.setenv("PINETUNE_GRADING_PYTHON_WORKERS", "1")
    monkeypatch.setenv("PINETUNE_GRADING_PYTHON_TEMPORARY_ROOT", str(folders))
    started = start("grading", PodSettings(grace_seconds=1.0), build)
    yield started
    started.close()


@pytest.fixture
def channel(pod: Pod) -> Iterator[grpc.Channel]:
    with connect(pod.grpc_address) as opened:
        yield opened


def call(channel: grpc.Channel, source: str, texts: list[str], seconds: float) -> "grpc.Future[wire.GradeResponse]":
    request = wire.GradeRequest(
        grader=wire.GraderSpec(json=json.dumps({"type": "python", "source": source})),
        items_json=['{"answer": "4"}'],
        output_texts=texts,
        item_indexes=[0] * len(texts),
    )
    return GradingServiceStub(channel).Grade.future(request, timeout=seconds)


def grades(response: wire.GradeResponse) -> list[Grade]:
    return [Grade.from_wire(grade) for grade in response.grades]


def until_running(folders: Path) -> Path:
    """Return the folder of the grader that runs."""
    until = time.monotonic() + 30
    while not (running := list(folders.glob("*/running"))):
        assert time.monotonic() < until, "it never ran"
        time.sleep(0.01)
    return running[0].parent


def test_a_caller_whose_time_is_short_gets_deadlines_while_another_grader_is_busy(
    channel: grpc.Channel, folders: Path
) -> None:
    busy = call(channel, SLOW, ["4"], seconds=60.0)
    folder = until_running(folders)
    short = grades(call(channel, EXACT, ["4", "5"], seconds=1.5).result())
    assert [grade.error and (grade.error.error_class, grade.error.retryable) for grade in short] == [
        ("DEADLINE", True)
    ] * 2
    patient = call(channel, EXACT, ["4", "5"], seconds=60.0)
    (folder / "go").touch()
    assert [grade.score for grade in grades(busy.result())] == [0.5]
    assert [grade.score for grade in grades(patient.result())] == [1.0, 0.0]


def test_a_caller_who_leaves_frees_the_process(channel: grpc.Channel, folders: Path) -> None:
    left = call(channel, ENDLESS, ["4", "5"], seconds=600.0)
    until_running(folders)
    left.cancel()
    assert [grade.score for grade in grades(call(channel, EXACT, ["4"], seconds=60.0).result())] == [1.0]


def test_a_pod_that_is_stopped_ends_the_grader_that_runs(pod: Pod, channel: grpc.Channel, folders: Path) -> None:
    running = call(channel, ENDLESS, ["4"], seconds=600.0)
    until_running(folders)
    stopping = threading.Thread(target=pod.close)
    stopping.start()
    # The caller is told to come back, not left waiting.
    with pytest.raises(grpc.RpcError) as caught:
        running.result(timeout=30)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    stopping.join(30)
    assert not stopping.is_alive()
    assert list(folders.iterdir()) == [], "processes and folders go with the pod"


def test_callers_with_graders_of_their_own_all_get_their_grades(channel: grpc.Channel) -> None:
    def scores(number: int) -> list[float | None]:
        source = f"def grade(sample, item):\n    return {number} + float(sample['output_text'])\n"
        return [grade.score for grade in grades(call(channel, source, ["0", "1"], seconds=60.0).result())]

    with ThreadPoolExecutor(4) as callers:
        assert list(callers.map(scores, range(4))) == [[float(n), float(n + 1)] for n in range(4)]


def test_a_source_that_never_ends_is_told_once_and_in_time(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINETUNE_GRADING_PYTHON_TEMPORARY_ROOT", str(folders))
    monkeypatch.setenv("PINETUNE_GRADING_PYTHON_START_TIMEOUT_SECONDS", "0.5")
    pod = start("grading", PodSettings(grace_seconds=1.0), build)
    starts = REGISTRY.get_sample_value("pinetune_grading_sandbox_starts_total") or 0
    try:
        with (
            connect(pod.grpc_address) as channel,
            pytest.raises(TimedOut, match=r"PINETUNE_GRADING_PYTHON_START_TIMEOUT_SECONDS is 0\.5") as caught,
        ):
            GradingClient(channel).validate(json.dumps({"type": "python", "source": "while True: pass"}))
    finally:
        pod.close()
    assert caught.value.reason == "SANDBOX_UNAVAILABLE"
    # A channel would repeat what is Unavailable, until the caller's deadline is over.
    assert (REGISTRY.get_sample_value("pinetune_grading_sandbox_starts_total") or 0) - starts == 1
