"""A generation pod in a process of its own, as a job has it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from pinetune.client.calls import wait_until_serving
from pinetune.pod.channel import connect

START_SECONDS = 120.0


@dataclass(frozen=True)
class GenerationPod:
    """A pod that serves."""

    channel: grpc.Channel
    """The line to it."""
    address: str
    """host:port."""
    pid: int
    """Its process."""


@contextmanager
def generation_pod(
    model: Path, dtype: str, *, name: str = "generation", threads: int = 0, vllm_python: str = ""
) -> Iterator[GenerationPod]:
    """Run a pod on the CPU; `threads` 0 leaves their number to torch. With `vllm_python` it is that one's vLLM."""
    addresses = model.parent / f"{name}.json"
    environment = os.environ | {
        "PINETUNE_GENERATION_MODEL": str(model),
        "PINETUNE_GENERATION_CHAT_TEMPLATE": "plain",
        "PINETUNE_GENERATION_ENGINE": "vllm" if vllm_python else "transformers",
        "PINETUNE_GENERATION_DEVICE": "cpu",
        "PINETUNE_GENERATION_DTYPE": dtype,
        "PINETUNE_GENERATION_THREADS": str(threads),
        "PINETUNE_POD_ADDRESS_FILE": str(addresses),
        "PINETUNE_POD_LOG_LEVEL": "WARNING",
    }
    process = subprocess.Popen([vllm_python or sys.executable, "-m", "pinetune.generation"], env=environment)
    try:
        while not addresses.exists():
            assert process.poll() is None, "the generation pod did not start"
            time.sleep(0.1)
        address = json.loads(addresses.read_text())["grpc"]
        with connect(address) as channel:
            wait_until_serving(channel, name, seconds=START_SECONDS)
            yield GenerationPod(channel, address, process.pid)
    finally:
        process.terminate()
        process.wait()
