"""The grading service behind a real gRPC server: batches, refusals, metrics, and what reflection and health say."""

import json
import re
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.api.grading.v1.grading_pb2_grpc import GradingServiceStub
from pinetune.grading.__main__ import build
from pinetune.grading.service import DESCRIPTOR
from pinetune.pod.errors import InvalidInput, from_rpc_error
from pinetune.pod.server import Pod, PodSettings, start

NUMBER = wire.GraderSpec(json='{"type": "number", "reference": "{{item.answer}}", "partial_score": 0.1}')


@pytest.fixture
def pod() -> Iterator[Pod]:
    started = start("grading", PodSettings(grace_seconds=1.0), build)
    yield started
    started.close()


@pytest.fixture
def channel(pod: Pod) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(pod.grpc_address) as opened:
        yield opened


def batch(answers: list[object], texts: list[str], indexes: list[int]) -> wire.GradeRequest:
    items = [json.dumps({"answer": answer}) for answer in answers]
    return wire.GradeRequest(grader=NUMBER, items_json=items, output_texts=texts, item_indexes=indexes)


def raw(channel: grpc.Channel, method: str) -> "grpc.UnaryUnaryMultiCallable[bytes, bytes]":
    return channel.unary_unary(f"/{DESCRIPTOR.full_name}/{method}")


def refused(call: Callable[[], object]) -> InvalidInput:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error = from_rpc_error(caught.value)
    assert isinstance(error, InvalidInput)
    return error


def test_a_batch_is_graded_in_order_and_a_bad_sample_fails_alone(channel: grpc.Channel) -> None:
    request = batch([4, "four"], ["It is 4", "4, or is it?", "It is 5"], [0, 1, 0])
    response = GradingServiceStub(channel).Grade(request)
    assert [grade.WhichOneof("outcome") for grade in response.grades] == ["score", "error", "score"]
    assert [response.grades[0].score, response.grades[2].score] == [1.0, 0.1]
    assert "four" in response.grades[1].error.detail
    assert response.grading_seconds > 0


def test_a_faulty_grader_is_refused_with_its_reason_and_field(channel: grpc.Channel) -> None:
    spec = wire.GraderSpec(json='{"type": "number", "reference": "{{item.answer}}", "partial": 1}')
    error = refused(lambda: GradingServiceStub(channel).ValidateGrader(wire.ValidateGraderRequest(grader=spec)))
    assert (error.reason, error.metadata["field"]) == ("GRADER_FIELD_UNKNOWN", "partial")
    assert error.message.startswith("partial: unknown field")


def test_a_batch_of_a_wrong_shape_is_refused(channel: grpc.Channel) -> None:
    error = refused(lambda: GradingServiceStub(channel).Grade(batch([4], ["4"], [1])))
    assert (error.reason, error.metadata["field"]) == ("BATCH_SHAPE_INVALID", "item_indexes[0]")


def test_bytes_that_are_no_message_are_refused(channel: grpc.Channel) -> None:
    for method in DESCRIPTOR.methods_by_name:
        assert refused(partial(raw(channel, method), b"\x0a\x7f")).reason == "REQUEST_UNDECODABLE"


def test_a_valid_grader_comes_back_normalised(channel: grpc.Channel) -> None:
    response = GradingServiceStub(channel).ValidateGrader(
        wire.ValidateGraderRequest(grader=NUMBER, item_keys=["answer"])
    )
    assert json.loads(response.json)["absolute_tolerance"] == 1e-6
    assert response.grader.number.absolute_tolerance == 1e-6
    assert re.fullmatch("[0-9a-f]{32}", response.fingerprint)
    assert (
        GradingServiceStub(channel).Grade(batch([4], ["4"], [0])).grades[0].grader_fingerprint == response.fingerprint
    )


def test_many_callers_at_once_get_their_own_grades(channel: grpc.Channel) -> None:
    stub = GradingServiceStub(channel)
    barrier = threading.Barrier(8)

    def ask(number: int) -> list[float]:
        barrier.wait(10)
        texts = [f"{'word ' * 30} {n}" for n in range(500)]
        return [grade.score for grade in stub.Grade(batch([number], texts, [0] * 500)).grades]

    with ThreadPoolExecutor(8) as pool:
        for number, scores in enumerate(pool.map(ask, range(8))):
            assert scores == [1.0 if n == number else 0.1 for n in range(500)]


def test_reflection_lists_the_service_and_health_serves_it(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert DESCRIPTOR.full_name in database.get_services()
    assert database.FindFileContainingSymbol(DESCRIPTOR.full_name).name == DESCRIPTOR.file.name
    check: grpc.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse] = (
        channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
    )
    answer = check(health_pb2.HealthCheckRequest(service=DESCRIPTOR.full_name))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_every_method_of_the_contract_is_served(channel: grpc.Channel) -> None:
    for method in DESCRIPTOR.methods_by_name:
        assert refused(partial(raw(channel, method), b"")).reason == "GRADER_FIELD_MISSING"


def test_grades_scores_and_refusals_are_counted(pod: Pod, channel: grpc.Channel) -> None:
    def read() -> dict[str, float]:
        with urllib.request.urlopen(f"http://{pod.metrics_address}/metrics") as response:
            lines = response.read().decode().splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in samples if name.startswith("pinetune_grading_")}

    before = read()
    stub = GradingServiceStub(channel)
    stub.Grade(batch([4, "four"], ["4", "5", "?", "4"], [0, 0, 0, 1]))
    refused(lambda: stub.Grade(wire.GradeRequest(grader=NUMBER)))
    after = read()
    grown = {name: value - before.get(name, 0.0) for name, value in after.items()}
    assert grown['pinetune_grading_grades_total{grader="number",kind="number",outcome="scored"}'] == 3
    assert grown['pinetune_grading_grades_total{grader="number",kind="number",outcome="invalid_reference"}'] == 1
    assert grown['pinetune_grading_score_bucket{kind="number",le="0.1"}'] == 2
    assert grown['pinetune_grading_score_count{kind="number"}'] == 3
    assert grown['pinetune_grading_score_sum{kind="number"}'] == pytest.approx(1.1)
    assert grown['pinetune_grading_grade_seconds_count{kind="number"}'] == 1
    assert grown["pinetune_grading_batch_samples_sum"] == 4
    assert grown['pinetune_grading_refusals_total{reason="BATCH_SHAPE_INVALID"}'] == 1
    assert after["pinetune_grading_batches_in_flight"] == 0
    assert after["pinetune_grading_oldest_batch_seconds"] == 0
