"""Prompt templates see what the model may see, and nothing else."""

import pytest

from pinetune.jobs.prompts import MissingValueError, PromptTemplate
from pinetune.pod.errors import InvalidInput

HIDDEN = frozenset({"answer", "cot", "meta.source"})


def template(text: str) -> PromptTemplate:
    return PromptTemplate.parse(text, field="pinetune.dataset.prompt", hidden=HIDDEN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Q: {{item.question}}\nA:", "Q: 3 + 4?\nA:"),
        ("{{ item.meta.tags[1] }}", "b"),
        ("{{item.count}} {{item.ok}} {{item.list}}", '2 true {"a":[1.5],"b":2}'),
        ("{item.question} {}", "{item.question} {}"),
        ("{{item.größe}}", "1 m"),
    ],
)
def test_a_template_renders(text: str, expected: str) -> None:
    row = {
        "question": "3 + 4?",
        "meta": {"tags": ["a", "b"]},
        "count": 2,
        "ok": True,
        "list": {"b": 2, "a": [1.5]},
        "größe": "1 m",
    }
    assert template(text).render(row) == expected


def test_a_value_is_not_rendered_again() -> None:
    assert template("{{item.question}}").render({"question": "{{item.answer}}", "answer": "7"}) == "{{item.answer}}"


@pytest.mark.parametrize("text", ["{{item.a.b}}", "{{item.list[3]}}", "{{item.null}}", "{{item.list.x}}"])
def test_a_missing_value_is_an_error(text: str) -> None:
    with pytest.raises(MissingValueError):
        template(text).render({"a": 1, "list": [1], "null": None})


@pytest.mark.parametrize(
    "text",
    [
        "{{item.answer}}",
        "{{ item.cot }}",
        "{{item.answer.x}}",
        "{{item.answer[0]}}",
        "{{item.meta.source}}",
        "{{item.meta}}",
    ],
)
def test_a_template_cannot_reach_what_is_hidden(text: str) -> None:
    with pytest.raises(InvalidInput, match="hidden from the model") as caught:
        template(text)
    assert caught.value.reason == "HIDDEN_KEY_IN_PROMPT"


def test_a_name_that_only_begins_like_a_hidden_one_is_fine() -> None:
    assert template("{{item.answers}}").render({"answers": "x"}) == "x"


@pytest.mark.parametrize(
    "text", ["{{sample.output_text}}", "{{question}}", "{{item}}", "{{}}", "{{item.a | upper}}", "{{item.a", "a}} b"]
)
def test_a_malformed_template_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"pinetune\.dataset\.prompt has"):
        template(text)
