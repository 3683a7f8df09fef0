"""Answers of a given shape with every kind of tokenizer: bytes as letters, bytes as tokens of their own, nano's own."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import jsonschema_rs
import pytest
from tests.unit.generation.test_allowed_tokens import END, PERSON, MakeEngine, answers, of_schema
from tests.unit.generation.tiny_models import make_model, make_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from pinetune.generation.samples import AnswerFormat
from pinetune.generation.transformers_engine import TransformersEngine
from pinetune.learning.nano import make_tokenizer as make_nano_tokenizer
from pinetune.learning.settings import NanoSettings


def save_engine(folder: Path, tokenizer: PreTrainedTokenizerFast, make_engine: MakeEngine) -> TransformersEngine:
    """Return an engine with this tokenizer; its model has some more rows than that, as many models do."""
    end = tokenizer.eos_token_id
    make_model("llama", vocab_size=len(tokenizer) + 13, eos_token_id=end).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return make_engine(model=str(folder), chat_template="plain")


def byte_fallback_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer like Llama 2's: words begin with ▁, letters it does not know are bytes."""
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(['a yes or a no 0123456789 {}[]":,-./ gut schlecht true false null'] * 3, trainer)
    # Trained as special tokens so that they are in the vocabulary; they are ordinary ones.
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [one for one in state["added_tokens"] if one["id"] < 3]
    fast = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(state)), eos_token="</s>")
    assert fast.decode(fast.encode("yes 😀")) == "yes 😀"
    return fast


def nano_tokenizer() -> PreTrainedTokenizerFast:
    settings = NanoSettings(layer_count=1, width=32, head_count=1, vocabulary_size=300, max_tokens=128)
    return make_nano_tokenizer(["Tom has 3 apples. The answer is yes."], settings)


@pytest.mark.parametrize(
    "make", [make_tokenizer, nano_tokenizer, byte_fallback_tokenizer], ids=lambda one: one.__name__
)
def test_every_kind_of_tokenizer_can_be_held_to_a_shape(
    make: Callable[[], PreTrainedTokenizerFast], make_engine: MakeEngine, tmp_path: Path
) -> None:
    tokenizer = make()
    engine = save_engine(tmp_path, tokenizer, make_engine)
    validator = jsonschema_rs.validator_for(PERSON)
    for one in answers(engine, of_schema(PERSON)):
        assert max(one.token_ids) < len(tokenizer)
        assert one.finish_reason == "length" or validator.is_valid(json.loads(one.text)), one.text
    for one in answers(engine, AnswerFormat("regex", "[a-zé€😀]{3} [0-9]+!")):
        assert max(one.token_ids) < len(tokenizer)
        assert one.finish_reason == "length" or re.fullmatch("[a-zé€😀]{3} [0-9]+!", one.text), one.text


def test_special_tokens_are_no_text_of_an_answer(make_engine: MakeEngine) -> None:
    engine = make_engine()
    special = {*AutoTokenizer.from_pretrained(engine.describe().model).all_special_ids, *range(6)} - {END}
    for one in answers(engine, AnswerFormat("regex", "(.|\n)*"), count=32):
        assert not special & {*one.token_ids}
