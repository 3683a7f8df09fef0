"""A grade in the shape of the openai graders API's `run` response, its fourteen error flags included.

    run_response({"type": "number", "name": "n", …}, Grade(score=1.0), seconds=0.0002)
    {"reward": 1.0, "sub_rewards": {}, "model_grader_token_usage_per_model": {},
     "metadata": {"name": "n", "type": "number", "execution_time": 0.0002, "scores": {}, "token_usage": None,
                  "sampled_model_name": None, "errors": {"formula_parse_error": False, …}}}

The `reward` of a failed grade is null: the API's type says float, but a number there could not be told from a score.
The openai package reads such a response like any other and gives None. Such a response has a
`detail`, too, which the API lacks: why there is no grade. The package keeps it as a further key.
"""

from collections.abc import Mapping

from pydantic import JsonValue

from pinetune.client.rollout import Grade

FLAG_OF_CLASS: Mapping[str, str] = {
    "INVALID_VARIABLE": "invalid_variable_error",
    "INVALID_REFERENCE": "other_error",
    "FORMULA": "formula_parse_error",
    "SAMPLE_PARSE": "sample_parse_error",
    "TRUNCATED": "truncated_observation_error",
    "DEADLINE": "unresponsive_reward_error",
    "PYTHON_SERVER": "python_grader_server_error",
    "PYTHON_RUNTIME": "python_grader_runtime_error",
    "MODEL_SERVER": "model_grader_server_error",
    "MODEL_REFUSAL": "model_grader_refusal_error",
    "MODEL_PARSE": "model_grader_parse_error",
    "REMOTE": "other_error",
    "TOO_LARGE": "other_error",
    "OTHER": "other_error",
}
"""The flag that each class of error sets."""
TEXT_OF_FLAG: Mapping[str, str] = {
    "python_grader_server_error": "python_grader_server_error_type",
    "python_grader_runtime_error": "python_grader_runtime_error_details",
    "model_grader_server_error": "model_grader_server_error_details",
}
"""The flags that have a text beside them."""
FLAGS = tuple(sorted({*FLAG_OF_CLASS.values(), *TEXT_OF_FLAG.values()}))
"""All fourteen keys of `errors`."""
JUDGED = ("score_model", "label_model")


def run_response(
    grader: Mapping[str, JsonValue],
    grade: Grade,
    *,
    seconds: float,
    judge_tokens: Mapping[str, int] | None = None,
) -> dict[str, JsonValue]:
    """Return the response for one grade of `grader`, which took `seconds`.

    `judge_tokens` are the tokens of judge models, by model; None where they are not known for this grade alone.
    """
    part_scores: dict[str, JsonValue] = dict(sorted(grade.part_scores.items()))
    usage: dict[str, JsonValue] = {
        model: {"total_tokens": count} for model, count in sorted((judge_tokens or {}).items())
    }
    return {
        "reward": grade.score,
        **({"detail": grade.error.detail} if grade.error else {}),
        "sub_rewards": part_scores,
        "model_grader_token_usage_per_model": usage,
        "metadata": {
            "name": str(grader.get("name") or ""),
            "type": str(grader.get("type") or ""),
            "execution_time": seconds,
            "scores": part_scores,
            "token_usage": sum(judge_tokens.values()) if judge_tokens else None,
            "sampled_model_name": grader.get("model") if grader.get("type") in JUDGED else None,
            "errors": error_flags(grade),
        },
    }


def error_flags(grade: Grade) -> dict[str, JsonValue]:
    """Return the fourteen keys of `errors`; a failed part sets its flag even where it is a shadow of a graded whole."""
    flags: dict[str, JsonValue] = {name: None if name in TEXT_OF_FLAG.values() else False for name in FLAGS}
    for error in (*([grade.error] if grade.error else []), *(grade.part_errors[n] for n in sorted(grade.part_errors))):
        flag = FLAG_OF_CLASS.get(error.error_class, "other_error")
        flags[flag] = True
        if (text := TEXT_OF_FLAG.get(flag)) and flags[text] is None:
            flags[text] = error.detail
    return flags
