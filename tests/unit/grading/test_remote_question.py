"""A question to a remote grader arrives as the core wrote it, byte for byte."""

import json

import pytest

from pinetune.grading.remote.question import RemoteQuestion, UnsendableError, read_question, with_settings

ITEM = '{"price": 1.10, "n": 1' + 5000 * "0" + ', "o": {"}": ","}}'
BODY = f'{{"item": {ITEM}, "sample": {{"output_tools": [{{"a": 1.0}}], "output_text": "a\\n\\u00fc"}}}}'
SMALL = '{"item": {"price": 1.10}, "sample": {"output_text": ""}}'


def test_values_are_cut_out_and_not_written_anew() -> None:
    assert read_question(BODY) == RemoteQuestion(
        item_json=ITEM, output_text="a\nü", sample_json='{"output_tools":[{"a": 1.0}]}'
    )


def test_a_sample_with_nothing_but_its_text_has_no_further_values() -> None:
    assert read_question('{"sample":{"output_text":""},"item":{}}') == RemoteQuestion("{}", "", "")


@pytest.mark.parametrize(("settings", "value"), [("", None), ('{"strict": true}', {"strict": True}), ("7", 7)])
def test_settings_stand_beside_item_and_sample(settings: str, value: object) -> None:
    body = with_settings(SMALL, settings)
    assert b'"price": 1.10' in body
    assert json.loads(body) == json.loads(SMALL) | {"settings": value}


def test_what_is_nested_too_deeply_cannot_be_sent() -> None:
    body = '{"sample": {"output_text": ""}, "item": ' + "[" * 3000 + "]" * 3000 + "}"
    for cut_up in (read_question, lambda text: with_settings(text, "")):
        with pytest.raises(UnsendableError, match="item is nested too deeply"):
            cut_up(body)


@pytest.mark.parametrize("body", ["", "[]", '{"item" {}}', '{"item": {} "sample": {}}', '{"item": {}'])
def test_what_is_no_object_is_a_fault_of_ours(body: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  each has its own words, JSON's among them
        read_question(body)
