"""Prompts as the service reads them: how an answer to each will be taken apart."""

import pytest
import torch
from tests.unit.generation.tiny_models import make_model, make_tokenizer

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.generation.requests import read_prompt
from pinetune.generation.samples import AnswerFormat, SamplingParams
from pinetune.generation.transformers_engine import EngineOptions, TransformersEngine


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> TransformersEngine:
    folder = tmp_path_factory.mktemp("model")
    torch.set_num_threads(1)
    make_model("llama").save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return TransformersEngine(EngineOptions(str(folder), threads=1, parts_format="think"))


@pytest.mark.parametrize(
    ("shape", "opened"),
    [
        (None, True),
        (AnswerFormat("json_schema", '{"type": "object"}'), False),
        (AnswerFormat("regex", "[0-9]+"), False),
        (AnswerFormat("regex", "[a-z ]+</think>[0-9]+"), True),
    ],
    ids=["no shape", "schema", "expression", "expression with reasoning"],
)
def test_a_shape_leaves_no_room_for_reasoning_that_the_prompt_opened(
    shape: AnswerFormat | None, opened: bool, engine: TransformersEngine
) -> None:
    token_ids = make_tokenizer().encode("2 + 2?<think>", add_special_tokens=False)
    prompt = wire.Prompt(prompt_id="a", token_ids=token_ids)
    sampling = SamplingParams(max_tokens=4, answer_format=shape)
    assert read_prompt(engine, prompt, sampling, field="prompt").reading.opened is opened
