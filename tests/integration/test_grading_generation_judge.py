"""A judge behind pinetune's own generation service, over real gRPC: its answer is read from free text."""

import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from pydantic import JsonValue
from tests.fakes.generation_service import FakeGenerationService

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.rollout import Grade, GradeError
from pinetune.grading.asking import Answers, Questions
from pinetune.grading.config import GradingSettings
from pinetune.grading.models.judge import JudgeAsker
from pinetune.pod.errors import Broken, Busy, InvalidInput, PinetuneError, Unavailable

SCORE: dict[str, JsonValue] = {"type": "score_model", "model": "own", "range": [0, 1], "sampling_params": None}
SYSTEM = {"role": "system", "content": "You judge."}
USER = {"role": "user", "content": "How good is 4?"}
ASSISTANT = {"role": "assistant", "content": "Let me see."}


@pytest.fixture
def service() -> FakeGenerationService:
    return FakeGenerationService(lambda prompt: 'Well. ```json\n{"steps": [], "result": 0.5}\n``` That is it.')


@pytest.fixture
def asker(
    service: FakeGenerationService, serve: Callable[..., str], request: pytest.FixtureRequest
) -> Iterator[JudgeAsker]:
    """An asker whose model is the service; a test's parameters are further fields of the model."""
    model = {"base_url": f"grpc://{serve([service.registered()])}"} | getattr(request, "param", {})
    settings = {"models": {"own": model}, "model_pause_seconds": 0.001}
    made = JudgeAsker(GradingSettings.model_validate(settings))
    yield made
    made.close()


def ask(
    asker: JudgeAsker, *messages: dict[str, str], grader: dict[str, JsonValue] = SCORE, seconds: float = 30.0
) -> Answers:
    body = json.dumps(messages or [USER])
    questions = Questions(kind="score_model", part="", grader=grader, bodies=[body])
    return asker.ask(questions, deadline=time.monotonic() + seconds, cancelled=threading.Event())


def error(answers: Answers) -> GradeError:
    (grade,) = answers.grades
    assert grade.error is not None
    return grade.error


def test_the_json_object_in_the_answer_is_read_and_its_tokens_counted(asker: JudgeAsker) -> None:
    answers = ask(asker)
    assert answers.grades == [Grade(score=0.5)]
    assert answers.judge_tokens == {"own": 5}


def test_the_schema_is_asked_for_in_the_last_users_turn(service: FakeGenerationService, asker: JudgeAsker) -> None:
    ask(asker, SYSTEM, USER)
    (prompt,) = service.seen[0].prompts
    assert [message.role for message in prompt.messages] == [rollout_pb2.ROLE_SYSTEM, rollout_pb2.ROLE_USER]
    question, _, instruction = prompt.messages[1].content.partition("\n\n")
    assert question == "How good is 4?"
    assert '"result": {"type": "number"}' in instruction


def test_a_prompt_that_does_not_end_with_the_user_gets_a_users_turn(
    service: FakeGenerationService, asker: JudgeAsker
) -> None:
    ask(asker, USER, ASSISTANT)
    (prompt,) = service.seen[0].prompts
    assert [message.role for message in prompt.messages][1:] == [rollout_pb2.ROLE_ASSISTANT, rollout_pb2.ROLE_USER]
    assert prompt.messages[1].content == "Let me see."


def test_sampling_is_the_graders_and_greedy_without_any(service: FakeGenerationService, asker: JudgeAsker) -> None:
    ask(asker)
    sampling: JsonValue = {"seed": 3, "top_p": 0.5, "temperature": 0.25, "max_completions_tokens": 7}
    ask(asker, grader=SCORE | {"sampling_params": sampling})
    default, wanted = (request.sampling for request in service.seen)
    assert default == wire.SamplingParams(temperature=0.0, top_p=1.0, max_tokens=1024)
    assert wanted == wire.SamplingParams(temperature=0.25, top_p=0.5, max_tokens=7, seed=3)


def test_a_sampling_parameter_that_the_service_does_not_know_is_refused(asker: JudgeAsker) -> None:
    asker.check(SCORE)
    with pytest.raises(InvalidInput) as caught:
        asker.check(SCORE | {"sampling_params": {"reasoning_effort": "low"}})
    assert caught.value.metadata["field"] == "sampling_params.reasoning_effort"


def test_an_answer_in_words_or_cut_off_is_an_error_and_never_0(
    service: FakeGenerationService, asker: JudgeAsker
) -> None:
    service.finish_reason = rollout_pb2.FINISH_REASON_LENGTH
    assert error(ask(asker)).error_class == "MODEL_PARSE"
    service.finish_reason = rollout_pb2.FINISH_REASON_STOP
    service.answer = lambda prompt: "A solid 7 of 10."
    found = error(ask(asker))
    assert (found.error_class, found.retryable) == ("MODEL_PARSE", True)
    assert len(service.seen) == 6


@pytest.mark.parametrize(
    ("fault", "retryable"),
    [
        (Unavailable("away", reason="AWAY"), True),
        (Busy("full", reason="FULL"), True),
        (Broken("oh", reason="OH"), True),
        (InvalidInput("the prompt is too long", reason="PROMPT_TOO_LONG"), False),
    ],
    ids=["unavailable", "busy", "broken", "invalid"],
)
def test_a_service_that_fails_is_an_error_in_its_words(
    service: FakeGenerationService, asker: JudgeAsker, fault: PinetuneError, retryable: bool
) -> None:
    def fail(prompt: wire.Prompt) -> str:
        raise fault

    service.answer = fail
    found = error(ask(asker))
    assert (found.error_class, found.retryable) == ("MODEL_SERVER", retryable)
    assert fault.message in found.detail
    assert len(service.seen) == (3 if retryable else 1)


@pytest.fixture
def hanging(service: FakeGenerationService, asker: JudgeAsker) -> Iterator[FakeGenerationService]:
    release = threading.Event()

    def hang(prompt: wire.Prompt) -> str:
        release.wait(30)
        return ""

    service.answer = hang
    yield service
    release.set()


def test_a_grade_that_has_no_more_time_is_a_deadline(hanging: FakeGenerationService, asker: JudgeAsker) -> None:
    found = error(ask(asker, seconds=0.1))
    assert (found.error_class, found.retryable) == ("DEADLINE", True)


@pytest.mark.parametrize("asker", [{"timeout_seconds": 0.1}], indirect=True)
def test_a_service_that_hangs_is_given_up_after_the_models_timeout(
    hanging: FakeGenerationService, asker: JudgeAsker
) -> None:
    found = error(ask(asker))
    assert (found.error_class, found.retryable) == ("MODEL_SERVER", True)
    assert len(hanging.seen) == 3
