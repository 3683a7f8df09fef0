"""A judge's answer out of free text: the last object with a result, and nothing guessed from words."""

import pytest

from pinetune.grading.models.judge_reply import last_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"result": 1}', '{"result": 1}'),
        ('```json\n{"steps": [], "result": 0.5}\n```', '{"steps": [], "result": 0.5}'),
        ('First {"result": 0.1}, no: {"result": 0.9}. Done.', '{"result": 0.9}'),
        ('{"note": {"result": 1}} {"steps": [{"conclusion": "}"}], "result": 2}', None),
        ('a { b {"result": 3} }', '{"result": 3}'),
        ('{"result": 4} {"thanks": true}', '{"result": 4}'),
    ],
    ids=["whole", "fence", "second_thought", "nested", "stray_brace", "other_object"],
)
def test_the_last_object_with_a_result_is_the_answer(text: str, answer: str | None) -> None:
    assert last_answer(text) == (answer or '{"steps": [{"conclusion": "}"}], "result": 2}')


@pytest.mark.parametrize(
    "text", ["", "seven", "result: 7", '{"result": 7', '["result", 7]', '{"score": 7}', "{" * 1000]
)
def test_a_text_without_such_an_object_has_no_answer(text: str) -> None:
    with pytest.raises(ValueError, match="no JSON object with a result"):
        last_answer(text)


@pytest.mark.parametrize(("piece", "sentence"), [('{"a":', "nested too deeply"), ("{", "too many stray braces")])
def test_a_text_of_braces_without_end_has_no_answer(piece: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        last_answer(piece * 100_000)
