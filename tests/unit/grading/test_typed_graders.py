"""The hand-written messages of the core against the protos: a grader with every field set comes back unchanged."""

import pytest
from google.protobuf.message import Message

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.grading import graders
from pinetune.pod.errors import InvalidInput

LOCATION = wire.AnswerLocation(marker="Answer:", marker_required=True)
STRING_CHECK = wire.StringCheckGrader(
    input="{{sample.output_text}}",
    reference="{{item.answer}}",
    operation=wire.STRING_CHECK_OPERATION_ILIKE,
)
SIMILARITY = wire.TextSimilarityGrader(
    input="{{sample.output_text}}",
    reference="{{item.answer}}",
    evaluation_metric="rouge_3",
    pass_threshold=0.5,
)
NUMBER = wire.NumberGrader(
    input="{{sample.output_json.n}}",
    reference="{{item.answer}}",
    location=LOCATION,
    absolute_tolerance=0.01,
    relative_tolerance=0.02,
    partial_score=0.1,
    percent_as_fraction=True,
    expression=True,
)
CHOICE = wire.MultipleChoiceGrader(
    input="x {{sample.output_text}}",
    reference="{{item.answer}}",
    choices=["Yes", "No"],
    location=LOCATION,
    partial_score=0.2,
)
RANKED = wire.RankedListGrader(
    input="y {{sample.output_text}}",
    reference="{{item.answer}}",
    location=LOCATION,
    curve=wire.RankCurve(kind=wire.RANK_CURVE_KIND_TABLE, table=[1.0, 0.5]),
    max_rank=7,
    case_sensitive=True,
    aliases="{{item.aliases}}",
    partial_score=0.3,
)
MATH = wire.MathGrader(
    input="{{sample.output_text}}",
    reference="{{item.answer}}",
    location=LOCATION,
    partial_score=0.4,
)
LINEAR = wire.RankedListGrader(
    input="{{sample.output_text}}",
    reference="{{item.answer}}",
    location=wire.AnswerLocation(),
    curve=wire.RankCurve(kind=wire.RANK_CURVE_KIND_LINEAR, zero_rank=9),
    partial_score=0.0,
)
MULTI = wire.MultiGrader(
    graders={"a": wire.Grader(name="first", number=NUMBER), "b": wire.Grader(name="second", string_check=STRING_CHECK)},
    calculate_output="a",
    gate="a",
    shadow=["b"],
)
GRADERS = {
    "string_check": wire.Grader(name="n", string_check=STRING_CHECK),
    "text_similarity": wire.Grader(name="n", text_similarity=SIMILARITY),
    "number": wire.Grader(name="n", number=NUMBER),
    "multiple_choice": wire.Grader(name="n", multiple_choice=CHOICE),
    "ranked_list": wire.Grader(name="n", ranked_list=RANKED),
    "math": wire.Grader(name="n", math=MATH),
    "ranked_list on a line": wire.Grader(name="n", ranked_list=LINEAR),
    "multi": wire.Grader(name="n", multi=MULTI),
}


def validated(grader: wire.Grader) -> wire.ValidateGraderResponse:
    request = wire.ValidateGraderRequest(grader=wire.GraderSpec(grader=grader))
    return wire.ValidateGraderResponse.FromString(graders.validate(request.SerializeToString()))


@pytest.mark.parametrize("grader", GRADERS.values(), ids=GRADERS.keys())
def test_a_typed_grader_comes_back_unchanged(grader: wire.Grader) -> None:
    assert validated(grader).grader == grader


@pytest.mark.parametrize(
    "message", [STRING_CHECK, SIMILARITY, NUMBER, CHOICE, RANKED, MATH, MULTI, LOCATION], ids=lambda m: type(m).__name__
)
def test_these_tests_set_every_field_of_the_contract(message: Message) -> None:
    assert {field.name for field, _ in message.ListFields()} == set(message.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize(
    ("kind", "curve"),
    [
        (wire.RANK_CURVE_KIND_RECIPROCAL, '"kind":"reciprocal"'),
        (wire.RANK_CURVE_KIND_DCG, '"kind":"dcg"'),
        (wire.RANK_CURVE_KIND_UNSPECIFIED, '"table":[1.0,0.7,0.5,0.35,0.25]'),
    ],
)
def test_curves_have_the_same_number_in_both_spellings(kind: wire.RankCurveKind, curve: str) -> None:
    grader = wire.Grader(ranked_list=wire.RankedListGrader(reference="x", curve=wire.RankCurve(kind=kind)))
    assert curve in validated(grader).json


@pytest.mark.parametrize(
    ("operation", "word"),
    [
        (wire.STRING_CHECK_OPERATION_EQ, "eq"),
        (wire.STRING_CHECK_OPERATION_NE, "ne"),
        (wire.STRING_CHECK_OPERATION_LIKE, "like"),
        (wire.STRING_CHECK_OPERATION_ILIKE, "ilike"),
    ],
)
def test_operations_have_the_same_number_in_both_spellings(operation: wire.StringCheckOperation, word: str) -> None:
    check = wire.StringCheckGrader(input="x", reference="x", operation=operation)
    assert f'"operation":"{word}"' in validated(wire.Grader(string_check=check)).json


def test_a_grader_without_a_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"^kind: required"):
        validated(wire.Grader(name="n"))


def test_a_grader_without_a_name_is_called_by_its_kind_and_a_part_by_its_key() -> None:
    part = wire.Grader(string_check=STRING_CHECK)
    named = validated(wire.Grader(multi=wire.MultiGrader(graders={"a": part}, calculate_output="a"))).grader
    assert (named.name, named.multi.graders["a"].name) == ("multi", "a")
