"""The tokenizer's one rule, the chat template, and that equal requests make equal models."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from pinetune.learning.nano import NanoModel, make_nano_model
from pinetune.learning.settings import NanoSettings
from pinetune.pod.errors import Conflict, InvalidInput, NotFound

SETTINGS = NanoSettings(layer_count=2, width=32, head_count=2, vocabulary_size=400, max_tokens=64)
TEXTS = [
    "Tom has 12 apples and buys 30 more. How many apples does Tom have?",
    "12 + 30 = 42.\nThe answer is 42.",
    "The gene is STXBP1. The gene is SCN1A. The seizure began at 3 months (severe).",
] * 3


def write_corpus(folder: Path, texts: list[str]) -> str:
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps(text) + "\n" for text in texts))
    return str(path)


def make(folder: Path, settings: NanoSettings = SETTINGS, *, seed: int = 1, name: str = "model") -> NanoModel:
    corpus_uri = write_corpus(folder, TEXTS)
    return make_nano_model(settings, corpus_uri=corpus_uri, model_uri=str(folder / name), seed=seed)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    folder = tmp_path_factory.mktemp("nano")
    make(folder)
    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder / "model")
    return loaded


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("120 + 30", ["1", "2", "0", " +", " 3", "0"]),
        (" is STXBP1.", [" is", " S", "T", "X", "B", "P", "1", "."]),
        (" The gene", [" The", " gene"]),
        ("Tom apples", ["Tom", " apples"]),
        (".\nThe", [".", "\n", "The"]),
    ],
)
def test_digits_and_capitals_stand_alone_and_frequent_words_are_one_token(
    tokenizer: PreTrainedTokenizerBase, text: str, pieces: list[str]
) -> None:
    assert [tokenizer.decode([token]) for token in tokenizer(text).input_ids] == pieces


@pytest.mark.parametrize("text", ["naïve 字 \t x\r\n  y", "A1b2\n\n C", "😀 — “quoted”", ""])
def test_any_text_comes_back_as_it_was(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_the_chat_template_writes_turns_that_end_and_begins_the_answer(tokenizer: PreTrainedTokenizerBase) -> None:
    turns = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi\n"}]
    written = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    assert written == "<|system|>Be brief.<|end|><|user|>Hi\n<|end|><|assistant|>"
    ids = tokenizer(written).input_ids
    assert tokenizer.decode(ids) == written
    assert ids[-1] == tokenizer.convert_tokens_to_ids("<|assistant|>")
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|end|>", "<|pad|>")


def test_equal_requests_make_equal_bytes_and_another_seed_other_weights(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make(tmp_path, name=name)
    make(tmp_path, seed=2, name="three")
    one, two, three = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("one", "two", "three"))
    assert one == two
    assert one["model.safetensors"] != three["model.safetensors"]
    assert one["tokenizer.json"] == three["tokenizer.json"]


def test_drawing_the_weights_leaves_the_random_state_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    make(tmp_path)
    assert torch.equal(before, torch.get_rng_state())


def test_the_model_loads_as_it_was_made(tmp_path: Path) -> None:
    made = make(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert sum(parameter.numel() for parameter in model.parameters()) == made.parameter_count
    assert model.config.vocab_size == made.vocabulary_size == len(AutoTokenizer.from_pretrained(tmp_path / "model"))
    assert model.generation_config.eos_token_id == 0
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_a_complete_folder_is_left_and_one_of_another_request_is_refused(tmp_path: Path) -> None:
    made = make(tmp_path)
    written = (tmp_path / "model" / "model.safetensors").stat().st_mtime_ns
    assert make(tmp_path) == made
    assert (tmp_path / "model" / "model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(Conflict, match="made from other settings"):
        make(tmp_path, seed=9)


def test_an_unfinished_folder_is_made_anew(tmp_path: Path) -> None:
    made = make(tmp_path)
    (tmp_path / "model" / "nano.json").unlink()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"half")
    assert make(tmp_path) == made
    AutoModelForCausalLM.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize(
    ("field", "value"),
    [("layer_count", 0), ("head_count", 0), ("vocabulary_size", 260), ("max_tokens", 1), ("width", 33)],
)
def test_a_shape_that_cannot_be_is_refused_by_name(tmp_path: Path, field: str, value: int) -> None:
    with pytest.raises(InvalidInput, match=f"settings.{field} must be .*given {value}"):
        make(tmp_path, replace(SETTINGS, **{field: value}))


@pytest.mark.parametrize(
    ("lines", "message"), [("", "holds no text"), ('"a"\n{"b": 1}\n', "line 2"), ("not json\n", "line 1")]
)
def test_a_corpus_that_is_no_list_of_texts_is_refused(tmp_path: Path, lines: str, message: str) -> None:
    (tmp_path / "bad.jsonl").write_text(lines)
    with pytest.raises(InvalidInput, match=message):
        make_nano_model(SETTINGS, corpus_uri=str(tmp_path / "bad.jsonl"), model_uri=str(tmp_path / "m"), seed=0)


def test_a_missing_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        make_nano_model(SETTINGS, corpus_uri=str(tmp_path / "no.jsonl"), model_uri=str(tmp_path / "m"), seed=0)
