"""The gRPC side of grading: request bytes go to Rust as they come, reply bytes go back as they are.

The handlers have no (de)serialisers, so no Python message is ever made of a batch: 3.2 times as many calls a second as
with messages. Errors raised here become statuses in the pod's interceptor.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import grpc

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.grading import graders, metrics
from pinetune.grading.askers import Askers
from pinetune.grading.remote import hops
from pinetune.pod.errors import InvalidInput
from pinetune.pod.server import RegisteredService

DESCRIPTOR = wire.DESCRIPTOR.services_by_name["GradingService"]


class GradingService:
    """Answers Grade and ValidateGrader; holds no state but what its askers hold."""

    def __init__(self, askers: Askers | None = None) -> None:
        """Take the askers of the kinds that the core cannot grade; without them those are refused."""
        self._askers = askers or Askers({})

    def grade(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Grade a batch; raises InvalidInput where the grader or the batch's shape is wrong."""
        hops.enter(context.invocation_metadata())
        with metrics.in_flight() as begin, _counted_refusals():
            batch, tokens = self._graded(request, context)
            seconds = time.perf_counter() - begin
        metrics.note_batch(batch, seconds)
        # Messages in wire format merge by being joined, so the time needs no second look at the grades.
        return batch.reply + wire.GradeResponse(grading_seconds=seconds, judge_tokens=tokens).SerializeToString()

    def _graded(self, request: bytes, context: grpc.ServicerContext) -> tuple[graders.GradedBatch, Mapping[str, int]]:
        """Return the graded batch and the tokens of judge models, asking whom the grader needs."""
        outcome = graders.grade_or_ask(request)
        if isinstance(outcome, graders.GradedBatch):
            return outcome, {}
        cancelled = threading.Event()
        context.add_callback(cancelled.set)
        fresh = wire.GradeRequest.FromString(request).fresh_answers
        questions = [replace(part.questions, fresh=fresh) for part in outcome]
        answers = self._askers.answer(questions, seconds=context.time_remaining(), cancelled=cancelled)
        tokens: Counter[str] = Counter()
        for answer in answers:
            tokens.update(answer.judge_tokens)
        answered = [(part, answer.grades) for part, answer in zip(outcome, answers, strict=True)]
        return graders.grade_answered(request, answered), tokens

    def validate_grader(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Check a grader; raises InvalidInput that names field and reason."""
        with _counted_refusals():
            reply = graders.validate(request)
            self._askers.check(json.loads(wire.ValidateGraderResponse.FromString(reply).json))
        return reply

    def registered(self) -> RegisteredService:
        """Return the service as a pod takes it."""
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Grade": grpc.unary_unary_rpc_method_handler(self.grade),
            "ValidateGrader": grpc.unary_unary_rpc_method_handler(self.validate_grader),
        }
        handler = grpc.method_handlers_generic_handler(DESCRIPTOR.full_name, handlers)
        return RegisteredService(DESCRIPTOR.full_name, lambda server: server.add_generic_rpc_handlers((handler,)))


@contextmanager
def _counted_refusals() -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        metrics.REFUSALS.labels(error.reason).inc()
        raise
