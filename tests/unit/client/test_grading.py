"""The grading client against the real service: any number of samples, and what a sample carries beside its text."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pinetune.client.grader_samples import Sample
from pinetune.client.grading import CALL_CHARACTERS, CALL_SAMPLES, GradingClient
from pinetune.grading.__main__ import build
from pinetune.jobs.launcher.ports import free_ports
from pinetune.pod.channel import connect
from pinetune.pod.errors import InvalidInput, PinetuneError, Unavailable
from pinetune.pod.server import PodSettings, start

NUMBER = json.dumps({"type": "number", "reference": "{{item.answer}}"})
TOOLS = json.dumps({"type": "tool_calls", "reference": "{{item.calls}}"})


@pytest.fixture(scope="module")
def grading() -> Iterator[GradingClient]:
    pod = start("grading", PodSettings(grace_seconds=1.0), build)
    with connect(pod.grpc_address) as channel:
        yield GradingClient(channel)
    pod.close()


def answer(value: object) -> str:
    return json.dumps({"answer": value})


def test_more_samples_than_a_call_takes_are_graded_in_order(grading: GradingClient) -> None:
    samples = [Sample(f"it is {n % 7}", answer(n % 3)) for n in range(2 * CALL_SAMPLES + 1)]
    graded = grading.grade_samples(NUMBER, samples)
    assert [grade.score for grade in graded.grades] == [float(n % 7 == n % 3) for n in range(len(samples))]
    assert graded.grading_seconds > 0


def test_long_texts_are_sent_in_calls_of_their_own(grading: GradingClient) -> None:
    long = " " * CALL_CHARACTERS
    graded = grading.grade_samples(NUMBER, [Sample(f"4{long}", answer(4)), Sample(f"{long}5", answer(4))])
    assert [grade.score for grade in graded.grades] == [1.0, 0.0]


def test_no_samples_have_no_grades(grading: GradingClient) -> None:
    assert grading.grade_samples(NUMBER, []).grades == ()


def test_calls_of_a_sample_reach_the_grader_and_others_are_not_given_them(grading: GradingClient) -> None:
    call = {"name": "find", "arguments": {"gene": "NF1"}}
    fields = json.dumps({"calls": [call]})
    samples = [Sample("", fields, json.dumps({"output_tools": [call]})), Sample("find(NF1)", fields)]
    right, none = grading.grade_samples(TOOLS, samples).grades
    assert right.score == 1.0
    assert none.error is not None
    assert none.error.error_class == "INVALID_VARIABLE"


def test_a_wrong_grader_is_refused_with_its_field(grading: GradingClient) -> None:
    with pytest.raises(InvalidInput) as caught:
        grading.grade_samples('{"type": "number", "reference": "4", "partial": 1}', [Sample("4", "{}")])
    assert caught.value.metadata["field"] == "partial"


def test_a_service_that_is_away_is_waited_for() -> None:
    # Longer than gRPC itself tries again.
    (port,), told = free_ports(1), threading.Event()

    def away(error: PinetuneError) -> None:
        told.set()

    with connect(f"127.0.0.1:{port}") as channel, ThreadPoolExecutor() as pool:
        client = GradingClient(channel, patience_seconds=60.0, away=away)
        graded = pool.submit(client.grade_samples, NUMBER, [Sample("4", answer(4))])
        valid = pool.submit(client.validate, NUMBER)
        assert told.wait(30)
        pod = start("grading", PodSettings(grpc_port=port, grace_seconds=1.0), build)
        assert graded.result(60).grades[0].score == 1.0
        assert valid.result(60).fingerprint
        pod.close()


def test_a_service_that_stays_away_is_given_up_after_the_patience() -> None:
    with connect(f"127.0.0.1:{free_ports(1)[0]}") as channel, pytest.raises(Unavailable):
        GradingClient(channel).validate(NUMBER)
