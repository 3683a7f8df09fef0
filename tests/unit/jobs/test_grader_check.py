"""Which keys of a row a grader compares answers with."""

import pytest
from pydantic import JsonValue

from pinetune.jobs.grader_check import reference_keys

PART: dict[str, JsonValue] = {"type": "number", "name": "n", "reference": "{{item.gold}}"}


@pytest.mark.parametrize(
    "grader",
    [
        PART,
        {"type": "multi", "graders": {"n": PART}},
        {"type": "multi", "graders": [PART]},
        {"type": "ranked_list", "reference": "x", "aliases": "{{item.gold}}"},
        {"type": "string_check", "input": "{{item.gold}}", "reference": "{{sample.output_text}}"},
    ],
    ids=["alone", "part", "listed part", "aliases", "the other way round"],
)
def test_what_a_grader_compares_with_is_hidden(grader: dict[str, JsonValue]) -> None:
    assert "gold" in set(reference_keys(grader))


def test_what_a_judge_is_shown_is_not_hidden() -> None:
    messages: JsonValue = [{"role": "user", "content": "{{item.question}} {{sample.output_text}}"}]
    assert not set(reference_keys({"type": "score_model", "input": messages}))
