"""The generation pod with vLLM as a process: it ends when vLLM has died, and vLLM ends when it has died."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.generation.v1.generation_pb2_grpc import GenerationServiceStub
from pinetune.client.calls import call
from pinetune.pod.channel import connect
from pinetune.pod.errors import Unavailable

SERVICES = Path(__file__).resolve().parents[2] / "services"
START_SECONDS = 200.0
END_SECONDS = 30.0


def wait_until(done: Callable[[], bool], seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.1)


def children(pid: int) -> list[int]:
    """Return all descendants of a process."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *children(child)]
    return found


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")


@contextmanager
def pod(model: Path, folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """Start a pod and yield its process and address."""
    settings = {
        "PINETUNE_GENERATION_MODEL": str(model),
        "PINETUNE_GENERATION_ENGINE": "vllm",
        "PINETUNE_GENERATION_THREADS": "1",
        "PINETUNE_GENERATION_KV_CACHE_MEMORY_BYTES": str(1 << 26),
        "PINETUNE_POD_ADDRESS_FILE": str(folder / "address.json"),
        "PYTHONPATH": str(SERVICES),
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pinetune.generation"],
            env=os.environ | settings,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: (folder / "address.json").exists() or process.poll() is not None, START_SECONDS)
        assert process.poll() is None, (folder / "log").read_text()
        yield process, json.loads((folder / "address.json").read_text())["grpc"]
    finally:
        process.kill()
        process.wait()


def sample(stub: GenerationServiceStub) -> wire.GenerateResponse:
    request = wire.GenerateRequest(
        prompts=[wire.Prompt(prompt_id="a", token_ids=[9])], sample_count=2, sampling=wire.SamplingParams(max_tokens=4)
    )
    return call(stub.Generate, request, deadline_seconds=60.0)


def sample_for_ever(stub: GenerationServiceStub) -> None:
    while True:
        sample(stub)


def test_a_pod_whose_vllm_dies_says_unavailable_and_exits_with_1(
    model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    with pod(model_folder("llama"), tmp_path) as (process, address), connect(address) as channel:
        stub = GenerationServiceStub(channel)
        assert len(sample(stub).prompts[0].completions) == 2
        engine_core = next(
            pid for pid in children(process.pid) if "spawn_main" in name_of(pid) or "Engine" in name_of(pid)
        )
        os.kill(engine_core, signal.SIGKILL)
        with pytest.raises(Unavailable):
            sample_for_ever(stub)
        assert process.wait(END_SECONDS) == 1, (tmp_path / "log").read_text()
        assert "vLLM's processes have died" in (tmp_path / "log").read_text()


def test_vllm_ends_with_a_pod_that_is_killed(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    with pod(model_folder("llama"), tmp_path) as (process, _):
        started = children(process.pid)
        assert started
        process.kill()
        wait_until(lambda: not any(alive(pid) for pid in started), END_SECONDS)
