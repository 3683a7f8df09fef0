"""The asker of `score_model` and `label_model` graders: judge models that are configured by name.

A judge that answers in words, refuses, or cannot be reached is a grade's error, never a score.
"""

import secrets
import threading
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from pinetune.client.rollout import Grade
from pinetune.grading.asking import Answers, Questions
from pinetune.grading.config import GradingSettings
from pinetune.grading.models.asked_model import AskedModel
from pinetune.grading.models.attempts import AttemptError, Patience
from pinetune.grading.models.breaker import Breaker
from pinetune.grading.models.chat_judge import ChatJudge
from pinetune.grading.models.flight import Flight
from pinetune.grading.models.generation_judge import GenerationJudge
from pinetune.grading.models.judge_question import Judge, JudgeQuestion, read_messages, read_sampling
from pinetune.grading.models.judge_reply import Verdict, verdict_of
from pinetune.grading.refusals import refusal


class JudgeAsker:
    """Asks judge models; one for both kinds of grader, so that they share a model's limits."""

    def __init__(self, settings: GradingSettings) -> None:
        self._judges: dict[str, tuple[Judge, AskedModel[float | str]]] = {}
        for name, model in settings.models.items():
            judge: Judge = GenerationJudge(name, model) if model.is_generation_service else ChatJudge(name, model)
            self._judges[name] = judge, AskedModel(name, model, patience(settings), breaker(settings))

    def check(self, grader: Mapping[str, JsonValue]) -> None:
        """Raise InvalidInput for a model that is not configured, or that cannot follow the sampling parameters."""
        judge, model = self._judge(grader)
        if name := judge.refuses(read_sampling(grader)):
            detail = f"model {model.name} is behind a generation service, which does not know it"
            raise refusal(f"sampling_params.{name}", detail, reason="SAMPLING_UNSUPPORTED")

    def ask(self, questions: Questions, *, deadline: float, cancelled: threading.Event) -> Answers:
        """Have every question answered by `deadline`; a failure is a grade's error."""
        judge, model = self._judge(questions.grader)
        verdict, sampling = verdict_of(questions.kind, questions.grader), read_sampling(questions.grader)
        anew_for = call_name(questions)
        flights = []
        for body in questions.bodies:
            question = JudgeQuestion(read_messages(body), sampling, verdict)
            flights.append(_submit(judge, model, question, deadline, anew_for))
        outcomes = model.outcomes(flights, deadline=deadline, cancelled=cancelled)
        grades = [_grade(outcome, verdict) for outcome in outcomes]
        token_count = sum(flight.take_tokens() for flight in flights)
        return Answers(grades, {model.name: token_count} if token_count else {})

    def close(self) -> None:
        """Close the connections; questions that are under way fail."""
        for judge, model in self._judges.values():
            model.close()
            judge.close()

    def _judge(self, grader: Mapping[str, JsonValue]) -> tuple[Judge, AskedModel[float | str]]:
        name = str(grader.get("model", ""))
        if name not in self._judges:
            detail = f"{name!r} is no judge model of this service; {_configured(sorted(self._judges))}"
            raise refusal("model", detail, reason="MODEL_UNKNOWN")
        return self._judges[name]


def patience(settings: GradingSettings) -> Patience:
    """Return how often a model is asked."""
    return Patience(settings.model_attempts, settings.model_pause_seconds, settings.model_pause_seconds_max)


def breaker(settings: GradingSettings) -> Breaker:
    """Return a closed breaker."""
    return Breaker(settings.breaker_failure_count, settings.breaker_open_seconds)


def call_name(questions: Questions) -> bytes:
    """Return the name under which a call has its questions asked anew; empty where kept answers will do."""
    return secrets.token_bytes(16) if questions.fresh else b""


def _submit(
    judge: Judge, model: AskedModel[float | str], question: JudgeQuestion, deadline: float, anew_for: bytes
) -> Flight[float | str]:
    return model.submit(
        question.key(), lambda seconds: judge.ask(question, seconds), deadline=deadline, anew_for=anew_for
    )


def _grade(outcome: float | str | AttemptError, verdict: Verdict) -> Grade:
    return Grade(error=outcome.grade_error) if isinstance(outcome, AttemptError) else verdict.grade(outcome)


def _configured(names: Sequence[str]) -> str:
    have = f"configured are {', '.join(names)}" if names else "none is configured"
    return f"{have}. One is added by a table [grading.models.NAME] of the settings file, or by PINETUNE_GRADING_MODELS"
