import threading
import time

import pytest

from pinetune.generation.turns import Turns
from pinetune.pod.errors import Busy, Cancelled


class Caller(threading.Thread):
    """Takes a turn and keeps it until told to go."""

    def __init__(self, turns: Turns, order: list[int], completion_count: int) -> None:
        super().__init__(daemon=True)
        self.turns, self.order, self.completion_count = turns, order, completion_count
        self.has_turn, self.may_go, self.left = threading.Event(), threading.Event(), threading.Event()
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            with self.turns.take(lambda: not self.left.is_set(), self.completion_count):
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
    turns = Turns(waiting_max=8)
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
    turns = Turns(waiting_max=1)
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


def test_a_caller_who_leaves_the_queue_is_not_waited_for() -> None:
    turns = Turns(waiting_max=8)
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
    turns = Turns(waiting_max=0)
    with pytest.raises(ZeroDivisionError), turns.take(lambda: True, 5):
        _ = 1 / 0
    with turns.take(lambda: True):
        assert turns.running_count == 0
