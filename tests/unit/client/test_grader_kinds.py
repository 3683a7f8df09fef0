"""Which graders ask somebody outside the core."""

from collections.abc import Mapping

import pytest
from pydantic import JsonValue

from pinetune.client.grader_kinds import asks, graders_without_asking

NUMBER: Mapping[str, JsonValue] = {"type": "number", "reference": "{{item.answer}}"}
JUDGE: Mapping[str, JsonValue] = {"type": "score_model", "model": "judge", "input": []}
SIMILARITY: Mapping[str, JsonValue] = {"type": "text_similarity", "evaluation_metric": "bleu"}
COSINE: Mapping[str, JsonValue] = {**SIMILARITY, "evaluation_metric": "cosine"}


@pytest.mark.parametrize(
    "grader", [JUDGE, COSINE, {"type": "python"}, {"type": "label_model"}, {"type": "remote"}], ids=str
)
def test_a_grader_that_asks_has_nothing_for_the_core_alone(grader: Mapping[str, JsonValue]) -> None:
    assert asks(grader)
    assert graders_without_asking(grader) == []


PARTS: Mapping[str, JsonValue] = {"type": "multi", "graders": {"n": {**NUMBER}}}


@pytest.mark.parametrize("grader", [NUMBER, SIMILARITY, PARTS], ids=str)
def test_a_grader_that_asks_nobody_is_graded_as_a_whole(grader: Mapping[str, JsonValue]) -> None:
    assert not asks(grader)
    assert graders_without_asking(grader) == [grader]


def test_of_a_composed_grader_that_asks_the_other_parts_are_graded_alone() -> None:
    grader: Mapping[str, JsonValue] = {
        "type": "multi",
        "graders": {"judge": {**JUDGE}, "n": {**NUMBER}, "c": {**COSINE}, "s": {**SIMILARITY}},
    }
    assert asks(grader)
    assert graders_without_asking(grader) == [NUMBER, SIMILARITY]
