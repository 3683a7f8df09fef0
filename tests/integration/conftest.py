"""Samplers with a tiny model, for tests of how policies reach them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pinetune.generation.service import GenerationService


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model."""
    from tests.unit.generation.tiny_models import make_model, make_tokenizer

    folder = tmp_path_factory.mktemp("llama")
    make_model("llama").save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def start_sampler(tiny_llama: Path, serve: Callable[..., str]) -> Callable[..., str]:
    """A function that starts a sampler, of a kind of `GenerationService`, and returns its address."""
    # Imported here: torch takes seconds, and few tests of this folder need it.
    import torch

    from pinetune.api.generation.v1.generation_pb2_grpc import add_GenerationServiceServicer_to_server
    from pinetune.generation.service import SERVICE_NAME, GenerationService
    from pinetune.generation.transformers_engine import EngineOptions, TransformersEngine
    from pinetune.pod.server import RegisteredService

    torch.set_num_threads(1)

    def start(kind: "Callable[[], GenerationService]" = GenerationService) -> str:
        service = kind()
        service.hold(TransformersEngine(EngineOptions(str(tiny_llama), threads=1)))
        return serve(
            [RegisteredService(SERVICE_NAME, lambda server: add_GenerationServiceServicer_to_server(service, server))]
        )

    return start
