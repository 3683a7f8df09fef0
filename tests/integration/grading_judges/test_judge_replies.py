"""What judge models reply: a number or a label is a grade, and anything else is an error and never a score."""

import json

import pytest
from tests.fakes.openai_api import GARBAGE, OpenaiApi, Reply, judged, refused, said, status
from tests.integration.grading_judges.conftest import LABEL, SCORE, Make, ask, error, grade

from pinetune.client.rollout import Grade
from pinetune.grading.models.judge import JudgeAsker


def test_a_judges_number_is_the_score(api: OpenaiApi, asker: JudgeAsker) -> None:
    api.script.append(judged(0.7))
    assert grade(asker) == Grade(score=0.7)


@pytest.mark.parametrize(("result", "score"), [(11, 10.0), (-3.5, 0.0), (7, 7.0)], ids=["above", "below", "inside"])
def test_a_number_outside_the_range_counts_as_its_nearer_end(
    api: OpenaiApi, asker: JudgeAsker, result: float, score: float
) -> None:
    api.script.append(judged(result))
    assert grade(asker, grader=SCORE | {"range": [0, 10]}) == Grade(score=score)


@pytest.mark.parametrize(("label", "score"), [("kind", 1.0), ("neutral", 1.0), ("rude", 0.0)])
def test_a_passing_label_scores_1_and_another_0_and_the_label_is_shown(
    api: OpenaiApi, asker: JudgeAsker, label: str, score: float
) -> None:
    api.script.append(judged(label))
    assert grade(asker, grader=LABEL) == Grade(score=score, extracted_answer=label)


@pytest.mark.parametrize(
    "reply",
    [
        said("I would give it a 7."),
        said('```json\n{"result": 1}\n```'),
        said('{"steps": []}'),
        said("[1]"),
        said(""),
        said(None),
        said('{"steps": [], "result": 0.5', finish_reason="length"),
        said('{"steps": [], "result": 0.5}', finish_reason="length"),
        judged("0.7"),
        judged(None),
        judged(True),
        judged([0.7]),
        said('{"result": NaN}'),
        said('{"result": 1e999}'),
        said('{"result": 1' + "0" * 400 + "}"),
        Reply(b'{"choices": []}'),
        GARBAGE,
    ],
    ids=[
        "words", "fence", "no_result", "no_object", "empty", "nothing", "cut", "cut_behind_its_end", "text", "null",
        "bool", "list", "nan", "infinite", "too_large", "no_choice", "html",
    ],
)  # fmt: skip
def test_a_judge_that_does_not_answer_with_a_number_is_an_error_and_never_0(
    api: OpenaiApi, asker: JudgeAsker, reply: Reply
) -> None:
    api.otherwise = lambda body: reply
    found = error(asker)
    assert (found.error_class, found.retryable) == ("MODEL_PARSE", True)
    assert "judge" in found.detail


@pytest.mark.parametrize("result", ["Kind", "friendly", 1, None], ids=["case", "other", "number", "null"])
def test_a_label_that_is_none_of_the_labels_is_an_error(api: OpenaiApi, asker: JudgeAsker, result: object) -> None:
    api.otherwise = lambda body: judged(result)
    found = error(asker, grader=LABEL)
    assert found.error_class == "MODEL_PARSE"
    assert "kind, neutral, rude" in found.detail


@pytest.mark.parametrize("reply", [refused(), said("", finish_reason="content_filter")], ids=["refusal", "filter"])
def test_a_refusal_is_its_own_error_and_is_not_asked_again(api: OpenaiApi, asker: JudgeAsker, reply: Reply) -> None:
    api.otherwise = lambda body: reply
    found = error(asker)
    assert (found.error_class, found.retryable) == ("MODEL_REFUSAL", False)
    assert len(api.seen) == 1


def test_one_failing_question_leaves_the_others_alone(api: OpenaiApi, make: Make) -> None:
    def answer(body: dict[str, object]) -> Reply:
        return status(400, "too long") if "long" in json.dumps(body) else judged(0.5)

    api.otherwise = answer
    found = ask(make(), "short", "long", "brief").grades
    assert [grade.score for grade in found] == [0.5, None, 0.5]
