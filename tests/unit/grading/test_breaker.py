"""A server that fails is left alone for a while, and one question at a time finds out whether it is back."""

from pinetune.grading.models.breaker import Breaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened() -> tuple[Breaker, Clock]:
    clock = Clock()
    breaker = Breaker(3, 10.0, clock=clock)
    for _ in range(3):
        assert breaker.admit()
        breaker.note(False)
    return breaker, clock


def test_a_breaker_opens_after_failures_in_a_row() -> None:
    breaker, _ = opened()
    assert breaker.is_open
    assert not breaker.admit()


def test_an_answer_between_failures_starts_the_count_again() -> None:
    breaker = Breaker(2, 10.0)
    for alive in (False, True, False):
        breaker.note(alive)
    assert not breaker.is_open


def test_what_says_nothing_about_the_server_counts_as_nothing() -> None:
    breaker = Breaker(2, 10.0)
    for alive in (False, None, False):
        breaker.note(alive)
    assert breaker.is_open


def test_after_its_time_one_question_probes_and_the_others_still_fail() -> None:
    breaker, clock = opened()
    clock.now = 9.9
    assert not breaker.admit()
    clock.now = 10.0
    assert [breaker.admit() for _ in range(3)] == [True, False, False]


def test_a_probe_that_is_answered_closes_it() -> None:
    breaker, clock = opened()
    clock.now = 10.0
    breaker.admit()
    breaker.note(True)
    assert not breaker.is_open
    assert [breaker.admit() for _ in range(3)] == [True, True, True]


def test_a_probe_that_fails_leaves_it_open_for_as_long_again() -> None:
    breaker, clock = opened()
    clock.now = 10.0
    breaker.admit()
    breaker.note(False)
    clock.now = 19.9
    assert not breaker.admit()
    clock.now = 20.0
    assert breaker.admit()


def test_a_probe_that_was_cut_off_makes_room_for_another() -> None:
    breaker, clock = opened()
    clock.now = 10.0
    breaker.admit()
    breaker.note(None)
    assert breaker.is_open
    assert breaker.admit()
