"""Answers of a given shape: that they have it, and that among those that do they are drawn as the policy says."""

import json
import random
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path

import jsonschema_rs
import pytest
import torch
from tests.unit.generation.test_in_flight import sample_while_loading
from tests.unit.generation.test_sampling import plain_draw
from tests.unit.generation.test_weights import tensors_of, write_policy
from tests.unit.generation.tiny_models import make_model, make_tokenizer, plain_logprobs, prompts_of
from transformers import AutoModelForCausalLM

from pinetune.generation.allowed_tokens import unpacked
from pinetune.generation.engine import Caller
from pinetune.generation.samples import AnswerFormat, Prompt, SampledCompletion, SampledTokens, SamplingParams
from pinetune.generation.sampling import uniforms
from pinetune.generation.transformers_engine import TransformersEngine
from pinetune.pod.errors import Broken, InvalidInput

MakeEngine = Callable[..., TransformersEngine]
END = 1
PROMPTS = [Prompt("short", (9, 17, 30)), Prompt("longer", (200, 7, 99, 12, 64))]

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 4},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "mood": {"enum": ["gut", "schlecht", "ça va", "😀", None]},
        "tags": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
    },
    "required": ["name", "age", "mood", "tags"],
    "additionalProperties": False,
}
TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"v": {"enum": [1, 2]}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["v", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
SCHEMAS = {
    "person": PERSON,
    "tree": TREE,
    "number": {"type": "number", "minimum": -1.5, "maximum": 1.5},
    "date": {"type": "string", "format": "date"},
    "pattern": {"type": "string", "pattern": "^[a-zé]{2,5}-[0-9]{2}$"},
    "choice": {"oneOf": [{"const": "ja"}, {"type": "array", "items": {"enum": ["\\", '"', "\n"]}, "maxItems": 2}]},
}
REGEXES = [
    r"(yes|no) [0-9]{3}",
    r"[äöüß€😀]{2,5}",
    r"[0-9]{1,4}(,[0-9]+)?",
    r"(?i)answer: [a-d]",
    r"[A-ZÄÖÜ][a-zäöü]{1,8}",
    r"a*b?",
    r"[^\x00-\x7f]{3}",
    "line\nbreak|tab\t/slash\"quote'",
    r"",
]


def of_schema(schema: object) -> AnswerFormat:
    return AnswerFormat("json_schema", json.dumps(schema))


def answers(engine: TransformersEngine, answer_format: AnswerFormat, count: int = 12) -> list[SampledCompletion]:
    sampling = SamplingParams(max_tokens=110, seed=3, answer_format=answer_format)
    return [one for group in engine.generate(PROMPTS, count, sampling).groups for one in group]


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_every_answer_that_ends_fits_the_schema(schema: dict[str, object], make_engine: MakeEngine) -> None:
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    ended = [one for one in answers(make_engine(), of_schema(schema)) if one.finish_reason == "stop"]
    assert len(ended) > 12
    for one in ended:
        assert validator.is_valid(json.loads(one.text)), one.text
        assert one.token_ids.index(END) == len(one.token_ids) - 1
    assert len({one.text for one in ended}) > 1


@pytest.mark.parametrize("regex", REGEXES)
def test_every_answer_that_ends_matches_the_regular_expression(regex: str, make_engine: MakeEngine) -> None:
    ended = [one for one in answers(make_engine(), AnswerFormat("regex", regex)) if one.finish_reason == "stop"]
    assert len(ended) > 12
    for one in ended:
        assert re.fullmatch(regex, one.text), one.text


def test_the_token_limit_breaks_an_answer_off(make_engine: MakeEngine) -> None:
    sampling = SamplingParams(max_tokens=6, answer_format=AnswerFormat("regex", "[a-z]{40}"))
    for one in make_engine().generate(prompts_of(5), 8, sampling).groups[0]:
        assert (one.finish_reason, len(one.token_ids), END in one.token_ids) == ("length", 6, False)
        assert re.fullmatch("[a-z]{6,39}", one.text)


def test_min_tokens_holds_the_end_back_where_more_may_be_said(make_engine: MakeEngine) -> None:
    free = SamplingParams(max_tokens=60, answer_format=AnswerFormat("regex", "[ab]+"))
    held = SamplingParams(max_tokens=60, min_tokens=9, answer_format=AnswerFormat("regex", "[ab]+"))
    engine = make_engine()
    assert any(len(one.token_ids) < 9 for one in engine.generate(prompts_of(5), 64, free).groups[0])
    groups = engine.generate(prompts_of(5), 64, held).groups
    assert all(len(one.token_ids) >= 10 and re.fullmatch("[ab]+", one.text) for one in groups[0])
    assert any(one.finish_reason == "stop" for one in groups[0])


def test_a_shape_that_leaves_no_more_to_say_ends_before_min_tokens(make_engine: MakeEngine) -> None:
    sampling = SamplingParams(max_tokens=60, min_tokens=20, answer_format=AnswerFormat("regex", "[ab]{3}"))
    for one in make_engine().generate(prompts_of(5), 16, sampling).groups[0]:
        assert (one.finish_reason, one.token_ids[-1]) == ("stop", END)
        assert re.fullmatch("[ab]{3}", one.text)


# Wherever an answer stands, at least two bytes may follow, or none; see the next test for texts that are dictated.
LETTERS = "an éß"
LANGUAGE = ["".join(letters) for length in (2, 3, 4) for letters in product(LETTERS, repeat=length)]


ENDS = {text.encode() for text in LANGUAGE}
BEGINNINGS = {text[:length] for text in ENDS for length in range(1, len(text) + 1)}


def plain_allowed(said: bytes, pieces: list[bytes | None]) -> set[int]:
    """Return the tokens that may come after `said` in a text of `LANGUAGE`: for each, is it the beginning of one?"""
    allowed = {token for token, piece in enumerate(pieces) if piece and said + piece in BEGINNINGS}
    return allowed | {END} if said in ENDS else allowed


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingParams(16, seed=4),
        SamplingParams(16, seed=4, temperature=0.0),
        SamplingParams(16, seed=4, temperature=2.0),
        SamplingParams(16, seed=4, temperature=1.3, top_k=3),
        SamplingParams(16, seed=4, top_p=0.7),
        SamplingParams(16, seed=4, min_tokens=6),
    ],
    ids=str,
)
def test_draws_are_those_of_a_plain_loop_over_the_raw_probabilities_of_the_allowed_tokens(
    sampling: SamplingParams, make_engine: MakeEngine
) -> None:
    engine = make_engine()
    model = AutoModelForCausalLM.from_pretrained(engine.describe().model).eval()
    tokenizer = make_tokenizer()
    byte_of = {letter: byte for byte, letter in byte_letters().items()}
    pieces = [
        None if token in tokenizer.all_special_ids or token < 6 else bytes(byte_of[letter] for letter in text)
        for token, text in enumerate(tokenizer.convert_ids_to_tokens([*range(320)]))
    ]
    shaped = SamplingParams(**{**vars(sampling), "answer_format": AnswerFormat("regex", f"[{LETTERS}]{{2,4}}")})
    prompts = prompts_of(5, 3)
    for prompt, group in zip(prompts, engine.generate(prompts, 3, shaped).groups, strict=True):
        for sample_index, one in enumerate(group):
            numbers = uniforms(4, prompt.prompt_id, sample_index, 16)
            drawn, logprobs, said = list[int](), list[float](), b""
            while END not in drawn:
                with torch.no_grad():
                    logits = model(torch.tensor([[*prompt.token_ids, *drawn]])).logits[0, -1].tolist()
                allowed = plain_allowed(said, pieces)
                if len(drawn) < sampling.min_tokens and allowed != {END}:
                    allowed -= {END}
                token, logprob = plain_draw(logits, float(numbers[len(drawn)]), sampling, {*range(320)} - allowed)
                drawn.append(token)
                logprobs.append(logprob)
                said += pieces[token] or b""
            assert list(one.token_ids) == drawn
            assert one.text == said.decode() in LANGUAGE
            assert one.logprobs == pytest.approx(logprobs, abs=1e-5)


