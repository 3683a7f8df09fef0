"""Judge models behind a real HTTP server that says what a test has it say."""

import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import REGISTRY
from pydantic import JsonValue
from tests.fakes.openai_api import OpenaiApi

from pinetune.client.rollout import Grade, GradeError
from pinetune.grading.asking import Answers, Questions
from pinetune.grading.config import GradingSettings
from pinetune.grading.models.judge import JudgeAsker

KEY = "sk-very-secret"
SCORE: dict[str, JsonValue] = {
    "type": "score_model",
    "name": "alike",
    "model": "judge",
    "input": [{"role": "user", "content": "{{sample.output_text}}"}],
    "range": [0, 1],
    "sampling_params": None,
    "pass_threshold": None,
}
LABEL: dict[str, JsonValue] = {
    "type": "label_model",
    "name": "tone",
    "model": "judge",
    "input": [{"role": "user", "content": "{{sample.output_text}}"}],
    "labels": ["kind", "neutral", "rude"],
    "passing_labels": ["kind", "neutral"],
    "sampling_params": None,
}
Make = Callable[..., JudgeAsker]


@pytest.fixture
def api() -> Iterator[OpenaiApi]:
    with OpenaiApi() as served:
        yield served


@pytest.fixture
def make(api: OpenaiApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """A function that makes an asker whose model `judge` is behind `api`; keywords are fields of model or settings."""
    monkeypatch.setenv("JUDGE_KEY", KEY)
    made: list[JudgeAsker] = []

    def make_asker(**fields: object) -> JudgeAsker:
        known = GradingSettings.model_fields
        model = {"base_url": api.url, "model": "judge-1", "api_key_env": "JUDGE_KEY"} | {
            name: value for name, value in fields.items() if name not in known
        }
        rest = {name: value for name, value in fields.items() if name in known}
        settings = {"models": {"judge": model}, "model_pause_seconds": 0.001} | rest
        made.append(JudgeAsker(GradingSettings.model_validate(settings)))
        return made[-1]

    yield make_asker
    for asker in made:
        asker.close()


@pytest.fixture
def asker(make: Make) -> JudgeAsker:
    return make()


def ask(
    asker: JudgeAsker,
    *texts: str,
    grader: dict[str, JsonValue] = SCORE,
    seconds: float = 30.0,
    fresh: bool = False,
    cancelled: threading.Event | None = None,
) -> Answers:
    bodies = [json.dumps([{"role": "user", "content": text}]) for text in texts or ("hello",)]
    questions = Questions(kind=str(grader["type"]), part="", grader=grader, bodies=bodies, fresh=fresh)
    return asker.ask(questions, deadline=time.monotonic() + seconds, cancelled=cancelled or threading.Event())


def grade(asker: JudgeAsker, text: str = "hello", **how: object) -> Grade:
    (found,) = ask(asker, text, **how).grades  # type: ignore[arg-type]
    return found


def error(asker: JudgeAsker, text: str = "hello", **how: object) -> GradeError:
    found = grade(asker, text, **how)
    assert found.error is not None
    return found.error


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0
