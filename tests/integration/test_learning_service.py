"""The learning service over real gRPC: order, repetition, errors by reason, metrics, and a policy that is loaded."""

import json
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from google.protobuf.message import Message
from tests.fakes.collector import remembered
from transformers import AutoModelForCausalLM

from pinetune.api.generation.v1 import generation_pb2
from pinetune.api.learning.v1 import learning_pb2 as wire
from pinetune.api.learning.v1.learning_pb2_grpc import LearningServiceStub, add_LearningServiceServicer_to_server
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.calls import call
from pinetune.generation.weights import HeldWeights
from pinetune.learning import settings as plain
from pinetune.learning.learner import LearnerState
from pinetune.learning.measurements import UpdateMetrics
from pinetune.learning.metrics import UPDATE_GAUGES
from pinetune.learning.service import ESTIMATORS, SCHEDULES, SERVICE_NAME, LearningService
from pinetune.learning.warm_up import WarmUpMetrics
from pinetune.pod import spans, trace
from pinetune.pod.channel import connect
from pinetune.pod.errors import Conflict, InvalidInput, NotFound, PinetuneError, Unsupported
from pinetune.pod.server import Pod, PodSettings, RegisteredService, start

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DEADLINE_SECONDS = 60.0
OTHER_TRACE = f"00-{'1' * 32}-{'2' * 16}-01"
NANO = wire.NanoSettings(layer_count=1, width=16, head_count=2, vocabulary_size=270, max_tokens=32)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    (folder / "corpus.jsonl").write_text(json.dumps("Tom has 12 apples. The answer is 42.") + "\n")
    return folder


@pytest.fixture
def pod() -> Iterator[Pod]:
    torch.set_num_threads(1)

    def build(_: Pod) -> list[RegisteredService]:
        service = LearningService()
        return [RegisteredService(SERVICE_NAME, lambda server: add_LearningServiceServicer_to_server(service, server))]

    running = start("learning", PodSettings(grace_seconds=1.0), build)
    yield running
    running.close()


@pytest.fixture
def stub(pod: Pod) -> Iterator[LearningServiceStub]:
    with connect(pod.grpc_address) as channel:
        yield LearningServiceStub(channel)


def make_nano(stub: LearningServiceStub, base: Path) -> wire.MakeNanoModelResponse:
    request = wire.MakeNanoModelRequest(
        settings=NANO, corpus_uri=str(base / "corpus.jsonl"), model_uri=str(base / "model"), seed=1
    )
    return call(stub.MakeNanoModel, request, deadline_seconds=DEADLINE_SECONDS)


def open_request(base: Path, job_id: str = "job-1") -> wire.OpenRequest:
    optimizer = wire.OptimizerSettings(
        learning_rate=1e-3, epsilon=1e-8, beta1=0.9, beta2=0.999, max_gradient_norm=1.0,
        schedule=wire.SCHEDULE_CONSTANT,
    )  # fmt: skip
    return wire.OpenRequest(
        job_id=job_id,
        model_uri=str(base / "model"),
        warm_up=wire.WarmUpSettings(optimizer=optimizer, step_count=5),
        update=wire.UpdateSettings(
            optimizer=optimizer, step_count=5, advantage_estimator=wire.ADVANTAGE_ESTIMATOR_GAE, gamma=1.0,
            gae_lambda=0.95, whiten_advantages=True, clip_range=0.2, value_clip_range=0.2, value_coefficient=5.0,
            kl_coefficient=0.05, epoch_count=2, mini_batch_count=1, length_normalised=True,
        ),
        compute=wire.ComputeSettings(device="cpu", dtype="float32", max_tokens_per_pass=256),
        seed=7,
    )  # fmt: skip


SEQUENCES = [
    generation_pb2.TokenSequence(prompt_token_ids=[5, 6], token_ids=[7, 8, 9]),
    generation_pb2.TokenSequence(prompt_token_ids=[6], token_ids=[5]),
]