def test_a_text_that_the_shape_dictates_is_written_in_its_usual_tokens(make_engine: MakeEngine) -> None:
    text, tokenizer = "The answer is 7 apples", make_tokenizer()
    for one in answers(make_engine(), AnswerFormat("regex", text)):
        assert list(one.token_ids) == [*tokenizer.encode(text), END]


def byte_letters() -> dict[int, str]:
    """Return the letter that stands for each byte in a byte-level vocabulary."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {byte: chr(byte) for byte in seen} | {byte: chr(256 + place) for place, byte in enumerate(hidden)}


@pytest.mark.parametrize("kind", ["llama", "lfm2"])
def test_batching_order_and_what_other_rows_say_do_not_change_an_answer(kind: str, make_engine: MakeEngine) -> None:
    # Answers of very different lengths, so that rows leave the batch while others go on.
    sampling = SamplingParams(max_tokens=20, seed=7, answer_format=AnswerFormat("regex", "[a-z]{1,9}( [0-9]{4}){0,2}"))
    prompts = prompts_of(3, 21, 9)

    def texts(prompts: list[Prompt], **options: int) -> list[list[str]]:
        groups = make_engine(kind, **options).generate(prompts, 4, sampling).groups
        return [[one.text for one in group] for group in groups]

    together = texts(prompts)
    alone = [texts([prompt], max_batch_tokens=1)[0] for prompt in prompts]
    assert together == texts(prompts[::-1])[::-1] == texts(prompts, max_batch_tokens=150) == alone
    assert len({len(text) for group in together for text in group}) > 5


def test_the_same_seed_gives_the_same_answers_and_another_one_others(make_engine: MakeEngine) -> None:
    def sample(seed: int) -> list[list[SampledCompletion]]:
        sampling = SamplingParams(max_tokens=30, seed=seed, answer_format=AnswerFormat("regex", "[a-z]{8}"))
        return make_engine().generate(prompts_of(5), 8, sampling).groups

    assert sample(1) == sample(1)
    assert not {one.text for one in sample(1)[0]} & {one.text for one in sample(2)[0]}


@pytest.mark.parametrize(("kind", "lengths"), {"llama": (5, 9), "lfm2": (9, 9)}.items(), ids=["llama", "lfm2"])
def test_an_answer_keeps_its_shape_under_a_policy_that_is_loaded_in_the_middle_of_it(
    kind: str, lengths: tuple[int, ...], make_engine: MakeEngine, tmp_path: Path
) -> None:
    write_policy(tmp_path / "policy", tensors_of(kind, seed=1), version=3)
    make_model(kind, seed=1).save_pretrained(tmp_path / "model")
    engine, words = make_engine(kind), "([a-z]{2,3} ){12,14}"
    sampling = SamplingParams(max_tokens=60, seed=2, answer_format=AnswerFormat("regex", words))
    sampled, heard = sample_while_loading(engine, tmp_path / "policy", "continue", lengths, sampling)
    for prompt, group in zip(prompts_of(*lengths), sampled.groups, strict=True):
        for one in group:
            assert one.finish_reason == "stop"
            assert re.fullmatch(words, one.text)
            old, new = one.spans
            assert (old.policy_version, new.policy_version) == (0, 3)
            written_by_old = plain_logprobs(engine.describe().model, prompt.token_ids, one.token_ids)
            written_by_new = plain_logprobs(str(tmp_path / "model"), prompt.token_ids, one.token_ids)
            expected = written_by_old[: old.token_count] + written_by_new[old.token_count :]
            assert one.logprobs == pytest.approx(expected, abs=1e-4)
    assert {tokens.policy_version for tokens in heard} == {0, 3}


def test_a_listener_hears_an_answer_token_by_token(make_engine: MakeEngine) -> None:
    heard: list[SampledTokens] = []
    sampling = SamplingParams(max_tokens=60, seed=5, answer_format=of_schema(PERSON))
    groups = make_engine().generate(prompts_of(5, 8), 4, sampling, Caller(hears=heard.append)).groups
    for prompt, group in enumerate(groups):
        for sample_index, one in enumerate(group):
            mine = [part for part in heard if (part.prompt, part.sample_index) == (prompt, sample_index)]
            assert [token for part in mine for token in part.token_ids] == list(one.token_ids)
            assert len(mine) > len(one.token_ids) - 2


def test_a_policy_whose_weights_are_no_numbers_gives_no_answer_of_a_shape(
    make_engine: MakeEngine, tmp_path: Path
) -> None:
    model = make_model("llama")
    model.load_state_dict({name: tensor * torch.nan for name, tensor in model.state_dict().items()})
    model.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    engine = make_engine(model=str(tmp_path))
    with pytest.raises(Broken, match="the policy's probabilities are no numbers"):
        answers(engine, AnswerFormat("regex", "[a-z]{9}"))
    assert engine.load().running_count == 0


def test_a_shape_that_grows_too_large_in_the_middle_of_an_answer_ends_the_call_and_not_the_engine(
    make_engine: MakeEngine,
) -> None:
    engine = make_engine()
    with pytest.raises(
        InvalidInput, match=r"^response_format\.regex cannot be kept: lexer error: too many expressions"
    ):
        answers(engine, AnswerFormat("regex", "[xy]{8}(a{1000}){1000}"))
    assert len(answers(engine, AnswerFormat("regex", "[xy]{8}"))) == 24


def test_bits_become_truth_values_from_the_lowest_on() -> None:
    source = random.Random(0)
    words = [[source.randrange(-(2**31), 2**31) for _ in range(3)] for _ in range(4)]
    expected = [[bool(words[row][token // 32] >> (token % 32) & 1) for token in range(70)] for row in range(4)]
    assert unpacked(torch.tensor(words, dtype=torch.int32), 70).tolist() == expected
