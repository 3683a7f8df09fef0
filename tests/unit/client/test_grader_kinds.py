"""Which graders ask somebody outside the core."""

from typing import Any

import pytest

from pinetune.client.grader_kinds import asks, graders_without_asking

NUMBER: dict[str, Any] = {"type": "number", "reference": "{{item.answer}}"}
JUDGE: dict[str, Any] = {"type": "score_model", "model": "judge", "input": []}
SIMILARITY: dict[str, Any] = {"type": "text_similarity", "evaluation_metric": "bleu"}
COSINE: dict[str, Any] = {**SIMILARITY, "evaluation_metric": "cosine"}


@pytest.mark.parametrize(
    "grader", [JUDGE, COSINE, {"type": "python"}, {"type": "label_model"}, {"type": "remote"}], ids=str
)
def test_a_grader_that_asks_has_nothing_for_the_core_alone(grader: dict[str, Any]) -> None:
    assert asks(grader)
    assert graders_without_asking(grader) == []


PARTS: dict[str, Any] = {"type": "multi", "graders": {"n": NUMBER}}


@pytest.mark.parametrize("grader", [NUMBER, SIMILARITY, PARTS], ids=str)
def test_a_grader_that_asks_nobody_is_graded_as_a_whole(grader: dict[str, Any]) -> None:
    assert not asks(grader)
    assert graders_without_asking(grader) == [grader]


def test_of_a_composed_grader_that_asks_the_other_parts_are_graded_alone() -> None:
    grader = {"type": "multi", "graders": {"judge": JUDGE, "n": NUMBER, "c": COSINE, "s": SIMILARITY}}
    assert asks(grader)
    assert graders_without_asking(grader) == [NUMBER, SIMILARITY]
