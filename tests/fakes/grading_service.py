"""A GradingService that remembers what it was asked and answers what a test says."""

import threading
from collections.abc import Callable

import grpc

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.grading.service import DESCRIPTOR
from pinetune.pod.server import RegisteredService

Answer = Callable[[wire.GradeRequest], wire.GradeResponse]


def all_right(request: wire.GradeRequest) -> wire.GradeResponse:
    return wire.GradeResponse(grades=[rollout_pb2.Grade(score=1.0) for _ in request.output_texts])


class FakeGradingService:
    """Answers Grade; a PinetuneError that `answer` raises becomes the call's status, as in a real pod."""

    def __init__(self, answer: Answer = all_right) -> None:
        self.answer = answer
        self.seen: list[wire.GradeRequest] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self._lock = threading.Lock()

    def grade(self, request: wire.GradeRequest, context: grpc.ServicerContext) -> wire.GradeResponse:
        with self._lock:
            self.seen.append(request)
            self.metadata.append(dict(context.invocation_metadata()))
        return self.answer(request)

    def registered(self) -> RegisteredService:
        """Return the service as a pod takes it."""
        method = grpc.unary_unary_rpc_method_handler(
            self.grade,
            request_deserializer=wire.GradeRequest.FromString,
            response_serializer=wire.GradeResponse.SerializeToString,
        )
        handler = grpc.method_handlers_generic_handler(DESCRIPTOR.full_name, {"Grade": method})
        return RegisteredService(DESCRIPTOR.full_name, lambda server: server.add_generic_rpc_handlers((handler,)))
