"""What judge models cost: equal questions are asked once, budgets end, and all is counted."""

import threading
from concurrent.futures import ThreadPoolExecutor

from tests.fakes.openai_api import OpenaiApi, judged, said
from tests.integration.grading_judges.conftest import SCORE, Make, ask, error, grade, metric

from pinetune.grading.asking import Answers
from pinetune.grading.models.judge import JudgeAsker


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


def test_a_call_that_wants_new_answers_asks_anew_and_once_for_equal_questions(
    api: OpenaiApi, asker: JudgeAsker
) -> None:
    ask(asker, "same")
    api.script += [judged(0.25), judged(0.5)]
    new = [ask(asker, "same", "same", fresh=True).grades for _ in range(2)]
    assert [[grade.score for grade in grades] for grades in new] == [[0.25, 0.25], [0.5, 0.5]]
    assert grade(asker, "same").score == 1.0
    assert len(api.seen) == 3
