"""How a model is asked, whatever is asked of it: pauses, one budget of attempts, faults of ours."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from prometheus_client import REGISTRY

from pinetune.grading.models.asked_model import AskedModel
from pinetune.grading.models.attempts import Answered, AttemptError, Patience, Usage
from pinetune.grading.models.breaker import Breaker
from pinetune.grading.models.flight import Flight
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
    def pause(over: threading.Event, seconds: float) -> None:
        pauses.append(seconds)

    settings = ModelSettings(base_url="http://judge/v1", timeout_seconds=60.0)
    made: AskedModel[str] = AskedModel("m", settings, PATIENCE, Breaker(99, 1.0), pause=pause)
    yield made
    made.close()


def busy(retry_after_seconds: float | None = None) -> AttemptError:
    return AttemptError("MODEL_SERVER", "busy", retryable=True, retry_after_seconds=retry_after_seconds)


def result(
    model: AskedModel[str], server: Server, seconds: float = 600.0, *, keep: bool = True, anew_for: bytes = b""
) -> str | AttemptError:
    deadline = time.monotonic() + seconds
    flight = model.submit(b"key", server.ask, deadline=deadline, keep=keep, anew_for=anew_for)
    (outcome,) = model.outcomes([flight], deadline=deadline, cancelled=threading.Event())
    return outcome


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
    result(model, patient, anew_for=b"another call")
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
    server = Server("one", "two")
    assert [result(model, server, keep=False) for _ in range(2)] == ["one", "two"]


def test_a_call_that_wants_new_answers_gets_them_and_leaves_the_kept_ones_alone(model: AskedModel[str]) -> None:
    server = Server("kept", "new", "newer")
    calls = [b"", b"call 1", b"call 2", b""]
    assert [result(model, server, anew_for=call) for call in calls] == ["kept", "new", "newer", "kept"]


def test_equal_questions_of_a_call_that_wants_new_answers_are_asked_once(model: AskedModel[str]) -> None:
    go, server, deadline = threading.Event(), Server("one", "two"), time.monotonic() + 600.0

    def ask(seconds: float) -> Answered[str]:
        assert go.wait(30)
        return server.ask(seconds)

    flights = [model.submit(b"k", ask, deadline=deadline, anew_for=call) for call in (b"1", b"1", b"2", b"2")]
    go.set()
    outcomes = model.outcomes(flights, deadline=deadline, cancelled=threading.Event())
    assert outcomes[0] == outcomes[1]
    assert outcomes[2] == outcomes[3]
    assert server.script == []


class Line:
    """A model with one thread, which a first question keeps until `go` is set."""

    def __init__(self) -> None:
        self.go, self.begun = threading.Event(), threading.Event()
        self.asked: list[str] = []
        settings = ModelSettings(base_url="http://judge/v1", concurrency=1)
        self.model: AskedModel[str] = AskedModel("m", settings, PATIENCE, Breaker(99, 1.0))
        self.deadline = time.monotonic() + 600.0
        self.first = self.submit("first")
        assert self.begun.wait(30)

    def submit(self, text: str) -> Flight[str]:
        return self.model.submit(text.encode(), partial(self._answer, text), deadline=self.deadline)

    def outcomes(self, *flights: Flight[str], cancelled: threading.Event | None = None) -> list[str | AttemptError]:
        return self.model.outcomes(flights, deadline=self.deadline, cancelled=cancelled or threading.Event())

    def _answer(self, text: str, seconds: float) -> Answered[str]:
        self.begun.set()
        assert self.go.wait(30)
        self.asked.append(text)
        return Answered(text, Usage())


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.go.set()
    made.model.close()


def cancelled() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def test_questions_of_a_cancelled_call_are_not_asked_and_nobody_waits_for_them(line: Line) -> None:
    flights = [line.submit(f"question {number}") for number in range(20)]
    for outcome in line.outcomes(*flights, cancelled=cancelled()):
        assert isinstance(outcome, AttemptError)
        assert "cancelled" in outcome.detail
    assert REGISTRY.get_sample_value("pinetune_grading_model_waiting", {"model": "m"}) == 0
    line.go.set()
    assert line.outcomes(line.first, line.submit("last")) == ["first", "last"]
    assert line.asked == ["first", "last"]


def test_a_call_that_is_cancelled_while_it_waits_ends(line: Line) -> None:
    leaving = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(line.outcomes, line.submit("question"), cancelled=leaving)
        leaving.set()
        (outcome,) = waiting.result(30)
    assert isinstance(outcome, AttemptError)


def test_who_waits_for_the_same_question_as_a_cancelled_call_gets_the_answer(line: Line) -> None:
    leaving, staying = line.submit("same"), line.submit("same")
    line.outcomes(leaving, cancelled=cancelled())
    line.go.set()
    assert line.outcomes(staying) == ["same"]


def test_a_question_that_was_dropped_is_asked_when_it_comes_again(line: Line) -> None:
    line.outcomes(line.submit("same"), cancelled=cancelled())
    again = line.submit("same")
    line.go.set()
    assert line.outcomes(again) == ["same"]
    assert line.asked == ["first", "same"]


def test_the_pause_of_a_cancelled_call_ends_and_nothing_is_asked_after_it() -> None:
    pausing, paused = threading.Event(), threading.Event()

    def pause(over: threading.Event, seconds: float) -> None:
        pausing.set()
        assert over.wait(30)
        paused.set()

    settings = ModelSettings(base_url="http://judge/v1", concurrency=1)
    model: AskedModel[str] = AskedModel("m", settings, PATIENCE, Breaker(99, 1.0), pause=pause)
    server, deadline = Server(busy(), "too late", "next"), time.monotonic() + 600.0
    flight = model.submit(b"k", server.ask, deadline=deadline)
    assert pausing.wait(30)
    model.outcomes([flight], deadline=deadline, cancelled=cancelled())
    assert paused.wait(30)
    server.script.pop(0)
    assert result(model, server) == "next"
    model.close()
