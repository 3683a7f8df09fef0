"""A server that fails is left alone for a while, and one question at a time finds out whether it is back."""

import pytest

from pinetune.grading.models.breaker import Breaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def end(breaker: Breaker, alive: bool | None) -> None:
    """Ask a question that ends so."""
    admission = breaker.admit()
    assert admission is not None
    breaker.note(admission, alive)


def opened() -> tuple[Breaker, Clock]:
    clock = Clock()
    breaker = Breaker(3, 10.0, clock=clock)
    for _ in range(3):
        end(breaker, False)
    return breaker, clock


def test_a_breaker_opens_after_failures_in_a_row() -> None:
    breaker, _ = opened()
    assert breaker.is_open
    assert breaker.admit() is None


def test_an_answer_between_failures_starts_the_count_again() -> None:
    breaker = Breaker(2, 10.0)
    for alive in (False, True, False):
        end(breaker, alive)
    assert not breaker.is_open


def test_what_says_nothing_about_the_server_counts_as_nothing() -> None:
    breaker = Breaker(2, 10.0)
    for alive in (False, None, False):
        end(breaker, alive)
    assert breaker.is_open


def test_after_its_time_one_question_probes_and_the_others_still_fail() -> None:
    breaker, clock = opened()
    clock.now = 9.9
    assert breaker.admit() is None
    clock.now = 10.0
    assert [breaker.admit() is not None for _ in range(3)] == [True, False, False]


def test_a_probe_that_is_answered_closes_it() -> None:
    breaker, clock = opened()
    clock.now = 10.0
    end(breaker, True)
    assert not breaker.is_open
    assert [breaker.admit() is not None for _ in range(3)] == [True, True, True]


def test_a_probe_that_fails_leaves_it_open_for_as_long_again() -> None:
    breaker, clock = opened()
    clock.now = 10.0
    end(breaker, False)
    clock.now = 19.9
    assert breaker.admit() is None
    clock.now = 20.0
    assert breaker.admit() is not None


def test_a_probe_that_was_cut_off_makes_room_for_another() -> None:
    breaker, clock = opened()
    clock.now = 10.0
    end(breaker, None)
    assert breaker.is_open
    assert breaker.admit() is not None


@pytest.mark.parametrize("alive", [True, False, None], ids=["answered", "failed", "cut_off"])
def test_a_question_of_before_says_nothing_about_the_probe(alive: bool | None) -> None:
    clock = Clock()
    breaker = Breaker(1, 10.0, clock=clock)
    slow = breaker.admit()
    assert slow is not None
    end(breaker, False)
    clock.now = 10.0
    probe = breaker.admit()
    breaker.note(slow, alive)
    assert breaker.is_open
    assert breaker.admit() is None
    assert probe is not None
    breaker.note(probe, True)
    assert not breaker.is_open


def test_a_late_success_does_not_close_what_opened_meanwhile() -> None:
    breaker = Breaker(1, 10.0)
    slow = breaker.admit()
    assert slow is not None
    end(breaker, False)
    breaker.note(slow, True)
    assert breaker.is_open
    assert breaker.admit() is None
