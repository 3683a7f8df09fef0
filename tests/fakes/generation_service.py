"""A GenerationService that remembers its prompts and answers each with the text that a test says."""

import threading
from collections.abc import Callable

import grpc

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.pod.server import RegisteredService

SERVICE_NAME = wire.DESCRIPTOR.services_by_name["GenerationService"].full_name


class FakeGenerationService:
    """Answers Generate; a prompt is three tokens and an answer two. What `answer` raises becomes the call's status."""

    def __init__(self, answer: Callable[[wire.Prompt], str]) -> None:
        self.answer = answer
        self.finish_reason = rollout_pb2.FINISH_REASON_STOP
        self.seen: list[wire.GenerateRequest] = []
        self._lock = threading.Lock()

    def generate(self, request: wire.GenerateRequest, context: grpc.ServicerContext) -> wire.GenerateResponse:
        with self._lock:
            self.seen.append(request)
        return wire.GenerateResponse(prompts=[self._completed(prompt) for prompt in request.prompts])

    def _completed(self, prompt: wire.Prompt) -> wire.PromptCompletions:
        completion = rollout_pb2.Completion(
            text=self.answer(prompt), token_ids=[4, 2], logprobs=[-0.1, -0.2], finish_reason=self.finish_reason
        )
        return wire.PromptCompletions(prompt_id=prompt.prompt_id, completions=[completion], prompt_token_ids=[5, 6, 7])

    def registered(self) -> RegisteredService:
        """Return the service as a pod takes it."""
        method = grpc.unary_unary_rpc_method_handler(
            self.generate,
            request_deserializer=wire.GenerateRequest.FromString,
            response_serializer=wire.GenerateResponse.SerializeToString,
        )
        handler = grpc.method_handlers_generic_handler(SERVICE_NAME, {"Generate": method})
        return RegisteredService(SERVICE_NAME, lambda server: server.add_generic_rpc_handlers((handler,)))
