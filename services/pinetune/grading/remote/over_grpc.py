"""Asks a GradingService elsewhere: the samples of a batch in one Grade call, with the inner grader of `settings_json`.

Its grades are passed on as they are, their errors too.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence

import grpc

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.api.grading.v1.grading_pb2_grpc import GradingServiceStub
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.rollout import Grade, GradeError
from pinetune.grading.remote import hops
from pinetune.grading.remote.over_http import failed
from pinetune.grading.remote.question import RemoteQuestion, read_question
from pinetune.pod.errors import Broken, Cancelled, TimedOut, Transient, from_rpc_error

SAMPLES_PER_CALL = 1024
CHARACTERS_PER_CALL = 8 * 1024 * 1024
"""Bounds of one call, so that it is a message; a single sample may be larger."""


def parts_of(bodies: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut the questions of a batch into those of one call each."""
    start, size = 0, 0
    for position, body in enumerate(bodies):
        if position > start and (position - start >= SAMPLES_PER_CALL or size + len(body) > CHARACTERS_PER_CALL):
            yield bodies[start:position]
            start, size = position, 0
        size += len(body)
    yield bodies[start:]


def ask(
    channel: grpc.Channel, grader_json: str, bodies: Sequence[str], *, timeout_seconds: float, deadline: float
) -> tuple[list[Grade], Mapping[str, int]]:
    """Ask once and return the grades and the tokens of judge models beyond; what fails is the error of every grade."""
    left_seconds = deadline - time.monotonic()
    if left_seconds <= 0:
        return _late(bodies, "the question waited for its turn until the grade's deadline"), {}
    request = _request(grader_json, [read_question(body) for body in bodies])
    try:
        response = GradingServiceStub(channel).Grade(
            request, timeout=min(timeout_seconds, left_seconds), metadata=(hops.shown(),)
        )
    except grpc.RpcError as error:
        fault = from_rpc_error(error)
        if isinstance(fault, TimedOut) and left_seconds < timeout_seconds:
            return _late(bodies, "no reply of the remote grader before the grade's deadline"), {}
        retryable = isinstance(fault, Transient | TimedOut | Broken | Cancelled)
        return [failed(f"remote grader: {fault.reason}: {fault.message}", retryable=retryable)] * len(bodies), {}
    if len(response.grades) != len(bodies):
        detail = f"remote grader: {len(bodies)} samples were sent and {len(response.grades)} grades came back"
        return [failed(detail, retryable=False)] * len(bodies), {}
    return [_read(grade) for grade in response.grades], dict(response.judge_tokens)


def _request(grader_json: str, questions: Sequence[RemoteQuestion]) -> wire.GradeRequest:
    """Spell the questions as a batch in which each distinct item stands once."""
    places: dict[str, int] = {}
    indexes = [places.setdefault(question.item_json, len(places)) for question in questions]
    samples = [question.sample_json for question in questions]
    return wire.GradeRequest(
        grader=wire.GraderSpec(json=grader_json),
        items_json=list(places),
        output_texts=[question.output_text for question in questions],
        item_indexes=indexes,
        samples_json=[sample or "{}" for sample in samples] if any(samples) else [],
    )


def _read(message: rollout_pb2.Grade) -> Grade:
    try:
        grade = Grade.from_wire(message)
    except ValueError as error:  # An error class of a newer release.
        return failed(f"remote grader: its grade is unusable: {error}", retryable=False)
    if grade.score is None or math.isfinite(grade.score):
        return grade
    return failed(f"remote grader: its score {grade.score} is not finite", retryable=False)


def _late(bodies: Sequence[str], detail: str) -> list[Grade]:
    return [Grade(error=GradeError("DEADLINE", detail, retryable=True))] * len(bodies)