def opened(stub: LearningServiceStub, base: Path) -> LearningServiceStub:
    make_nano(stub, base)
    call(stub.Open, open_request(base), deadline_seconds=DEADLINE_SECONDS)
    return stub


def warm_up(stub: LearningServiceStub, step: int) -> wire.WarmUpResponse:
    request = wire.WarmUpRequest(step=step, sequences=SEQUENCES)
    return call(stub.WarmUp, request, deadline_seconds=DEADLINE_SECONDS)


def frozen(stub: LearningServiceStub, base: Path) -> LearningServiceStub:
    opened(stub, base)
    call(stub.FreezeReference, wire.FreezeReferenceRequest(), deadline_seconds=DEADLINE_SECONDS)
    return stub


def update_request(step: int, *, version: int = 0) -> wire.UpdateRequest:
    return wire.UpdateRequest(
        step=step,
        trajectories=[
            wire.Trajectory(
                completion_id=f"c{index}",
                group_id="g",
                prompt_token_ids=[5, 6],
                token_ids=[7, 8 + index],
                logprobs=[-5.5, float("nan") if index == 0 else -5.5],
                policy_spans=[rollout_pb2.PolicySpan(policy_version=version, token_count=2)],
                reward=index / 2,
                finish_reason=rollout_pb2.FINISH_REASON_STOP,
            )
            for index in range(3)
        ],
    )


def update(stub: LearningServiceStub, request: wire.UpdateRequest) -> wire.UpdateResponse:
    return call(stub.Update, request, deadline_seconds=DEADLINE_SECONDS)


def save(stub: LearningServiceStub, folder: Path, version: int) -> generation_pb2.PolicyManifest:
    request = wire.SavePolicyRequest(policy_uri=str(folder), policy_version=version)
    return call(stub.SavePolicy, request, deadline_seconds=DEADLINE_SECONDS).manifest


def describe(stub: LearningServiceStub) -> wire.DescribeLearnerResponse:
    return call(stub.DescribeLearner, wire.DescribeLearnerRequest(), deadline_seconds=DEADLINE_SECONDS)


def scraped(pod: Pod) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{pod.metrics_address}/metrics", timeout=5) as response:
        lines = response.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_a_job_goes_from_nothing_to_a_policy_that_generation_holds(
    stub: LearningServiceStub, base: Path, tmp_path: Path
) -> None:
    made = make_nano(stub, base)
    state = call(stub.Open, open_request(base), deadline_seconds=DEADLINE_SECONDS).state
    assert (state.job_id, state.device, state.parameter_count) == ("job-1", "cpu", made.parameter_count)
    losses = [warm_up(stub, step).metrics.loss for step in (1, 2, 3)]
    assert losses == sorted(losses, reverse=True)
    held = HeldWeights(_model(base / "model"), threads=1)
    save(stub, tmp_path / "v1", 1)
    call(stub.FreezeReference, wire.FreezeReferenceRequest(), deadline_seconds=DEADLINE_SECONDS)
    response = update(stub, update_request(1, version=1))
    assert response.state.update_step == 1
    assert response.metrics.dropped_token_count == 1
    assert response.metrics.completion_token_count == 5
    manifest = save(stub, tmp_path / "v2", 2)
    loaded = held.load(str(tmp_path / "v2"), 2, manifest.content_hash)
    assert loaded.state.content_hash == manifest.content_hash
    assert describe(stub).state.policy_version == 2


def _model(folder: Path) -> torch.nn.Module:
    model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(folder)
    return model


def test_a_repeated_step_is_answered_and_not_learnt_again(stub: LearningServiceStub, base: Path, pod: Pod) -> None:
    frozen(stub, base)
    before = scraped(pod).get('pinetune_learning_tokens_total{phase="update"}', 0.0)
    first = update(stub, update_request(1))
    scored = call(stub.Score, wire.ScoreRequest(sequences=SEQUENCES), deadline_seconds=DEADLINE_SECONDS)
    assert update(stub, update_request(1)) == first
    assert call(stub.Score, wire.ScoreRequest(sequences=SEQUENCES), deadline_seconds=DEADLINE_SECONDS) == scored
    assert scraped(pod)['pinetune_learning_tokens_total{phase="update"}'] == before + 12
    assert (scored.policy_version, [len(row.logprobs) for row in scored.sequences]) == (1, [3, 1])


