"""Which shapes are taken, and how those are refused that cannot be kept."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.unit.generation.tiny_models import make_tokenizer
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase

from pinetune.generation.answer_grammars import GRAMMARS_MAX, AnswerGrammars
from pinetune.generation.samples import AnswerFormat
from pinetune.pod.errors import InvalidInput, Unsupported


def grammars(tokenizer: PreTrainedTokenizerBase | None = None) -> AnswerGrammars:
    tokenizer = tokenizer or make_tokenizer()
    return AnswerGrammars(tokenizer, len(tokenizer), [1])


def schema(**words: object) -> AnswerFormat:
    return AnswerFormat("json_schema", json.dumps(words))


def regex(text: str) -> AnswerFormat:
    return AnswerFormat("regex", text)


ITSELF = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
REFUSED = {
    "regex that is not closed": (regex("(a"), "unclosed group"),
    "regex that looks around": (regex("(?=a)b"), "look-around, including look-ahead and look-behind, is not supported"),
    "regex with a word border": (regex(r"\bword"), "lookarounds not supported yet"),
    "regex that nothing matches": (regex(r"a[^\x00-\U0010ffff]"), "it allows no answer that ends"),
    "regex of a million letters": (regex("(a{1000}){1000}"), "lexer error: too many expressions constructed"),
    "regex nested deeply": (regex("(" * 5000 + "a" + ")" * 5000), "exceed.* nest"),
    "no JSON": (AnswerFormat("json_schema", "{"), "EOF while parsing an object at line 1 column 1"),
    "no object": (AnswerFormat("json_schema", "[]"), "Expecting object schema"),
    "empty schema text": (AnswerFormat("json_schema", ""), "EOF while parsing"),
    "schema nested deeply": (AnswerFormat("json_schema", '{"items":' * 5000 + "{}" + "}" * 5000), "recursion limit"),
    "schema of a wrong type": (schema(type="text"), "Invalid type: text"),
    "schema with what is not known": (schema(type="array", uniqueItems=True), 'Unimplemented keys: .*"uniqueItems"'),
    "schema from elsewhere": (schema(**{"$ref": "http://example.org/a"}), "'http://example.org/a' is not present"),
    "schema that nothing fits": (schema(type="integer", minimum=5, maximum=1), r"minimum \(5\) is greater than max"),
    "schema that contains itself": (schema(**ITSELF), "Too many items"),
    "schema that is itself": (schema(**{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}), "no answer that"),
    "schema with a wrong pattern": (schema(type="string", pattern="(a"), "unclosed group"),
}


@pytest.mark.parametrize(("answer_format", "why"), REFUSED.values(), ids=REFUSED)
def test_a_shape_that_cannot_be_kept_is_refused_with_field_and_reason(answer_format: AnswerFormat, why: str) -> None:
    field = f"response_format.{answer_format.kind}"
    with pytest.raises(InvalidInput, match=f"^{field} cannot be kept: .*{why}") as caught:
        grammars().check(answer_format)
    assert (caught.value.reason, caught.value.metadata["field"]) == ("RESPONSE_FORMAT", field)


def test_a_shape_is_compiled_once_and_forgotten_when_many_came_after_it() -> None:
    compiler = grammars()
    first = compiler._grammar(regex("a+"))
    for number in range(GRAMMARS_MAX - 1):
        compiler.check(regex(f"a{{{number}}}"))
    assert compiler._grammar(regex("a+")) is first
    for number in range(GRAMMARS_MAX):
        compiler.check(regex(f"b{{{number}}}"))
    assert len(compiler._compiled) == GRAMMARS_MAX
    assert compiler._grammar(regex("a+")) is not first


def test_a_shape_that_was_refused_is_refused_again() -> None:
    compiler = grammars()
    for _ in range(2):
        with pytest.raises(InvalidInput):
            compiler.check(regex("("))
    compiler.check(regex("a"))


def test_threads_that_ask_for_one_shape_get_one_grammar() -> None:
    compiler = grammars()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(compiler._grammar, [regex("[a-z]{3,9}")] * 32))
    assert len({id(grammar) for grammar in found}) == 1


def test_a_tokenizer_that_cannot_be_read_is_refused_when_a_shape_is_asked_for() -> None:
    compiler = grammars(ByT5Tokenizer())
    with pytest.raises(Unsupported, match=r"^response_format: the tokens of this model cannot be held against a shape"):
        compiler.check(regex("a"))
