"""The generation service over real gRPC with vLLM behind it: the tests of the service, on the other engine."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.test_generation_service import (
    REFUSED,
    Request,
    ask,
    generate,
    generate_request,
    stub,
    test_a_call_without_a_deadline_is_answered,
    test_a_caller_who_leaves_frees_the_engine,
    test_a_damaged_policy_is_data_loss,
    test_a_load_waits_for_completions_in_flight,
    test_a_loaded_policy_is_named_by_every_token,
    test_a_policy_that_is_not_there_is_not_found,
    test_a_shape_is_refused_as_for_sampling_without_any,
    test_tokens_and_completions_are_counted,
    test_what_is_tokenised_is_what_is_sampled_from_and_scored,
)
from tests.unit.generation.test_weights import write_policy
from tests.unit.generation.tiny_models import make_model
from torch import Tensor

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.generation.v1.generation_pb2_grpc import (
    GenerationServiceStub,
    add_GenerationServiceServicer_to_server,
)
from pinetune.generation.service import SERVICE_NAME, GenerationService
from pinetune.pod.errors import PinetuneError
from pinetune.pod.server import RegisteredService

if TYPE_CHECKING:
    from pinetune.generation.vllm_engine import VllmEngine

__all__ = [
    "stub",
    "test_a_call_without_a_deadline_is_answered",
    "test_a_caller_who_leaves_frees_the_engine",
    "test_a_damaged_policy_is_data_loss",
    "test_a_load_waits_for_completions_in_flight",
    "test_a_loaded_policy_is_named_by_every_token",
    "test_a_policy_that_is_not_there_is_not_found",
    "test_a_shape_is_refused_as_for_sampling_without_any",
    "test_tokens_and_completions_are_counted",
    "test_what_is_tokenised_is_what_is_sampled_from_and_scored",
]
OWN = {"response format", "loading in flight"}
"""What the transformers engine refuses and vLLM does."""


def tensors_of(seed: int) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in make_model("llama", seed, head_dim=32).named_parameters()}


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    write_policy(tmp_path / "policy", tensors_of(seed=1), version=3)
    return tmp_path / "policy"


@pytest.fixture
def address(make_engine: Callable[..., "VllmEngine"], serve: Callable[..., str], tmp_path: Path) -> Iterator[str]:
    """The engine is the module's, so each test leaves it with the base model."""
    engine = make_engine("llama")
    service = GenerationService()
    service.hold(engine)
    yield serve(
        [RegisteredService(SERVICE_NAME, lambda server: add_GenerationServiceServicer_to_server(service, server))]
    )
    write_policy(tmp_path / "base", tensors_of(seed=0), version=0)
    engine.load_policy(str(tmp_path / "base"), 0, "")


def test_the_same_request_gives_the_same_tokens(stub: GenerationServiceStub) -> None:
    def ids(response: wire.GenerateResponse) -> list[list[int]]:
        return [list(one.token_ids) for group in response.prompts for one in group.completions]

    assert ids(generate(stub, generate_request())) == ids(generate(stub, generate_request()))


@pytest.mark.parametrize(
    ("request_message", "kind", "sentence"),
    [case for name, case in REFUSED.items() if name not in OWN],
    ids=[name for name in REFUSED if name not in OWN],
)
def test_what_is_out_of_bounds_is_refused_by_name(
    request_message: Request, kind: type[PinetuneError], sentence: str, stub: GenerationServiceStub
) -> None:
    with pytest.raises(kind, match=sentence):
        ask(stub, request_message)


def test_answers_have_the_shape_that_is_asked_for(stub: GenerationServiceStub) -> None:
    response = generate(stub, generate_request(response_format=wire.ResponseFormat(regex="[ab]{3}")))
    texts = [one.text for group in response.prompts for one in group.completions]
    assert all(len(text) == 3 and set(text) <= set("ab") for text in texts), texts
