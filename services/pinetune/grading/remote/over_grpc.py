"""Asks a GradingService elsewhere: the samples of a batch in one Grade call, with the inner grader of `settings_json`.

Its grades are passed on as they are, their errors too.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import grpc

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.api.grading.v1.grading_pb2_grpc import GradingServiceStub
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.rollout import Grade
from pinetune.grading.remote import hops
from pinetune.grading.remote.call import RemoteCall, failed, late
from pinetune.grading.remote.question import RemoteQuestion, UnsendableError, read_question
from pinetune.pod import tokens
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


def ask(channel: grpc.Channel, call: RemoteCall, bodies: Sequence[str]) -> tuple[list[Grade], Mapping[str, int]]:
    """Ask once and return the grades and the tokens of judge models beyond; what fails is the error of every grade."""
    questions = [_read_question(body) for body in bodies]
    sent = [question for question in questions if isinstance(question, RemoteQuestion)]
    grades, used = _grades(channel, call, sent) if sent else ([], {})
    answered = iter(grades)
    return [next(answered) if isinstance(question, RemoteQuestion) else question for question in questions], used


def _grades(
    channel: grpc.Channel, call: RemoteCall, questions: Sequence[RemoteQuestion]
) -> tuple[list[Grade], Mapping[str, int]]:
    left_seconds, count = call.left_seconds, len(questions)
    if left_seconds <= 0:
        return [late("the question waited for its turn until the grade's deadline")] * count, {}
    metadata = [hops.shown()] if call.token is None else [hops.shown(), tokens.shown(call.token)]
    try:
        response = GradingServiceStub(channel).Grade(
            _request(call, questions), timeout=min(call.timeout_seconds, left_seconds), metadata=tuple(metadata)
        )
    except grpc.RpcError as error:
        fault = from_rpc_error(error)
        if isinstance(fault, TimedOut) and left_seconds < call.timeout_seconds:
            return [late("no reply of the remote grader before the grade's deadline")] * count, {}
        retryable = isinstance(fault, Transient | TimedOut | Broken | Cancelled)
        words = call.without_token(f"{fault.reason}: {fault.message}")
        return [failed(f"remote grader at {call.endpoint.shown}: {words}", retryable=retryable)] * count, {}
    if len(response.grades) != count:
        detail = f"remote grader: {count} samples were sent and {len(response.grades)} grades came back"
        return [failed(detail, retryable=False)] * count, {}
    return [_read(grade) for grade in response.grades], dict(response.judge_tokens)


def _read_question(body: str) -> RemoteQuestion | Grade:
    try:
        return read_question(body)
    except UnsendableError as error:
        return failed(f"remote grader: {error}", retryable=False)


def _request(call: RemoteCall, questions: Sequence[RemoteQuestion]) -> wire.GradeRequest:
    """Spell the questions as a batch in which each distinct item stands once."""
    places: dict[str, int] = {}
    indexes = [places.setdefault(question.item_json, len(places)) for question in questions]
    samples = [question.sample_json for question in questions]
    return wire.GradeRequest(
        grader=wire.GraderSpec(json=call.settings_json),
        items_json=list(places),
        output_texts=[question.output_text for question in questions],
        item_indexes=indexes,
        samples_json=[sample or "{}" for sample in samples] if any(samples) else [],
        fresh_answers=call.fresh,
    )


def _read(message: rollout_pb2.Grade) -> Grade:
    try:
        grade = Grade.from_wire(message)
    except ValueError as error:  # An error class of a newer release.
        return failed(f"remote grader: its grade is unusable: {error}", retryable=False)
    if grade.score is None or math.isfinite(grade.score):
        return grade
    return failed(f"remote grader: its score {grade.score} is not finite", retryable=False)
