"""Judge models behind servers that fail, hang or are busy: attempts, deadlines, the breaker, the end."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.fakes.openai_api import DROPS, HANGS, OpenaiApi, Reply, judged, refused, said, status
from tests.integration.grading_judges.conftest import Make, ask, error, grade, metric

from pinetune.client.rollout import Grade
from pinetune.grading.models.judge import JudgeAsker


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
    assert found.detail == f"model judge at {api.url}: status {code}: no such deployment"
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


def test_no_more_questions_are_asked_at_once_than_allowed(api: OpenaiApi, make: Make) -> None:
    two_are_here = threading.Barrier(2)

    def answer(body: dict[str, object]) -> Reply:
        two_are_here.wait(30)
        return judged(1.0)

    api.otherwise = answer
    ask(make(concurrency=2), *map(str, range(8)))
    assert api.busiest == 2


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


def test_a_cancelled_call_ends_and_what_was_not_asked_yet_is_not_asked(api: OpenaiApi, make: Make) -> None:
    go, cancelled = threading.Event(), threading.Event()
    two_are_here = threading.Barrier(3)

    def answer(body: dict[str, object]) -> Reply:
        if "last" not in json.dumps(body):
            two_are_here.wait(30)
            assert go.wait(30)
        return judged(1.0)

    api.otherwise = answer
    asker = make(concurrency=2)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(ask, asker, *map(str, range(40)), cancelled=cancelled)
        two_are_here.wait(30)
        cancelled.set()
        errors = [grade.error for grade in call.result(30).grades]
    go.set()
    assert {error and error.detail for error in errors} == {"the call was cancelled before the model answered"}
    assert grade(asker, "last").score == 1.0
    assert len(api.seen) == 3
