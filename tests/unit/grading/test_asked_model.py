"""How a model is asked, whatever is asked of it: pauses, one budget of attempts, faults of ours."""

import time
from collections.abc import Iterator

import pytest

from pinetune.grading.models.asked_model import AskedModel
from pinetune.grading.models.attempts import Answered, AttemptError, Patience, Usage
from pinetune.grading.models.breaker import Breaker
from pinetune.grading.models.settings import ModelSettings

PATIENCE = Patience(attempts=3, pause_seconds=1.0, pause_seconds_max=20.0)
Outcome = AttemptError | Exception | str


class Server:
    """Answers, or fails as its script says."""

    def __init__(self, *script: Outcome) -> None:
        self.script = list(script)
        self.seconds: list[float] = []

    def ask(self, seconds: float) -> Answered[str]:
        self.seconds.append(seconds)
        outcome = self.script.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return Answered(outcome, Usage(2, 1))


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def model(pauses: list[float]) -> Iterator[AskedModel[str]]:
    settings = ModelSettings(base_url="http://judge/v1", timeout_seconds=60.0)
    made: AskedModel[str] = AskedModel("m", settings, PATIENCE, Breaker(99, 1.0), pause=pauses.append)
    yield made
    made.close()


def busy(retry_after_seconds: float | None = None) -> AttemptError:
    return AttemptError("MODEL_SERVER", "busy", retryable=True, retry_after_seconds=retry_after_seconds)


def result(model: AskedModel[str], server: Server, seconds: float = 600.0) -> str | AttemptError:
    deadline = time.monotonic() + seconds
    return model.submit(b"key", server.ask, deadline=deadline).wait(deadline)


def test_pauses_are_those_of_patience(model: AskedModel[str], pauses: list[float]) -> None:
    assert result(model, Server(busy(), busy(), "yes")) == "yes"
    assert pauses == [PATIENCE.pause(b"key", 1, None), PATIENCE.pause(b"key", 2, None)]


def test_a_server_that_asks_for_patience_within_the_deadline_gets_it(
    model: AskedModel[str], pauses: list[float]
) -> None:
    assert result(model, Server(busy(300.0), "yes")) == "yes"
    assert pauses == [300.0]


def test_a_pause_beyond_the_deadline_is_not_made(model: AskedModel[str], pauses: list[float]) -> None:
    error = busy(700.0)
    assert result(model, Server(error, "yes")) is error
    assert pauses == []


def test_after_the_last_attempt_there_is_no_pause(model: AskedModel[str], pauses: list[float]) -> None:
    last = busy()
    assert result(model, Server(busy(), busy(), last, "yes")) is last
    assert len(pauses) == 2


def test_an_attempt_has_the_models_timeout_or_what_is_left_of_the_grade(model: AskedModel[str]) -> None:
    server = Server(busy(), "yes")
    result(model, server, seconds=30.0)
    assert all(0 < seconds <= 30.0 for seconds in server.seconds)
    patient = Server("kept")
    model.submit(b"other", patient.ask, deadline=time.monotonic() + 600.0).wait(time.monotonic() + 600.0)
    assert patient.seconds == [60.0]


def test_a_fault_of_ours_is_raised_where_the_question_was_asked_and_the_next_one_is_asked(
    model: AskedModel[str],
) -> None:
    server = Server(ZeroDivisionError("oh"), "yes")
    with pytest.raises(ZeroDivisionError):
        result(model, server)
    assert result(model, server) == "yes"


def test_a_model_that_was_closed_is_not_asked(model: AskedModel[str]) -> None:
    server = Server("yes")
    model.close()
    outcome = result(model, server)
    assert isinstance(outcome, AttemptError)
    assert (outcome.error_class, outcome.retryable, server.seconds) == ("MODEL_SERVER", True, [])


def make(breaker: Breaker, **fields: int) -> AskedModel[str]:
    settings = ModelSettings.model_validate({"base_url": "http://judge/v1"} | fields)
    return AskedModel("m", settings, Patience(attempts=1), breaker)


def timed_out() -> AttemptError:
    return AttemptError("MODEL_SERVER", "slow", retryable=True, server_alive=False, timed_out=True)


def test_a_reply_cut_off_by_the_grades_deadline_says_nothing_about_the_server() -> None:
    model = make(Breaker(1, 3600.0))
    server = Server(timed_out(), "yes")
    cut = result(model, server, seconds=30.0)
    assert isinstance(cut, AttemptError)
    assert cut.error_class == "DEADLINE"
    assert result(model, server) == "yes"
    model.close()


def test_a_reply_that_took_the_models_whole_timeout_counts_against_the_server() -> None:
    model = make(Breaker(1, 3600.0))
    server = Server(timed_out(), "yes")
    late, alone = result(model, server), result(model, server)
    assert isinstance(late, AttemptError)
    assert isinstance(alone, AttemptError)
    assert late.error_class == alone.error_class == "MODEL_SERVER"
    assert server.script == ["yes"]
    model.close()


def test_a_spent_budget_stays_the_reason_while_the_breaker_is_open() -> None:
    model = make(Breaker(1, 0.0), request_budget=1)
    server = Server(AttemptError("MODEL_SERVER", "down", retryable=True, server_alive=False), "yes")
    result(model, server)
    for outcome in (result(model, server), result(model, server)):
        assert isinstance(outcome, AttemptError)
        assert "request_budget" in outcome.detail
        assert not outcome.retryable
    model.close()


def test_an_answer_that_is_not_to_be_kept_is_asked_for_again(model: AskedModel[str]) -> None:
    server, deadline = Server("one", "two"), time.monotonic() + 600.0
    answers = [model.submit(b"k", server.ask, deadline=deadline, keep=False).wait(deadline) for _ in range(2)]
    assert answers == ["one", "two"]