def test_what_was_learnt_is_told_once_in_the_rollouts_own_trace(stub: LearningServiceStub, base: Path) -> None:
    frozen(stub, base)

    def traced(first: str) -> wire.UpdateRequest:
        request = update_request(1)
        for trajectory, traceparent in zip(request.trajectories, (first, "", OTHER_TRACE), strict=True):
            trajectory.traceparent = traceparent
        return request

    with remembered() as memory:
        with trace.within(job="job-1"), spans.span("update"):
            answer = update(stub, traced(f"00-{'a' * 32}-{'b' * 16}-01"))
        # Another worker, who follows the rollouts in traces of its own, asks again.
        assert update(stub, traced(f"00-{'c' * 32}-{'d' * 16}-01")) == answer
        # And one that follows none.
        assert update(stub, update_request(1)) == answer
        found = memory.all()
    learned = [one for one in found if one.name == "learned"]
    assert [(one.trace_id, one.parent_id) for one in learned] == [("a" * 32, "b" * 16), ("1" * 32, "2" * 16)]
    (call_trace,) = {one.trace_id for one in found if one.name == "update"}
    assert [one.linked_traces for one in learned] == [(call_trace,)] * 2
    said = [one.attributes for one in learned]
    assert [(one["pinetune.completion_id"], one["pinetune.reward"]) for one in said] == [("c0", 0.0), ("c2", 1.0)]
    assert all((one["pinetune.step"], one["pinetune.job_id"]) == (1, "job-1") for one in said)
    # Whitened over all learnt tokens, the best reward is above the mean and the worst below.
    assert said[0]["pinetune.advantage"] < 0 < said[1]["pinetune.advantage"]


