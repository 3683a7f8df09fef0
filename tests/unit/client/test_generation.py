"""How a batch of prompts is cut into calls: over a real connection, to a service that keeps what it was sent."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.generation import COMPLETIONS_PER_CALL, PROMPTS_PER_CALL, GenerationClient
from pinetune.client.prompts import Message, Prompt, Sampling


class Recording:
    """Answers every prompt with empty completions, and keeps how many prompts and samples each call asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def generate(self, request: wire.GenerateRequest, context: grpc.ServicerContext) -> wire.GenerateResponse:
        self.calls.append((len(request.prompts), request.sample_count))
        empty = [
            rollout_pb2.Completion(index=index, finish_reason=rollout_pb2.FINISH_REASON_STOP)
            for index in range(request.sample_count)
        ]
        answers = [wire.PromptCompletions(prompt_id=prompt.prompt_id, completions=empty) for prompt in request.prompts]
        return wire.GenerateResponse(prompts=answers)


@pytest.fixture
def service() -> Recording:
    return Recording()


@pytest.fixture
def client(service: Recording) -> Iterator[GenerationClient]:
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    handler: grpc.RpcMethodHandler[wire.GenerateRequest, wire.GenerateResponse] = grpc.unary_unary_rpc_method_handler(
        service.generate,
        request_deserializer=wire.GenerateRequest.FromString,
        response_serializer=wire.GenerateResponse.SerializeToString,
    )
    name = wire.DESCRIPTOR.services_by_name["GenerationService"].full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Generate": handler}),))
    port = server.add_insecure_port("localhost:0")
    server.start()
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        yield GenerationClient(channel)
    server.stop(None)


@pytest.mark.parametrize("sample_count", [1, 4, 7, 100, COMPLETIONS_PER_CALL, 5 * COMPLETIONS_PER_CALL])
def test_no_call_asks_for_more_than_its_limit_and_every_prompt_is_answered_in_its_place(
    client: GenerationClient, service: Recording, sample_count: int
) -> None:
    prompts = [Prompt(str(number), (Message("user", "2 + 2?"),)) for number in range(300 if sample_count < 8 else 12)]
    groups = client.generate(prompts, Sampling(sample_count=sample_count))
    assert [group[0].completion_id for group in groups] == [f"{prompt.prompt_id}-0" for prompt in prompts]
    assert {len(group) for group in groups} == {sample_count}
    for prompt_count, samples in service.calls:
        assert samples == sample_count
        assert prompt_count <= PROMPTS_PER_CALL
        # One prompt is never cut: its completions are a group.
        assert prompt_count * samples <= COMPLETIONS_PER_CALL or prompt_count == 1
    largest = max(1, min(PROMPTS_PER_CALL, COMPLETIONS_PER_CALL // sample_count))
    assert [count for count, _ in service.calls[:-1]] == [largest] * (len(service.calls) - 1)
