"""How many samplers a job wants after each step, by nothing but seconds and who was there."""

import itertools

import pytest

from pinetune.jobs.backlog import STEPS_BEFORE_FEWER, Backlog, Bounds, Change

ONE, TWO, THREE = [True], [True, True], [True, True, True]


def backlog(replicas: int = 1, max_replicas: int = 8, backlog_seconds: float = 60.0) -> Backlog:
    return Backlog(Bounds(replicas, max_replicas, backlog_seconds))


@pytest.mark.parametrize(
    ("present", "seconds", "wanted"),
    [
        (1, 60.0, 1),
        (1, 65.9, 1),  # within the tolerance
        (1, 66.1, 2),
        (1, 120.0, 2),
        (1, 121.0, 3),
        (2, 93.0, 4),
        (2, 60.1, 2),
        (2, 54.1, 2),
        (3, 240.0, 8),  # 12, and 8 are allowed
        (1, 1e9, 8),
    ],
)
def test_the_rule_is_that_of_the_horizontal_pod_autoscaler(present: int, seconds: float, wanted: int) -> None:
    one = backlog(replicas=present)
    one.after_step([True] * present, seconds)
    assert one.wanted == wanted


def test_more_are_wanted_at_once_and_the_change_says_why() -> None:
    one = backlog(replicas=2)
    assert one.after_step(TWO, 93.0) == Change(2, 4, (93.0,))
    assert one.wanted == 4


def test_fewer_are_wanted_after_some_steps_and_then_the_most_of_what_those_wanted() -> None:
    one = backlog()
    one.after_step(ONE, 240.0)
    assert one.wanted == 4
    four = [True] * 4
    assert one.after_step(four, 15.0) is None
    assert one.after_step(four, 29.0) is None
    assert one.wanted == 4
    assert one.after_step(four, 20.0) == Change(4, 2, (15.0, 29.0, 20.0))


def test_a_step_that_wants_as_many_begins_the_count_anew() -> None:
    one = backlog()
    one.after_step(ONE, 120.0)
    for _ in range(STEPS_BEFORE_FEWER - 1):
        assert one.after_step(TWO, 10.0) is None
    assert one.after_step(TWO, 50.0) is None
    for _ in range(STEPS_BEFORE_FEWER - 1):
        assert one.after_step(TWO, 10.0) is None
    assert one.after_step(TWO, 10.0) == Change(2, 1, (10.0, 10.0, 10.0))


def test_steps_from_before_a_change_do_not_count_for_the_next() -> None:
    one = backlog()
    one.after_step(ONE, 180.0)
    for _ in range(STEPS_BEFORE_FEWER - 1):
        one.after_step(THREE, 25.0)
    assert one.after_step(THREE, 90.0) == Change(3, 5, (90.0,))
    assert one.after_step([True] * 5, 10.0) is None


def test_never_fewer_than_the_job_starts_with() -> None:
    one = backlog(replicas=2)
    for _ in range(3 * STEPS_BEFORE_FEWER):
        assert one.after_step(TWO, 0.001) is None
    assert one.wanted == 2


def test_those_that_do_the_work_are_not_sent_away_for_one_that_is_not_there() -> None:
    # The highest numbers go: with the first one lost, that would be the only one that samples.
    one = backlog()
    one.after_step(ONE, 120.0)
    for _ in range(3 * STEPS_BEFORE_FEWER):
        assert one.after_step([False, True], 10.0) is None
    assert one.wanted == 2


def test_one_that_never_came_does_not_keep_the_others_from_being_fewer() -> None:
    one = backlog()
    one.after_step(ONE, 180.0)
    steps = [one.after_step([True, True, False], 20.0) for _ in range(STEPS_BEFORE_FEWER)]
    assert steps[-1] == Change(3, 1, (20.0,) * STEPS_BEFORE_FEWER)


def test_those_that_are_there_are_enough_within_the_tolerance_whatever_more_are_on_their_way() -> None:
    one = backlog()
    one.after_step(ONE, 180.0)
    steps = [one.after_step([True, False, False], 62.0) for _ in range(STEPS_BEFORE_FEWER)]
    assert steps[-1] == Change(3, 1, (62.0,) * STEPS_BEFORE_FEWER)


def test_a_constant_load_is_answered_once_and_never_swings() -> None:
    for work in (10.0, 61.0, 119.0, 121.0, 200.0, 359.0, 1000.0):
        one = backlog()
        wanted = []
        for _ in range(20):
            one.after_step([True] * one.wanted, work / one.wanted)
            wanted.append(one.wanted)
        changes = sum(before != after for before, after in itertools.pairwise(wanted))
        assert changes <= 1, f"{work} s of work: {wanted}"
        assert work / wanted[-1] <= 66.0 or wanted[-1] == 8
