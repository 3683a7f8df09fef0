"""Judge models behind a real HTTP server: what is asked, and that a failure of any kind is never a score."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from prometheus_client import REGISTRY
from pydantic import JsonValue
from tests.fakes.openai_api import DROPS, GARBAGE, HANGS, OpenaiApi, Reply, judged, refused, said, status

from pinetune.client.rollout import Grade, GradeError
from pinetune.grading.asking import Answers, Questions
from pinetune.grading.config import GradingSettings
from pinetune.grading.models.judge import JudgeAsker
from pinetune.pod.errors import InvalidInput

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


def ask(asker: JudgeAsker, *texts: str, grader: dict[str, JsonValue] = SCORE, seconds: float = 30.0) -> Answers:
    bodies = [json.dumps([{"role": "user", "content": text}]) for text in texts or ("hello",)]
    questions = Questions(kind=str(grader["type"]), part="", grader=grader, bodies=bodies)
    return asker.ask(questions, deadline=time.monotonic() + seconds, cancelled=threading.Event())


def grade(asker: JudgeAsker, text: str = "hello", **how: object) -> Grade:
    (found,) = ask(asker, text, **how).grades  # type: ignore[arg-type]
    return found


def error(asker: JudgeAsker, text: str = "hello", **how: object) -> GradeError:
    found = grade(asker, text, **how)
    assert found.error is not None
    return found.error


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_judges_number_is_the_score(api: OpenaiApi, asker: JudgeAsker) -> None:
    api.script.append(judged(0.7))
    assert grade(asker) == Grade(score=0.7)


@pytest.mark.parametrize(("result", "score"), [(11, 10.0), (-3.5, 0.0), (7, 7.0)], ids=["above", "below", "inside"])
def test_a_number_outside_the_range_counts_as_its_nearer_end(
    api: OpenaiApi, asker: JudgeAsker, result: float, score: float
) -> None:
    api.script.append(judged(result))
    assert grade(asker, grader=SCORE | {"range": [0, 10]}) == Grade(score=score)


@pytest.mark.parametrize(("label", "score"), [("kind", 1.0), ("neutral", 1.0), ("rude", 0.0)])
def test_a_passing_label_scores_1_and_another_0_and_the_label_is_shown(
    api: OpenaiApi, asker: JudgeAsker, label: str, score: float
) -> None:
    api.script.append(judged(label))
    assert grade(asker, grader=LABEL) == Grade(score=score, extracted_answer=label)


@pytest.mark.parametrize(
    "reply",
    [
        said("I would give it a 7."),
        said('```json\n{"result": 1}\n```'),
        said('{"steps": []}'),
        said("[1]"),
        said(""),
        said(None),
        said('{"steps": [], "result": 0.5', finish_reason="length"),
        said('{"steps": [], "result": 0.5}', finish_reason="length"),
        judged("0.7"),
        judged(None),
        judged(True),
        judged([0.7]),
        said('{"result": NaN}'),
        said('{"result": 1e999}'),
        said('{"result": 1' + "0" * 400 + "}"),
        Reply(b'{"choices": []}'),
        GARBAGE,
    ],
    ids=[
        "words", "fence", "no_result", "no_object", "empty", "nothing", "cut", "cut_behind_its_end", "text", "null",
        "bool", "list", "nan", "infinite", "too_large", "no_choice", "html",
    ],
)  # fmt: skip
def test_a_judge_that_does_not_answer_with_a_number_is_an_error_and_never_0(
    api: OpenaiApi, asker: JudgeAsker, reply: Reply
) -> None:
    api.otherwise = lambda body: reply
    found = error(asker)
    assert (found.error_class, found.retryable) == ("MODEL_PARSE", True)
    assert "judge" in found.detail


@pytest.mark.parametrize("result", ["Kind", "friendly", 1, None], ids=["case", "other", "number", "null"])
def test_a_label_that_is_none_of_the_labels_is_an_error(api: OpenaiApi, asker: JudgeAsker, result: object) -> None:
    api.otherwise = lambda body: judged(result)
    found = error(asker, grader=LABEL)
    assert found.error_class == "MODEL_PARSE"
    assert "kind, neutral, rude" in found.detail


@pytest.mark.parametrize("reply", [refused(), said("", finish_reason="content_filter")], ids=["refusal", "filter"])
def test_a_refusal_is_its_own_error_and_is_not_asked_again(api: OpenaiApi, asker: JudgeAsker, reply: Reply) -> None:
    api.otherwise = lambda body: reply
    found = error(asker)
    assert (found.error_class, found.retryable) == ("MODEL_REFUSAL", False)
    assert len(api.seen) == 1


@pytest.mark.parametrize("reply", [status(500), status(503), status(429), DROPS], ids=["500", "503", "429", "drop"])
def test_a_server_that_fails_for_good_is_an_error_that_may_pass(
    api: OpenaiApi, asker: JudgeAsker, reply: Reply
) -> None:
    api.otherwise = lambda body: reply
    found = error(asker)
    assert (found.error_class, found.retryable) == ("MODEL_SERVER", True)
    assert len(api.seen) == 3


def test_a_server_that_nobody_runs_is_an_error_that_may_pass(make: Make) -> None:
    found = error(make(base_url="http://127.0.0.1:1/v1"))
    assert (found.error_class, found.retryable) == ("MODEL_SERVER", True)


@pytest.mark.parametrize("code", [301, 400, 401, 403, 404])
def test_a_client_error_is_told_in_the_servers_words_and_not_repeated(
    api: OpenaiApi, asker: JudgeAsker, code: int
) -> None:
    api.otherwise = lambda body: status(code, "no such deployment", Location="http://127.0.0.1:1/")
    found = error(asker)
    assert (found.error_class, found.retryable) == ("MODEL_SERVER", False)
    assert found.detail == f"model judge: status {code}: no such deployment"
    assert len(api.seen) == 1


def test_a_server_that_hangs_is_given_up_after_the_models_timeout(api: OpenaiApi, make: Make) -> None:
    api.otherwise = lambda body: HANGS
    found = error(make(timeout_seconds=0.05, model_attempts=2))
    assert (found.error_class, found.retryable) == ("MODEL_SERVER", True)
    assert len(api.seen) == 2


def test_a_grade_that_has_no_more_time_is_a_deadline(api: OpenaiApi, asker: JudgeAsker) -> None:
    api.otherwise = lambda body: HANGS
    found = error(asker, seconds=0.1)
    assert (found.error_class, found.retryable) == ("DEADLINE", True)


def test_questions_that_still_wait_at_the_deadline_are_deadlines_too(api: OpenaiApi, make: Make) -> None:
    api.otherwise = lambda body: HANGS
    found = ask(make(concurrency=1), "a", "b", "c", seconds=0.1).grades
    assert [grade.error.error_class for grade in found if grade.error] == ["DEADLINE"] * 3
    assert len(api.seen) == 1


def test_one_failing_question_leaves_the_others_alone(api: OpenaiApi, make: Make) -> None:
    def answer(body: dict[str, object]) -> Reply:
        return status(400, "too long") if "long" in json.dumps(body) else judged(0.5)

    api.otherwise = answer
    found = ask(make(), "short", "long", "brief").grades
    assert [grade.score for grade in found] == [0.5, None, 0.5]


def test_the_retry_budget_is_one_for_all_causes(api: OpenaiApi, asker: JudgeAsker) -> None:
    api.script += [status(500), said("words"), status(429), judged(1.0)]
    assert error(asker).error_class == "MODEL_SERVER"
    assert len(api.seen) == 3


def test_a_failure_within_the_budget_is_made_good(api: OpenaiApi, asker: JudgeAsker) -> None:
    api.script += [DROPS, said("words"), judged(0.25)]
    assert grade(asker) == Grade(score=0.25)


def test_the_server_is_not_waited_for_beyond_the_deadline(api: OpenaiApi, asker: JudgeAsker) -> None:
    api.script.append(status(429, "slow down", Retry_After="3600"))
    found = error(asker)
    assert (found.error_class, found.retryable) == ("MODEL_SERVER", True)
    assert "slow down" in found.detail
    assert len(api.seen) == 1


def test_an_open_breaker_asks_nobody(api: OpenaiApi, make: Make) -> None:
    api.otherwise = lambda body: status(500)
    asker = make(breaker_failure_count=2, breaker_open_seconds=3600.0)
    error(asker, "a")
    assert metric("pinetune_grading_model_breaker_open", model="judge") == 1.0
    found = error(asker, "b")
    assert (found.error_class, found.retryable) == ("MODEL_SERVER", True)
    assert "left alone" in found.detail
    assert len(api.seen) == 2


def test_a_breaker_closes_once_the_server_answers_again(api: OpenaiApi, make: Make) -> None:
    api.script += [status(500), judged(0.5)]
    asker = make(breaker_failure_count=1, breaker_open_seconds=0.0)
    error(asker, "a")
    assert grade(asker, "b").score == 0.5
    assert metric("pinetune_grading_model_breaker_open", model="judge") == 0.0


def test_a_judge_that_answers_nonsense_does_not_open_the_breaker(api: OpenaiApi, make: Make) -> None:
    asker = make(breaker_failure_count=1, breaker_open_seconds=3600.0, model_attempts=1)
    api.script += [said("words"), refused(), status(400), status(429)]
    for text in ("a", "b", "c", "d"):
        error(asker, text)
    assert grade(asker, "e").score == 1.0


def test_equal_questions_are_asked_once(api: OpenaiApi, asker: JudgeAsker) -> None:
    first, second = ask(asker, "same", "same", "other"), ask(asker, "same")
    assert len(api.seen) == 2
    assert first.judge_tokens == {"judge": 30}
    assert second.judge_tokens == {}
    assert {grade.score for grade in [*first.grades, *second.grades]} == {1.0}


def test_equal_questions_of_calls_at_the_same_time_are_asked_once(api: OpenaiApi, asker: JudgeAsker) -> None:
    both_wait = threading.Barrier(2)

    def call(_: int) -> Answers:
        both_wait.wait()
        return ask(asker, *["same"] * 20)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(call, range(2)))
    assert len(api.seen) == 1
    assert sum(answer.judge_tokens.get("judge", 0) for answer in answers) == 15


def test_who_has_more_time_is_not_failed_by_who_has_less(api: OpenaiApi, make: Make) -> None:
    api.script += [HANGS]
    asker = make(timeout_seconds=0.2)
    with ThreadPoolExecutor(2) as pool:
        hasty = pool.submit(ask, asker, "same", seconds=0.05)
        patient = pool.submit(ask, asker, "same")
        errors = [grade.error for grade in hasty.result().grades]
        scores = [grade.score for grade in patient.result().grades]
    assert [error.error_class for error in errors if error] == ["DEADLINE"]
    assert scores == [1.0]


def test_a_failure_is_not_kept(api: OpenaiApi, make: Make) -> None:
    asker = make(model_attempts=1)
    api.script += [said("words"), judged(0.5)]
    assert error(asker).error_class == "MODEL_PARSE"
    assert grade(asker).score == 0.5


def test_another_range_needs_no_new_answer_but_another_sampling_does(api: OpenaiApi, asker: JudgeAsker) -> None:
    api.otherwise = lambda body: judged(5)
    assert grade(asker, grader=SCORE | {"range": [0, 10]}).score == 5.0
    assert grade(asker, grader=SCORE | {"range": [0, 2]}).score == 2.0
    assert len(api.seen) == 1
    grade(asker, grader=SCORE | {"sampling_params": {"temperature": 0.5}})
    assert len(api.seen) == 2


def test_the_cache_forgets_what_was_used_least_lately(api: OpenaiApi, make: Make) -> None:
    asker = make(cache_entries=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        grade(asker, text)
    assert [seen.body["messages"][0]["content"] for seen in api.seen] == ["a", "b", "c", "b"]


def test_no_more_questions_are_asked_at_once_than_allowed(api: OpenaiApi, make: Make) -> None:
    two_are_here = threading.Barrier(2)

    def answer(body: dict[str, object]) -> Reply:
        two_are_here.wait(30)
        return judged(1.0)

    api.otherwise = answer
    ask(make(concurrency=2), *map(str, range(8)))
    assert api.busiest == 2


def test_a_spent_request_budget_is_named_and_stays_spent(api: OpenaiApi, make: Make) -> None:
    asker = make(request_budget=2, concurrency=1)
    assert [grade.score for grade in ask(asker, "a", "b", "c").grades] == [1.0, 1.0, None]
    found = error(asker, "d")
    assert (found.error_class, found.retryable) == ("MODEL_SERVER", False)
    assert "request_budget of 2" in found.detail
    assert grade(asker, "a").score == 1.0
    assert len(api.seen) == 2


def test_a_spent_token_budget_is_named_and_unusable_replies_cost_too(api: OpenaiApi, make: Make) -> None:
    api.otherwise = lambda body: said("words")
    asker = make(token_budget=30)
    answers = ask(asker, "a")
    assert answers.judge_tokens == {"judge": 30}
    (found,) = answers.grades
    assert found.error is not None
    assert (found.error.error_class, found.error.retryable) == ("MODEL_SERVER", False)
    assert "token_budget of 30 is spent" in found.error.detail
    assert len(api.seen) == 2


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


def test_closing_fails_what_is_under_way(api: OpenaiApi, asker: JudgeAsker) -> None:
    asked = threading.Event()

    def answer(body: dict[str, object]) -> Reply:
        asked.set()
        return HANGS

    api.otherwise = answer
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(ask, asker, "a")
        assert asked.wait(30)
        asker.close()
        (found,) = call.result().grades
    assert found.error is not None
    assert (found.error.error_class, found.error.retryable) == ("MODEL_SERVER", True)
    assert "stopping" in found.error.detail


def test_calls_outcomes_and_tokens_are_counted(api: OpenaiApi, asker: JudgeAsker) -> None:
    def counts() -> list[float]:
        calls = "pinetune_grading_model_calls_total"
        return [
            metric(calls, model="judge", outcome="answered"),
            metric(calls, model="judge", outcome="model_parse"),
            metric("pinetune_grading_model_tokens_total", model="judge", kind="prompt"),
            metric("pinetune_grading_model_tokens_total", model="judge", kind="completion"),
            metric("pinetune_grading_model_cache_hits_total", model="judge"),
            metric("pinetune_grading_model_call_seconds_count", model="judge"),
        ]

    before = counts()
    api.script.append(said("words"))
    ask(asker, "a", "a")
    assert [new - old for new, old in zip(counts(), before, strict=True)] == [1, 1, 22, 8, 1, 2]
    assert metric("pinetune_grading_model_waiting", model="judge") == 0


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
