import pytest
from pydantic import JsonValue

from pinetune.client.grader_labels import Label, Ordering, read_case
from pinetune.client.rollout import Grade, GradeError
from pinetune.pod.errors import InvalidInput

SAMPLE: dict[str, JsonValue] = {"sample": "it is 4", "item": {"answer": "4"}}
REFERENCE = Grade(error=GradeError("INVALID_REFERENCE", "four"))


@pytest.mark.parametrize(
    ("label", "right", "wrong", "expected"),
    [
        ({"score": 1}, Grade(score=1.0000001), Grade(score=0.99), "1"),
        ({"score": 0}, Grade(score=0.0), REFERENCE, "0"),
        ({"score": {"min": 0.5, "max": 0.7}}, Grade(score=0.7), Grade(score=0.71), "0.5 to 0.7"),
        ({"score": {"min": 0.5}}, Grade(score=3.0), Grade(score=0.4), "0.5 or more"),
        ({"score": {"max": 0.5}}, Grade(score=-1.0), Grade(score=0.6), "0.5 or less"),
        ({"error": "invalid_reference"}, REFERENCE, Grade(score=0.0), "error INVALID_REFERENCE"),
        ({"error": "FORMULA"}, Grade(error=GradeError("FORMULA", "")), REFERENCE, "error FORMULA"),
    ],
    ids=["score", "zero is no error", "bounds", "lower bound", "upper bound", "error", "another error"],
)
def test_a_label_holds_for_the_right_grade_only(
    label: dict[str, JsonValue], right: Grade, wrong: Grade, expected: str
) -> None:
    case = read_case({**SAMPLE, **label}, 3)
    assert isinstance(case, Label)
    assert (case.line, case.expected) == (3, expected)
    assert case.holds([right], 1e-6)
    assert not case.holds([wrong], 1e-6)


def test_an_order_holds_where_the_better_one_scores_higher() -> None:
    case = read_case({"better": "4", "worse": {"output_text": "5"}, "item": {"answer": "4"}}, 1)
    assert isinstance(case, Ordering)
    assert [sample.text for sample in case.samples] == ["4", "5"]
    high, low = Grade(score=0.2), Grade(score=0.1)
    assert case.holds([high, low], 1e-6)
    assert not case.holds([low, high], 1e-6)
    assert not case.holds([high, high], 1e-6)
    assert not case.holds([high, low], 0.2)
    assert not case.holds([high, REFERENCE], 1e-6)


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (SAMPLE, ""),
        ({**SAMPLE, "score": 1, "error": "OTHER"}, "error"),
        ({**SAMPLE, "score": True}, "score"),
        ({**SAMPLE, "score": "1"}, "score"),
        ({**SAMPLE, "score": {}}, "score"),
        ({**SAMPLE, "score": {"min": 1, "max": 0}}, "score"),
        ({**SAMPLE, "score": {"low": 1}}, "score"),
        ({**SAMPLE, "error": "BAD"}, "error"),
        ({"better": "4", "item": {}}, "worse"),
        ({"score": 1, "item": {}}, "sample"),
    ],
    ids=["none", "two", "bool", "text", "no bound", "bounds crossed", "other bound", "class", "no worse", "no sample"],
)
def test_a_wrong_label_names_the_field(row: dict[str, JsonValue], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_case(row, 1)
    assert (caught.value.reason, caught.value.metadata["field"]) == ("BAD_ROW", field)
