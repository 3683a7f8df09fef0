"""Generation services on real ports that a test stops, slows down and starts again."""

import threading
from collections.abc import Callable, Iterator

import grpc

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.generation.v1.generation_pb2_grpc import (
    GenerationServiceServicer,
    add_GenerationServiceServicer_to_server,
)
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.generation import GenerationClient
from pinetune.client.replica_set import Replica
from pinetune.pod.channel import connect
from pinetune.pod.errors import Conflict, Unsupported
from pinetune.pod.server import Pod, PodSettings, RegisteredService, start

SERVICE_NAME = wire.DESCRIPTOR.services_by_name["GenerationService"].full_name


class FakeReplica(GenerationServiceServicer):
    """One replica: answers each prompt with tokens made from its id; keeps what it was asked and what it loaded."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[list[str]] = []
        """The prompt ids of each call of Generate."""
        self.cancelled = threading.Event()
        """Set when a caller has taken a call back."""
        self.before: Callable[[wire.GenerateRequest, int], None] = lambda request, call: None
        """Run before each answer with the number of the call, from 1; may wait, or raise the call's error."""
        self.after: Callable[[wire.GenerateResponse], None] = lambda response: None
        """May change an answer."""
        self.shape: Callable[[wire.ResponseFormat], None] = lambda shape: None
        """Told of each shape of answers that it is to look at; may raise the call's error."""
        self.policy = wire.PolicyState(policy_version=0, content_hash="base")
        self.logprob = -0.5
        """What it scores every token with."""
        self._lock = threading.Lock()
        self._pod: Pod | None = None
        self._port = 0
        self.begin()
        self.channel = connect(f"127.0.0.1:{self._port}")
        self.replica = Replica(name, GenerationClient(self.channel))

    def begin(self) -> None:
        """Serve, on the port that it had before; a new process holds the base model."""
        self.policy = wire.PolicyState(policy_version=0, content_hash="base")
        service = RegisteredService(SERVICE_NAME, lambda server: add_GenerationServiceServicer_to_server(self, server))
        settings = PodSettings(grpc_port=self._port, grace_seconds=0.0)
        self._pod = start("test", settings, lambda _: [service])
        self._port = int(self._pod.grpc_address.rsplit(":", 1)[1])

    def end(self) -> None:
        """Be gone, calls in flight included."""
        if self._pod is not None:
            self._pod.close()
            self._pod = None

    def close(self) -> None:
        """Be gone for good."""
        self.end()
        self.channel.close()

    def Generate(self, request: wire.GenerateRequest, context: grpc.ServicerContext) -> wire.GenerateResponse:
        context.add_callback(lambda: None if context.code() is grpc.StatusCode.OK else self.cancelled.set())  # type: ignore[attr-defined]  # there, and not in the stubs
        with self._lock:
            self.asked.append([prompt.prompt_id for prompt in request.prompts])
            number = len(self.asked)
        if self.policy.policy_version < request.min_policy_version:
            raise Conflict("the base model is held", reason="POLICY_TOO_OLD")
        self.before(request, number)
        response = wire.GenerateResponse(
            prompts=[self._answer(prompt.prompt_id, request.sample_count) for prompt in request.prompts]
        )
        self.after(response)
        return response

    def LoadPolicy(self, request: wire.LoadPolicyRequest, context: grpc.ServicerContext) -> wire.LoadPolicyResponse:
        self.policy = wire.PolicyState(policy_version=request.policy_version, content_hash=request.content_hash)
        return wire.LoadPolicyResponse(policy=self.policy)

    def DescribeEngine(
        self, request: wire.DescribeEngineRequest, context: grpc.ServicerContext
    ) -> wire.DescribeEngineResponse:
        return wire.DescribeEngineResponse(policy=self.policy, parameter_count=7, max_model_tokens=64)

    def Score(self, request: wire.ScoreRequest, context: grpc.ServicerContext) -> wire.ScoreResponse:
        scores = [[self.logprob] * len(one.token_ids) for one in request.sequences]
        return wire.ScoreResponse(sequences=[wire.TokenLogprobs(logprobs=one) for one in scores], policy=self.policy)

    def Tokenize(self, request: wire.TokenizeRequest, context: grpc.ServicerContext) -> wire.TokenizeResponse:
        if request.HasField("response_format"):
            self.shape(request.response_format)
        return wire.TokenizeResponse(examples=[wire.TokenizedExample(prompt_token_ids=[1]) for _ in request.examples])

    def StreamGenerate(
        self, request: wire.StreamGenerateRequest, context: grpc.ServicerContext
    ) -> Iterator[wire.StreamGenerateResponse]:
        raise Unsupported("nobody asks a fake for streams", reason="STREAMING_UNSUPPORTED")

    def StreamPolicy(
        self, request_iterator: Iterator[wire.StreamPolicyRequest], context: grpc.ServicerContext
    ) -> wire.StreamPolicyResponse:
        raise Unsupported("nobody asks a fake for streams", reason="STREAMING_UNSUPPORTED")

    def ReceivePolicy(
        self, request: wire.ReceivePolicyRequest, context: grpc.ServicerContext
    ) -> wire.ReceivePolicyResponse:
        raise Unsupported("nobody broadcasts to a fake", reason="STREAMING_UNSUPPORTED")

    def DescribePolicy(
        self, request: wire.DescribePolicyRequest, context: grpc.ServicerContext
    ) -> wire.DescribePolicyResponse:
        raise Unsupported("nobody asks a fake for its tensors", reason="STREAMING_UNSUPPORTED")

    def _answer(self, prompt_id: str, sample_count: int) -> wire.PromptCompletions:
        return wire.PromptCompletions(
            prompt_id=prompt_id,
            completions=[
                rollout_pb2.Completion(
                    index=index,
                    text=f"{prompt_id} {index}",
                    token_ids=[index],
                    logprobs=[-0.5],
                    finish_reason=rollout_pb2.FINISH_REASON_STOP,
                )
                for index in range(sample_count)
            ],
        )
