import json

import pytest
from pydantic import JsonValue

from pinetune.client.grader_samples import read_row, sample_of
from pinetune.pod.errors import InvalidInput


def test_a_sample_is_a_text_with_its_item() -> None:
    sample = sample_of({"sample": "it is 4", "item": {"answer": "ä"}, "remark": "left alone"})
    assert (sample.text, sample.values_json) == ("it is 4", "")
    assert json.loads(sample.fields_json) == {"answer": "ä"}


def test_a_sample_may_carry_calls_instead_of_a_text() -> None:
    calls: JsonValue = [{"function": {"name": "f", "arguments": "{}"}}]
    sample = sample_of({"sample": {"output_text": None, "output_tools": calls, "output_json": None}, "item": {}})
    assert sample.text == ""
    assert json.loads(sample.values_json) == {"output_tools": calls}
    assert sample.excerpt.startswith('{"output_tools"')


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({}, "sample"),
        ({"sample": 4}, "sample"),
        ({"sample": {}}, "sample"),
        ({"sample": {"output_text": 4}}, "sample.output_text"),
        ({"sample": "x", "item": "4"}, "item"),
    ],
    ids=["none", "number", "nothing in it", "text of another type", "item of another type"],
)
def test_a_row_that_cannot_be_graded_names_the_field(row: dict[str, JsonValue], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        sample_of(row)
    assert (caught.value.reason, caught.value.metadata["field"]) == ("BAD_ROW", field)
    assert caught.value.message.startswith(f"{field}: must be")


@pytest.mark.parametrize(
    "text",
    ["{", "[1]", '{"a": NaN}', '{"a": 1, "a": 2}', '{"a": "\\ud800"}', "[" * 100_000],
    ids=["cut", "list", "nan", "twice", "half a character", "deep"],
)
def test_a_line_that_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_row(text)
    assert caught.value.reason == "BAD_ROW"


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ('{"item": {"a": ["b", "\\udc00"]}}', "item.a[1]", "has half a character"),
        ('{"item": {"a": 1e400}}', "item.a", "1e400 is beyond what a number may be"),
        ('{"score": -1E999}', "score", "-1E999 is beyond what a number may be"),
        ('{"a\\ud800": 1}', "a\\ud800", "the key has half a character"),
        ('{"a": 1' + "0" * 400 + ".5}", "a", "1" + "0" * 38 + "… is beyond"),
        ('{"a": "\udce9"}', "a", "has half a character"),
    ],
    ids=["half", "number", "negative", "key", "long", "shell"],
)
def test_what_no_message_can_carry_is_named_by_its_path(text: str, field: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_row(text)
    assert (caught.value.reason, caught.value.metadata["field"]) == ("BAD_ROW", field)
    assert caught.value.message.startswith(f"{field}: {words}")


def test_a_whole_character_that_is_written_as_two_halves_is_one() -> None:
    assert read_row('{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@pytest.mark.parametrize(
    "sample", [{"ouput_text": "4"}, {"choices": []}, {"output_text": None, "choices": []}], ids=json.dumps
)
def test_a_sample_without_anything_to_grade_is_no_empty_text(sample: dict[str, JsonValue]) -> None:
    with pytest.raises(InvalidInput, match="needs output_text"):
        sample_of({"sample": sample, "item": {}})


def test_a_text_that_is_no_utf_8_is_refused_by_its_field() -> None:
    rows: tuple[dict[str, JsonValue], ...] = ({"sample": "caf\udce9"}, {"sample": {"output_text": "caf\udce9"}})
    for row in rows:
        with pytest.raises(InvalidInput, match=r"sample(\.output_text)?: is no UTF-8"):
            sample_of(row)
