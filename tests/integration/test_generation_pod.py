"""The generation pod as a process: what it shows to Prometheus, and how it ends in the middle of a call."""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from tests.unit.generation.test_weights import tensors_of, write_policy
from tests.unit.generation.tiny_models import make_model, make_tokenizer

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.generation.v1.generation_pb2_grpc import GenerationServiceStub
from pinetune.client.calls import HEALTH_CHECK, call, wait_until_serving
from pinetune.jobs.launcher.ports import free_ports
from pinetune.pod.errors import Busy, Cancelled, InvalidInput, PinetuneError, Unavailable

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 60.0
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
Metrics = dict[str, float]


class GenerationPod:
    """`python -m pinetune.generation` with a tiny model."""

    def __init__(self, model: Path, log: Path, **variables: str) -> None:
        grpc_port, metrics_port = free_ports(2)
        self.metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"
        self.log = log
        settings = {
            "PYTHONPATH": str(ROOT / "services"),
            "PINETUNE_GENERATION_MODEL": str(model),
            "PINETUNE_GENERATION_THREADS": "1",
            "PINETUNE_POD_GRPC_PORT": str(grpc_port),
            "PINETUNE_POD_METRICS_PORT": str(metrics_port),
        }
        with log.open("wb") as file:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "pinetune.generation"],
                env=os.environ | settings | variables,
                stdin=subprocess.DEVNULL,
                stderr=file,
            )
        # A plain channel: one of ours would look at the pod's health and not even send the call.
        self.channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}")
        self.stub = GenerationServiceStub(self.channel)
        wait_until_serving(self.channel, "the pod", seconds=DEADLINE_SECONDS)

    def generate(self, request: wire.GenerateRequest) -> wire.GenerateResponse:
        return call(self.stub.Generate, request, deadline_seconds=DEADLINE_SECONDS)

    def health(self) -> int:
        check = self.channel.unary_unary(
            HEALTH_CHECK,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        return call(check, health_pb2.HealthCheckRequest(), deadline_seconds=DEADLINE_SECONDS).status

    def scraped(self) -> Metrics:
        with urllib.request.urlopen(self.metrics_url, timeout=DEADLINE_SECONDS) as response:
            lines = response.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name.removeprefix("pinetune_generation_"): float(value) for name, value in pairs}

    def scraped_when(self, look: Callable[[Metrics], bool]) -> Metrics:
        end = time.monotonic() + DEADLINE_SECONDS
        while not look(found := self.scraped()):
            assert time.monotonic() < end, {name: value for name, value in found.items() if "bucket" not in name}
            time.sleep(0.02)
        return found

    def close(self) -> None:
        self.channel.close()
        self.popen.kill()
        self.popen.wait()


Make = Callable[..., GenerationPod]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    make_model("llama").save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def pod(model: Path, tmp_path: Path) -> Iterator[Make]:
    made: list[GenerationPod] = []

    def make(**variables: str) -> GenerationPod:
        made.append(GenerationPod(model, tmp_path / "log", **variables))
        return made[-1]

    yield make
    for one in made:
        one.close()


def request(sample_count: int, max_tokens: int) -> wire.GenerateRequest:
    """Return a call whose completions have exactly `max_tokens` tokens."""
    sampling = wire.SamplingParams(temperature=1.0, max_tokens=max_tokens, min_tokens=max_tokens, seed=5)
    prompts = [wire.Prompt(prompt_id="a", token_ids=[9, 50]), wire.Prompt(prompt_id="b", token_ids=[9, 50, 17])]
    return wire.GenerateRequest(prompts=prompts, sample_count=sample_count, sampling=sampling)


SHORT = request(2, 8)
LONG = request(500, 120)
"""A thousand completions: seconds on one core."""


class InFlight(threading.Thread):
    """A call in the background, and what became of it."""

    def __init__(self, pod: GenerationPod, wanted: wire.GenerateRequest) -> None:
        super().__init__(daemon=True)
        self.pod, self.wanted = pod, wanted
        self.answer: wire.GenerateResponse | None = None
        self.error: PinetuneError | None = None
        self.start()
        pod.scraped_when(lambda found: found["requests_running"] == 1)

    def run(self) -> None:
        try:
            self.answer = self.pod.generate(self.wanted)
        except PinetuneError as error:
            self.error = error


