"""Several samples, one answer: a generation service that asks a real grading service which."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.generation.tiny_models import make_model, make_tokenizer

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.generation.v1.generation_pb2_grpc import (
    GenerationServiceStub,
    add_GenerationServiceServicer_to_server,
)
from pinetune.client.calls import call
from pinetune.client.grading import GradingClient
from pinetune.generation.service import SERVICE_NAME, GenerationService
from pinetune.generation.transformers_engine import EngineOptions, TransformersEngine
from pinetune.grading.__main__ import build
from pinetune.pod.channel import connect
from pinetune.pod.errors import Conflict, InvalidInput
from pinetune.pod.server import PodSettings, RegisteredService, start

# A letter anywhere in the text, so that random text has answers to vote for.
VOTE = {"type": "regex", "name": "letter", "pattern": "([a-e])", "input": "{{sample.output_text}}"}
LENGTH = {
    "type": "python",
    "name": "length",
    "source": "def grade(sample, item):\n    return len(sample['output_text']) / 1000\n",
}


@pytest.fixture
def stub(tmp_path: Path, serve: Callable[..., str]) -> Iterator[GenerationServiceStub]:
    make_model("llama").save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    pod = start("grading", PodSettings(grace_seconds=1.0), build)
    with connect(pod.grpc_address) as grading:
        service = GenerationService(grading=GradingClient(grading))
        service.hold(TransformersEngine(EngineOptions(str(tmp_path), threads=1)))
        address = serve(
            [RegisteredService(SERVICE_NAME, lambda server: add_GenerationServiceServicer_to_server(service, server))]
        )
        with connect(address) as channel:
            yield GenerationServiceStub(channel)
    pod.close()


def ask(stub: GenerationServiceStub, rule: wire.SelectionRule, grader: object) -> list[wire.PromptCompletions]:
    request = wire.GenerateRequest(
        prompts=[wire.Prompt(prompt_id="a", token_ids=[9, 50, 17]), wire.Prompt(prompt_id="b", token_ids=[8, 20])],
        sample_count=12,
        sampling=wire.SamplingParams(temperature=1.0, max_tokens=12, seed=5),
        selection=wire.Selection(rule=rule, grader_json=json.dumps(grader) if grader else ""),
    )
    return list(call(stub.Generate, request, deadline_seconds=60).prompts)


def test_the_best_by_a_grader_is_named_with_every_samples_score(stub: GenerationServiceStub) -> None:
    for group in ask(stub, wire.SELECTION_RULE_BEST_OF, LENGTH):
        lengths = [len(completion.text) / 1000 for completion in group.completions]
        assert list(group.selection_weights) == pytest.approx(lengths)
        assert group.selected_index == lengths.index(max(lengths))


def test_the_commonest_answer_is_named_with_every_samples_share(stub: GenerationServiceStub) -> None:
    for group in ask(stub, wire.SELECTION_RULE_MAJORITY_VOTE, VOTE):
        found = [next((letter for letter in one.text if letter in "abcde"), "") for one in group.completions]
        votes = Counter(letter for letter in found if letter)
        assert len(votes) > 1, "the samples agree, so the test shows nothing"
        winner = found[group.selected_index]
        assert votes[winner] == max(votes.values())
        assert group.selected_index == found.index(winner)
        shares = [votes[letter] / votes.total() if letter else 0.0 for letter in found]
        assert list(group.selection_weights) == pytest.approx(shares)


def test_without_a_selection_none_is_named(stub: GenerationServiceStub) -> None:
    for group in ask(stub, wire.SELECTION_RULE_UNSPECIFIED, None):
        assert not group.HasField("selected_index")
        assert not group.selection_weights


def test_a_grader_that_needs_an_item_is_refused_in_its_own_words(stub: GenerationServiceStub) -> None:
    grader = {
        "type": "string_check",
        "name": "s",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "operation": "eq",
    }
    with pytest.raises(
        Conflict, match=r"none of 24 samples could be graded; 24x INVALID_VARIABLE.*may not need an item"
    ):
        ask(stub, wire.SELECTION_RULE_BEST_OF, grader)


@pytest.mark.parametrize(
    ("grader", "sentence"),
    [(None, r"selection\.grader_json is required"), ({"type": "magic"}, "magic")],
    ids=["none", "unknown"],
)
def test_a_grader_that_is_none_is_refused(grader: object, sentence: str, stub: GenerationServiceStub) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        ask(stub, wire.SELECTION_RULE_BEST_OF, grader)
