"""Intervals against published values and against brute force."""

import math
import random

import pytest

from pinetune.jobs.statistics import mean_statistic, paired_difference, wilson_interval


def test_an_interval_holds_its_mean() -> None:
    for count in range(1, 500):
        for mean in (0.0, 1 / count, 1.0):
            low, high = wilson_interval(mean, count)
            assert 0.0 <= low <= mean <= high <= 1.0, (mean, count)


def test_wilsons_interval_equals_published_values() -> None:
    # Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3.
    for share, count, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]:
        assert wilson_interval(share / count, count) == pytest.approx((low, high), abs=5e-5)


def test_a_statistic_over_nothing_is_not_a_number() -> None:
    assert math.isnan(mean_statistic("accuracy", []).value)


def test_a_mean_of_all_right_answers_has_an_interval_below_one() -> None:
    statistic = mean_statistic("accuracy", [1.0] * 50)
    assert statistic.value == 1.0
    assert 0.9 < statistic.low < 0.95
    assert statistic.high == 1.0


def test_grades_outside_zero_to_one_get_a_normal_interval() -> None:
    values = [-1.0, 3.0, 1.0, 1.0]
    statistic = mean_statistic("mean_grade", values)
    error = math.sqrt(sum((value - 1.0) ** 2 for value in values) / 3 / 4)
    assert (statistic.low, statistic.high) == pytest.approx((1 - 1.96 * error, 1 + 1.96 * error), abs=1e-3)


def test_a_paired_difference_covers_the_truth_as_often_as_it_says() -> None:
    draw = random.Random(7)
    covered = 0
    for trial in range(100):
        base = [float(draw.random() < 0.5) for _ in range(120)]
        better = [float(draw.random() < 0.65) for _ in range(120)]
        statistic = paired_difference("accuracy", better, base, seed=trial)
        covered += statistic.low <= 0.15 <= statistic.high
    assert covered >= 88  # 95 expected; 88 or fewer has a chance below 1 in 200


def test_pairing_makes_equal_runs_differ_by_exactly_nothing() -> None:
    values = [0.0, 1.0, 0.7, 0.3]
    statistic = paired_difference("mean_grade", values, values)
    assert (statistic.value, statistic.low, statistic.high) == (0.0, 0.0, 0.0)


def test_values_that_are_not_paired_are_refused() -> None:
    with pytest.raises(ValueError, match="got 2 and 1"):
        paired_difference("accuracy", [1.0, 0.0], [1.0])
