"""A grade in the shape of the openai API's response, read with the openai package itself."""

import json

import pytest
from openai.types.fine_tuning.alpha import GraderRunResponse
from openai.types.fine_tuning.alpha.grader_run_response import MetadataErrors
from pydantic import JsonValue

from pinetune.client.grader_run import FLAG_OF_CLASS, FLAGS, error_flags, run_response
from pinetune.client.rollout import ERROR_CLASSES, Grade, GradeError

NUMBER: dict[str, JsonValue] = {"type": "number", "name": "sum", "reference": "{{item.answer}}"}
JUDGE: dict[str, JsonValue] = {"type": "score_model", "name": "judge", "model": "small-judge", "input": []}


def set_flags(grade: Grade) -> set[str]:
    return {name for name, value in error_flags(grade).items() if value}


def test_every_class_of_error_has_a_flag() -> None:
    assert set(FLAG_OF_CLASS) == set(ERROR_CLASSES)


def test_there_are_the_fourteen_flags_that_the_openai_package_knows() -> None:
    assert {field.alias or name for name, field in MetadataErrors.model_fields.items()} == set(FLAGS)
    assert len(FLAGS) == 14


def test_a_graded_answer_passes_the_openai_packages_own_validation() -> None:
    grade = Grade(score=0.5, part_scores={"b": 1.0, "a": 0.0})
    response = run_response({**NUMBER, "type": "multi"}, grade, seconds=0.25, judge_tokens={})
    read = GraderRunResponse.model_validate_json(json.dumps(response))
    assert (read.reward, read.sub_rewards) == (0.5, {"a": 0.0, "b": 1.0})
    metadata = read.metadata
    assert (metadata.name, metadata.type, metadata.execution_time) == ("sum", "multi", 0.25)
    assert (metadata.scores, metadata.token_usage, metadata.sampled_model_name) == ({"a": 0.0, "b": 1.0}, None, None)
    assert not any(metadata.errors.to_dict().values())


def test_a_judges_tokens_and_name_are_told() -> None:
    response = run_response(JUDGE, Grade(score=1.0), seconds=1.5, judge_tokens={"small-judge": 120})
    read = GraderRunResponse.model_validate_json(json.dumps(response))
    assert read.api_model_grader_token_usage_per_model == {"small-judge": {"total_tokens": 120}}
    assert (read.metadata.token_usage, read.metadata.sampled_model_name) == (120, "small-judge")


@pytest.mark.parametrize("error_class", ERROR_CLASSES)
def test_a_failed_grade_has_no_number_and_the_openai_package_reads_it(error_class: str) -> None:
    response = run_response(NUMBER, Grade(error=GradeError(error_class, "because")), seconds=0.1)
    assert response["reward"] is None
    # The package makes its responses so, without validation: a null is None there.
    read = GraderRunResponse.construct(**json.loads(json.dumps(response)))
    assert read.to_dict()["reward"] is None
    assert read.to_dict()["detail"] == "because"
    assert read.metadata.errors.to_dict()[FLAG_OF_CLASS[error_class]] is True
    assert sum(value is True for value in read.metadata.errors.to_dict().values()) == 1


@pytest.mark.parametrize(
    ("error_class", "flag", "text"),
    [
        ("PYTHON_RUNTIME", "python_grader_runtime_error", "python_grader_runtime_error_details"),
        ("PYTHON_SERVER", "python_grader_server_error", "python_grader_server_error_type"),
        ("MODEL_SERVER", "model_grader_server_error", "model_grader_server_error_details"),
    ],
)
def test_flags_with_a_text_say_why(error_class: str, flag: str, text: str) -> None:
    flags = error_flags(Grade(error=GradeError(error_class, "division by zero")))
    assert (flags[flag], flags[text]) == (True, "division by zero")


def test_a_failed_part_sets_its_flag_beside_the_wholes() -> None:
    part = GradeError("MODEL_REFUSAL", "no", part="judge")
    assert set_flags(Grade(score=1.0, part_errors={"judge": part})) == {"model_grader_refusal_error"}
    whole = Grade(error=GradeError("FORMULA", "0/0"), part_errors={"judge": part})
    assert set_flags(whole) == {"model_grader_refusal_error", "formula_parse_error"}


def test_a_class_of_a_later_version_is_an_other_error() -> None:
    assert set_flags(Grade(error=GradeError("NEWER", "?"))) == {"other_error"}
