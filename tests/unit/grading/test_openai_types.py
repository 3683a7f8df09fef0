"""Graders as the official `openai` package's types serialise them: all validate, and mean what their settings say."""

import json
from typing import Any

import pytest
from openai.types.graders import (
    LabelModelGrader,
    MultiGrader,
    PythonGrader,
    ScoreModelGrader,
    StringCheckGrader,
    TextSimilarityGrader,
)
from pydantic import BaseModel

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.grading import graders

MESSAGES: list[dict[str, Any]] = [
    {"role": "developer", "content": "Judge.", "type": "message"},
    {"role": "user", "content": {"type": "input_text", "text": "{{item.question}}"}},
    {"role": "assistant", "content": {"type": "output_text", "text": "{{sample.output_text}}"}},
    {"role": "user", "content": ["Why", {"type": "input_text", "text": "so?"}]},
]
CHECK: dict[str, Any] = {
    "type": "string_check",
    "name": "exact",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "operation": "eq",
}
METRICS = [
    *("fuzzy_match", "bleu", "gleu", "meteor", "cosine"),
    *("rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l"),
]
JUDGE: dict[str, Any] = {"type": "score_model", "name": "judge", "model": "gpt-4.1-2025-04-14", "input": MESSAGES}
GRADERS: list[BaseModel] = [
    *(StringCheckGrader.model_validate({**CHECK, "operation": word}) for word in ("eq", "ne", "like", "ilike")),
    *(
        TextSimilarityGrader.model_validate(
            {
                "type": "text_similarity",
                "name": metric,
                "input": "{{sample.output_text}}",
                "reference": "{{item.answer}}",
                "evaluation_metric": metric,
            }
        )
        for metric in METRICS
    ),
    ScoreModelGrader.model_validate(JUDGE),
    ScoreModelGrader.model_validate(
        {
            **JUDGE,
            "range": [0, 10],
            "sampling_params": {
                "max_completions_tokens": 512,
                "reasoning_effort": "low",
                "seed": 7,
                "temperature": 0.5,
                "top_p": 0.9,
            },
        }
    ),
    LabelModelGrader.model_validate(
        {**JUDGE, "type": "label_model", "labels": ["right", "wrong"], "passing_labels": ["right"]}
    ),
    PythonGrader.model_validate(
        {
            "type": "python",
            "name": "code",
            "source": "def grade(sample, item):\n    return 1.0\n",
            "image_tag": "2025-05-08",
        }
    ),
    MultiGrader.model_validate({"type": "multi", "name": "all", "graders": CHECK, "calculate_output": "2 * exact"}),
]


def validated(grader: wire.GraderSpec) -> dict[str, Any]:
    request = wire.ValidateGraderRequest(grader=grader, item_keys=["question", "answer"])
    response = wire.ValidateGraderResponse.FromString(graders.validate(request.SerializeToString()))
    found: dict[str, Any] = json.loads(response.json)
    return found


@pytest.mark.parametrize("grader", GRADERS, ids=lambda grader: f"{grader.type} {grader.name}")
@pytest.mark.parametrize("keep_unset", [False, True], ids=["set fields", "all fields"])
def test_a_grader_of_the_package_is_valid_and_its_settings_are_kept(grader: BaseModel, keep_unset: bool) -> None:
    spelled = grader.model_dump(mode="json", exclude_unset=not keep_unset)
    found = validated(wire.GraderSpec(json=json.dumps(spelled)))
    for key, value in spelled.items():
        if key == "input" and isinstance(value, list):
            assert [message["role"] for message in found["input"]] == [message["role"] for message in value]
            assert [message["content"] for message in found["input"]] == [
                "Judge.",
                "{{item.question}}",
                "{{sample.output_text}}",
                "Why\nso?",
            ]
        elif key == "graders":
            assert found["graders"]["exact"]["operation"] == "eq"
        elif value is not None:
            assert found[key] == pytest.approx(value) if isinstance(value, float) else found[key] == value
