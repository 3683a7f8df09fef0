import threading
import time

import pytest

from pinetune.generation.turns import RETRY_SECONDS, RETRY_SECONDS_MAX, RETRY_SECONDS_MIN, Turns
from pinetune.pod.errors import Busy, Cancelled


class Caller(threading.Thread):
    """Takes a turn and keeps it until told to go."""

    def __init__(self, turns: Turns, order: list[int], completion_count: int, token_count: int = 0) -> None:
        super().__init__(daemon=True)
        self.token_count = token_count
        self.turns, self.order, self.completion_count = turns, order, completion_count
        self.has_turn, self.may_go, self.left = threading.Event(), threading.Event(), threading.Event()
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            with self.turns.take(lambda: not self.left.is_set(), self.completion_count, self.token_count):
                self.order.append(self.completion_count)
                self.has_turn.set()
                self.may_go.wait(10)
        except (Busy, Cancelled) as error:
            self.error = error


def wait_until_waiting(turns: Turns, completion_count: int) -> None:
    deadline = time.monotonic() + 10
    while turns.waiting_count != completion_count:
        assert time.monotonic() < deadline, f"{turns.waiting_count} completions wait"
        time.sleep(0.001)


def test_the_engine_goes_to_callers_in_the_order_they_came() -> None:
    turns = Turns(waiting_max=8, waiting_tokens_max=1000)
    order: list[int] = []
    callers = [Caller(turns, order, 1)]
    assert callers[0].has_turn.wait(10)
    for number in (20, 300, 4000):
        before = turns.waiting_count
        callers.append(Caller(turns, order, number))
        wait_until_waiting(turns, before + number)
    assert (turns.running_count, turns.waiting_count) == (1, 4320)
    for caller in callers:
        assert caller.has_turn.wait(10)
        caller.may_go.set()
        caller.join(10)
    assert order == [1, 20, 300, 4000]
    assert (turns.running_count, turns.waiting_count) == (0, 0)


def test_too_many_callers_are_told_to_come_again() -> None:
    turns = Turns(waiting_max=1, waiting_tokens_max=1000)
    first = Caller(turns, [], 1)
    assert first.has_turn.wait(10)
    second = Caller(turns, [], 2)
    wait_until_waiting(turns, 2)
    with pytest.raises(Busy, match="1 calls wait for the engine already") as caught, turns.take(lambda: True):
        pass
    assert caught.value.retry_after_seconds is not None
    first.may_go.set()
    assert second.has_turn.wait(10)
    second.may_go.set()


def test_tokens_that_wait_are_bounded_too_and_the_next_in_turn_may_be_of_any_size() -> None:
    turns = Turns(waiting_max=8, waiting_tokens_max=1000)
    callers = [Caller(turns, [], 1, 5000)]
    assert callers[0].has_turn.wait(10)
    callers.append(Caller(turns, [], 2, 900))
    wait_until_waiting(turns, 2)
    sentence = "101 more tokens would make 1001 that wait"
    with pytest.raises(Busy, match=sentence) as caught, turns.take(lambda: True, 3, 101):
        pass
    assert caught.value.metadata == {"limit": "1000", "given": "1001"}
    callers.append(Caller(turns, [], 4, 100))
    wait_until_waiting(turns, 6)
    for caller in callers:
        assert caller.has_turn.wait(10)
        caller.may_go.set()


def test_a_call_that_waits_for_the_next_turn_is_taken_however_large_it_is() -> None:
    turns = Turns(waiting_max=8, waiting_tokens_max=10)
    first = Caller(turns, [], 1, 1)
    assert first.has_turn.wait(10)
    second = Caller(turns, [], 2, 1_000_000)
    wait_until_waiting(turns, 2)
    for caller in (first, second):
        assert caller.has_turn.wait(10)
        caller.may_go.set()
        caller.join(10)
        assert caller.error is None


def test_a_refusal_says_when_to_come_again_by_the_measured_pace() -> None:
    turns = Turns(waiting_max=0, waiting_tokens_max=0)

    def hint(token_count: int) -> float:
        running = Caller(turns, [], 1, token_count)
        assert running.has_turn.wait(10)
        with pytest.raises(Busy) as caught, turns.take(lambda: True):
            pass
        running.may_go.set()
        running.join(10)
        assert caught.value.retry_after_seconds is not None
        return caught.value.retry_after_seconds

    assert hint(100) == RETRY_SECONDS, "no turn has ended yet, so no pace is known"
    assert hint(1) == RETRY_SECONDS_MIN, "one token more is there in no time"
    assert hint(10**12) == RETRY_SECONDS_MAX


def test_a_caller_who_leaves_the_queue_is_not_waited_for() -> None:
    turns = Turns(waiting_max=8, waiting_tokens_max=1000)
    order: list[int] = []
    first = Caller(turns, order, 1)
    assert first.has_turn.wait(10)
    second = Caller(turns, order, 2)
    wait_until_waiting(turns, 2)
    third = Caller(turns, order, 3)
    wait_until_waiting(turns, 5)
    second.left.set()
    second.join(10)
    assert isinstance(second.error, Cancelled)
    first.may_go.set()
    assert third.has_turn.wait(10)
    third.may_go.set()
    third.join(10)
    assert order == [1, 3]


def test_a_turn_ends_with_the_error_of_its_block() -> None:
    turns = Turns(waiting_max=0, waiting_tokens_max=0)
    with pytest.raises(ZeroDivisionError), turns.take(lambda: True, 5):
        _ = 1 / 0
    with turns.take(lambda: True):
        assert turns.running_count == 0