def test_what_generation_does_is_shown_at_metrics(pod: Make, tmp_path: Path) -> None:
    running = pod(PINETUNE_GENERATION_WAITING_CALLS_MAX="1")
    idle = running.scraped()
    for gauge in ("requests_running", "requests_waiting", "completions_running", "completions_waiting"):
        assert idle[gauge] == 0.0
    assert idle["kv_cache_usage_ratio"] == 0.0
    assert idle["first_token_seconds_count"] == 0.0, "readiness is no call"

    write_policy(tmp_path / "policy", tensors_of("llama", seed=1), version=3)
    load = wire.LoadPolicyRequest(policy_uri=str(tmp_path / "policy"), policy_version=3)
    call(running.stub.LoadPolicy, load, deadline_seconds=DEADLINE_SECONDS)
    running.generate(SHORT)
    after = running.scraped()
    assert after["policy_version"] == 3
    assert after["policy_load_seconds_count"] == 1
    assert after["policy_load_seconds_sum"] > 0
    assert (after['tokens_total{kind="prompt"}'], after['tokens_total{kind="completion"}']) == (5, 2 * 2 * 8)
    assert after['completions_total{outcome="length"}'] == 4
    assert after["first_token_seconds_count"] == 1
    assert after["first_token_seconds_sum"] < after["generate_seconds_sum"] + 1
    assert after["tokens_per_second"] > 0

    first = InFlight(running, LONG)
    busy = running.scraped_when(lambda found: found["kv_cache_usage_ratio"] > 0)
    assert busy["completions_running"] == 1000
    second = threading.Thread(target=running.generate, args=(SHORT,), daemon=True)
    second.start()
    queued = running.scraped_when(lambda found: found["requests_waiting"] == 1)
    assert queued["completions_waiting"] == 4
    with pytest.raises(Busy) as caught:
        running.generate(SHORT)
    assert caught.value.retry_after_seconds is not None
    assert caught.value.retry_after_seconds > 0
    first.join(DEADLINE_SECONDS)
    second.join(DEADLINE_SECONDS)
    with pytest.raises(PinetuneError):
        call(running.stub.Generate, LONG, deadline_seconds=0.3)
    done = running.scraped_when(lambda found: found.get('completions_total{outcome="cancelled"}') == 1000)
    assert done['completions_total{outcome="refused"}'] == 4
    assert (done["requests_running"], done["kv_cache_usage_ratio"]) == (0, 0)


def test_a_call_that_can_never_fit_is_refused_with_limit_and_value(pod: Make) -> None:
    running = pod(PINETUNE_GENERATION_KV_CACHE_MEMORY_BYTES="100000")
    running.generate(SHORT)
    with pytest.raises(InvalidInput, match="PINETUNE_GENERATION_MAX_BATCH_TOKENS=") as caught:
        running.generate(LONG)
    assert caught.value.reason == "KV_CACHE_TOO_SMALL"
    assert int(caught.value.metadata["given"]) > int(caught.value.metadata["limit"])
    assert running.scraped()['completions_total{outcome="failed"}'] == 1000


def test_a_call_in_flight_finishes_while_new_ones_are_told_to_go_elsewhere(pod: Make) -> None:
    running = pod()
    in_flight = InFlight(running, LONG)
    running.popen.send_signal(signal.SIGTERM)
    running.scraped_when(lambda found: found["pinetune_pod_serving"] == 0)
    assert running.health() == NOT_SERVING
    with pytest.raises(Unavailable) as caught:
        running.generate(SHORT)
    assert caught.value.reason == "POD_STOPPING"
    assert caught.value.retry_after_seconds is not None
    assert in_flight.is_alive(), "all of that happened in mid-call"
    in_flight.join(DEADLINE_SECONDS)
    assert in_flight.answer is not None, in_flight.error
    assert [len(group.completions) for group in in_flight.answer.prompts] == [500, 500]
    assert running.popen.wait(DEADLINE_SECONDS) == 0


def test_a_call_that_outlives_the_grace_is_cancelled_and_the_exit_code_is_0(pod: Make) -> None:
    running = pod(PINETUNE_POD_GRACE_SECONDS="0.2")
    in_flight = InFlight(running, LONG)
    running.popen.send_signal(signal.SIGTERM)
    assert running.popen.wait(DEADLINE_SECONDS) == 0
    in_flight.join(DEADLINE_SECONDS)
    assert isinstance(in_flight.error, Unavailable | Cancelled)
    assert b"Traceback" not in running.log.read_bytes()
