"""The golden cases of tests/golden through the Python binding; `cargo test` reads the same files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.rollout import Grade, GradeError
from pinetune.grading import graders
from pinetune.pod.errors import InvalidInput

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
Case: TypeAlias = Mapping[str, Any]  # JSON as it stands in the file.


def cases(*names: str) -> list[Case]:
    return [case for name in names for case in json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))]


GRADED = cases(
    "string_check",
    "text_similarity",
    "template",
    "number",
    "multiple_choice",
    "ranked_list",
    "math",
    "json_fields",
    "tool_calls",
    "regex",
    "shape",
    "multi",
    "asking",
)
REFUSED = cases("refused")


def name_of(case: Case) -> str:
    return str(case["name"])


def raw(value: object) -> str:
    """JSON text; a text stands for itself, so that a case can hold malformed JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def class_name(error: rollout_pb2.GradeError) -> str:
    return rollout_pb2.GradeErrorClass.Name(error.error_class).removeprefix("GRADE_ERROR_CLASS_")


def grade(case: Case) -> rollout_pb2.Grade:
    sample = dict(case.get("sample", {}))
    output_text = sample.pop("output_text", case.get("output_text"))
    request = wire.GradeRequest(
        grader=wire.GraderSpec(json=raw(case["grader"])),
        items_json=[raw(case["item"])],
        output_texts=[output_text],
        samples_json=[case.get("sample_json") or (json.dumps(sample) if sample else "")],
    )
    content = request.SerializeToString()
    outcome = graders.grade_or_ask(content)
    parts = [] if isinstance(outcome, graders.GradedBatch) else outcome
    assert {part.questions.part: json.loads(part.questions.bodies[0]) for part in parts} == case.get("questions", {})
    if not isinstance(outcome, graders.GradedBatch):
        answered = [(part, [answer(case["answers"][part.questions.part])]) for part in parts]
        outcome = graders.grade_answered(content, answered)
    (only,) = wire.GradeResponse.FromString(outcome.reply).grades
    return only


def answer(given: Mapping[str, Any]) -> Grade:
    if "score" in given:
        return Grade(score=given["score"])
    return Grade(error=GradeError(given["error"], given["detail"], retryable=given.get("retryable", False)))


@pytest.mark.parametrize("case", GRADED, ids=name_of)
def test_a_text_is_graded_as_the_case_says(case: Case) -> None:
    found = grade(case)
    if "error" in case["expect"]:
        assert found.WhichOneof("outcome") == "error"
        assert class_name(found.error) == case["expect"]["error"]
        assert found.error.detail
        assert found.error.part == case.get("error_part", found.error.part)
    else:
        assert found.WhichOneof("outcome") == "score", found.error.detail
        assert found.score == pytest.approx(case["expect"]["score"], abs=1e-12)
    for field in ("extracted_answer", "matched_rank", "listed_count"):
        assert getattr(found, field) == case.get(field, getattr(found, field))
    if "part_scores" in case:
        assert dict(found.part_scores) == pytest.approx(case["part_scores"])
    if "part_errors" in case:
        assert {part: class_name(error) for part, error in found.part_errors.items()} == case["part_errors"]


@pytest.mark.parametrize("case", REFUSED, ids=name_of)
def test_a_faulty_grader_is_refused_as_the_case_says(case: Case) -> None:
    request = wire.ValidateGraderRequest(
        grader=wire.GraderSpec(json=raw(case["grader"])), item_keys=case.get("item_keys", [])
    )
    with pytest.raises(InvalidInput) as caught:
        graders.validate(request.SerializeToString())
    assert {"reason": caught.value.reason, "field": caught.value.metadata["field"]} == case["refuse"]
    assert str(caught.value) == f"{caught.value.metadata['field']}: {caught.value.metadata['detail']}"
    assert case.get("says", "") in str(caught.value)


@pytest.mark.parametrize("case", GRADED, ids=name_of)
def test_a_valid_grader_means_the_same_in_both_spellings(case: Case) -> None:
    def validated(spec: wire.GraderSpec) -> wire.ValidateGraderResponse:
        request = wire.ValidateGraderRequest(grader=spec)
        return wire.ValidateGraderResponse.FromString(graders.validate(request.SerializeToString()))

    once = validated(wire.GraderSpec(json=raw(case["grader"])))
    assert validated(wire.GraderSpec(json=once.json)) == once
    assert validated(wire.GraderSpec(grader=once.grader)) == once


def test_every_kind_of_the_contract_is_graded_in_a_case() -> None:
    kinds = {field.name for field in wire.Grader.DESCRIPTOR.oneofs_by_name["kind"].fields}
    assert {case["grader"]["type"] for case in GRADED} == kinds


def test_every_error_class_of_a_case_is_one_of_the_contract() -> None:
    known = {name.removeprefix("GRADE_ERROR_CLASS_") for name in rollout_pb2.GradeErrorClass.DESCRIPTOR.values_by_name}
    used = {case["expect"]["error"] for case in GRADED if "error" in case["expect"]}
    assert used == known - {"UNSPECIFIED"}


@pytest.mark.parametrize("kind", [field.name for field in wire.Grader.DESCRIPTOR.oneofs_by_name["kind"].fields])
def test_the_core_knows_every_kind_of_the_contract_in_its_typed_spelling(kind: str) -> None:
    grader = wire.Grader()
    getattr(grader, kind).SetInParent()
    request = wire.ValidateGraderRequest(grader=wire.GraderSpec(grader=grader))
    with pytest.raises(InvalidInput) as caught:
        graders.validate(request.SerializeToString())
    # A shape may leave out each of its fields, and must not leave out all.
    assert caught.value.reason == ("GRADER_FIELD_VALUE" if kind == "shape" else "GRADER_FIELD_MISSING")
