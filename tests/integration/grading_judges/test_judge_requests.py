"""What judge models are asked: the request of the official client, the key, the models that are configured."""

import logging

import openai
import pytest
from pydantic import JsonValue
from tests.fakes.openai_api import OpenaiApi, Reply, judged, status
from tests.integration.grading_judges.conftest import KEY, LABEL, SCORE, Make, error, grade

from pinetune.grading.models.judge import JudgeAsker
from pinetune.pod.errors import InvalidInput

SAMPLING: dict[str, JsonValue] = {
    "seed": 3, "top_p": 0.9, "temperature": 0.2, "max_completions_tokens": 64, "reasoning_effort": "low",
}  # fmt: skip


@pytest.mark.parametrize("grader", [SCORE, LABEL], ids=["score_model", "label_model"])
def test_the_request_is_the_one_that_the_official_client_sends(
    api: OpenaiApi, asker: JudgeAsker, grader: dict[str, JsonValue]
) -> None:
    api.otherwise = lambda body: judged("kind" if grader is LABEL else 0.5)
    grade(asker, "Größe → 😀", grader=grader | {"sampling_params": SAMPLING})
    step = {
        "type": "object",
        "properties": {"description": {"type": "string"}, "conclusion": {"type": "string"}},
        "required": ["description", "conclusion"],
        "additionalProperties": False,
    }
    results = {
        "score_model": ("score", {"type": "number"}),
        "label_model": ("label", {"type": "string", "enum": grader.get("labels")}),
    }
    name, result = results[str(grader["type"])]
    schema = {
        "type": "object",
        "properties": {"steps": {"type": "array", "items": step}, "result": result},
        "required": ["steps", "result"],
        "additionalProperties": False,
    }
    with openai.OpenAI(base_url=api.url, api_key=KEY) as client:
        client.chat.completions.create(
            model="judge-1",
            messages=[{"role": "user", "content": "Größe → 😀"}],
            seed=3,
            top_p=0.9,
            temperature=0.2,
            max_completion_tokens=64,
            reasoning_effort="low",
            response_format={"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}},
        )
    ours, theirs = api.seen
    assert ours.body == theirs.body
    assert ours.path == theirs.path == "/v1/chat/completions"
    for header in ("authorization", "content-type"):
        assert ours.headers[header] == theirs.headers[header]


def test_what_the_grader_leaves_out_is_left_to_the_server(api: OpenaiApi, asker: JudgeAsker) -> None:
    grade(asker, grader=SCORE | {"sampling_params": dict.fromkeys(SAMPLING)})
    assert sorted(api.seen[0].body) == ["messages", "model", "response_format"]


def test_an_older_server_is_told_max_tokens(api: OpenaiApi, make: Make) -> None:
    grade(make(tokens_field="max_tokens"), grader=SCORE | {"sampling_params": SAMPLING})
    assert api.seen[0].body["max_tokens"] == 64
    assert "max_completion_tokens" not in api.seen[0].body


def test_a_key_never_appears_in_an_error_or_a_log(
    api: OpenaiApi, asker: JudgeAsker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for reply in (status(401, f"Incorrect API key: {KEY}"), status(500, f"Bearer {KEY}"), Reply(KEY.encode(), 400)):
        api.otherwise = lambda body, reply=reply: reply  # type: ignore[misc]
        found = error(asker, str(reply.status) + str(len(reply.body)))
        assert "***" in found.detail
        assert KEY not in found.detail
    assert KEY not in caplog.text
    assert api.seen[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_model_that_is_not_configured_is_refused_with_those_that_are(asker: JudgeAsker) -> None:
    asker.check(SCORE)
    with pytest.raises(InvalidInput, match=r"configured are judge.*PINETUNE_GRADING_MODELS") as caught:
        asker.check(SCORE | {"model": "gpt-9"})
    assert (caught.value.reason, caught.value.metadata["field"]) == ("MODEL_UNKNOWN", "model")
