"""Models in Hugging Face format, made once a session, and engines that hold them."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.generation.tiny_models import make_model, make_tokenizer

from pinetune.generation.transformers_engine import EngineOptions, TransformersEngine


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            path = tmp_path_factory.mktemp(kind)
            make_model(kind).save_pretrained(path)
            make_tokenizer().save_pretrained(path)
            made[kind] = path
        return made[kind]

    return folder


@pytest.fixture
def make_engine(model_folder: Callable[[str], Path]) -> Callable[..., TransformersEngine]:
    def make(kind: str = "llama", **options: object) -> TransformersEngine:
        settings = EngineOptions(model=str(model_folder(kind)), threads=1, max_model_tokens=128)
        return TransformersEngine(dataclasses.replace(settings, **options))  # type: ignore[arg-type]  # a test's own

    return make