def test_a_step_in_flight_answers_the_caller_who_asks_again(stub: LearningServiceStub, base: Path) -> None:
    frozen(stub, base)
    answers: list[wire.UpdateResponse] = []
    threads = [threading.Thread(target=lambda: answers.append(update(stub, update_request(1)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [answers[0]] * 3
    assert describe(stub).state.update_step == 1


def refused(kind: type[PinetuneError], action: object, reason: str) -> None:
    assert callable(action)
    with pytest.raises(kind) as caught:
        action()
    assert caught.value.reason == reason


def test_calls_out_of_order_are_refused_by_reason(stub: LearningServiceStub, base: Path) -> None:
    refused(Conflict, lambda: warm_up(stub, 1), "NO_JOB_OPEN")
    opened(stub, base)
    refused(Conflict, lambda: warm_up(stub, 2), "STEP_OUT_OF_ORDER")
    refused(Conflict, lambda: update(stub, update_request(1)), "REFERENCE_NOT_FROZEN")
    other = open_request(base, "job-2")
    refused(Conflict, lambda: call(stub.Open, other, deadline_seconds=DEADLINE_SECONDS), "OTHER_JOB_OPEN")
    warm_up(stub, 1)
    changed = wire.WarmUpRequest(step=1, sequences=SEQUENCES[:1])
    refused(Conflict, lambda: call(stub.WarmUp, changed, deadline_seconds=DEADLINE_SECONDS), "STEP_CONTENT_CHANGED")


def test_recomputing_activations_is_refused_rather_than_ignored(stub: LearningServiceStub, base: Path) -> None:
    make_nano(stub, base)
    request = open_request(base)
    request.compute.gradient_checkpointing = True
    refused(
        Unsupported,
        lambda: call(stub.Open, request, deadline_seconds=DEADLINE_SECONDS),
        "GRADIENT_CHECKPOINTING_UNSUPPORTED",
    )


def test_a_stale_completion_is_refused(stub: LearningServiceStub, base: Path, tmp_path: Path) -> None:
    frozen(stub, base)
    update(stub, update_request(1))
    save(stub, tmp_path / "v1", 1)
    refused(Conflict, lambda: update(stub, update_request(2, version=0)), "POLICY_TOO_STALE")
    assert update(stub, update_request(2, version=1)).state.update_step == 2


def test_faulty_requests_are_refused_by_field(stub: LearningServiceStub, base: Path) -> None:
    frozen(stub, base)
    spans = update_request(1)
    spans.trajectories[1].policy_spans[0].token_count = 5
    refused(InvalidInput, lambda: update(stub, spans), "POLICY_SPANS_LENGTH")
    short = update_request(1)
    del short.trajectories[1].logprobs[1:]
    refused(InvalidInput, lambda: update(stub, short), "LOGPROBS_LENGTH")
    refused(InvalidInput, lambda: update(stub, wire.UpdateRequest(step=1)), "NO_TRAJECTORIES")
    nameless = wire.SavePolicyRequest(policy_version=0)
    refused(InvalidInput, lambda: call(stub.SavePolicy, nameless, deadline_seconds=DEADLINE_SECONDS), "FIELD_MISSING")
    nowhere = wire.RestoreCheckpointRequest(checkpoint_uri="/no/such/place")
    refused(
        NotFound, lambda: call(stub.RestoreCheckpoint, nowhere, deadline_seconds=DEADLINE_SECONDS),
        "CHECKPOINT_NOT_FOUND",
    )  # fmt: skip


def test_opening_the_same_job_again_starts_it_over_and_a_checkpoint_brings_it_back(
    stub: LearningServiceStub, base: Path, tmp_path: Path
) -> None:
    opened(stub, base)
    warm_up(stub, 1)
    checkpoint = wire.SaveCheckpointRequest(checkpoint_uri=str(tmp_path / "c"), data_position_json='{"row": 3}')
    saved = call(stub.SaveCheckpoint, checkpoint, deadline_seconds=DEADLINE_SECONDS)
    assert saved.size_bytes > 0
    second = warm_up(stub, 2)
    assert call(stub.Open, open_request(base), deadline_seconds=DEADLINE_SECONDS).state.warm_up_step == 0
    back = wire.RestoreCheckpointRequest(checkpoint_uri=str(tmp_path / "c"))
    restored = call(stub.RestoreCheckpoint, back, deadline_seconds=DEADLINE_SECONDS)
    assert (restored.state.warm_up_step, restored.data_position_json) == (1, '{"row": 3}')
    again = warm_up(stub, 2)
    again.metrics.seconds = second.metrics.seconds
    assert again == second


def test_measurements_are_scraped(stub: LearningServiceStub, base: Path, pod: Pod) -> None:
    frozen(stub, base)
    metrics = update(stub, update_request(1)).metrics
    shown = scraped(pod)
    for name in UPDATE_GAUGES:
        assert shown[f"pinetune_learning_{name}"] == pytest.approx(getattr(metrics, name)), name
    assert shown['pinetune_learning_step{phase="update"}'] == 1
    assert shown["pinetune_learning_dropped_tokens_total"] >= 1


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (UpdateMetrics, wire.UpdateMetrics),
        (WarmUpMetrics, wire.WarmUpMetrics),
        (LearnerState, wire.LearnerState),
        (plain.UpdateSettings, wire.UpdateSettings),
        (plain.OptimizerSettings, wire.OptimizerSettings),
        (plain.WarmUpSettings, wire.WarmUpSettings),
        (plain.ComputeSettings, wire.ComputeSettings),
        (plain.NanoSettings, wire.NanoSettings),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_values_and_messages_have_the_same_fields(kind: "type[DataclassInstance]", message: type[Message]) -> None:
    # Refused at the door, so that no value has it.
    unsupported = {"gradient_checkpointing"}
    assert {field.name for field in fields(kind)} == set(message.DESCRIPTOR.fields_by_name) - unsupported


def test_every_word_of_the_contract_is_understood() -> None:
    assert set(SCHEDULES) == set(wire.Schedule.values())
    assert set(ESTIMATORS) == set(wire.AdvantageEstimator.values())
