import math
import random

import pytest

from pinetune.client.rank_correlation import inversions, kendall_tau_b


def plain_tau_b(xs: list[float], ys: list[float]) -> float | None:
    """Tau-b as it is defined, pair by pair."""
    concordant = discordant = x_untied = y_untied = 0
    for i in range(len(xs)):
        for j in range(i):
            product = (xs[i] - xs[j]) * (ys[i] - ys[j])
            concordant += product > 0
            discordant += product < 0
            x_untied += xs[i] != xs[j]
            y_untied += ys[i] != ys[j]
    return (concordant - discordant) / math.sqrt(x_untied * y_untied) if x_untied * y_untied else None


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("levels", [1, 2, 5, 1000], ids=lambda levels: f"{levels} levels")
def test_it_is_what_a_plain_loop_over_all_pairs_gives(seed: int, levels: int) -> None:
    draw = random.Random(seed)
    count = draw.randrange(40)
    xs = [draw.randrange(levels) / levels for _ in range(count)]
    ys = [draw.choice([x, draw.randrange(levels) / levels]) for x in xs]
    assert kendall_tau_b(xs, ys) == pytest.approx(plain_tau_b(xs, ys), abs=1e-12)


def test_the_same_order_is_one_and_the_other_way_round_minus_one() -> None:
    assert kendall_tau_b([1, 2, 3, 3], [10, 20, 30, 30]) == 1.0
    assert kendall_tau_b([1, 2, 3], [3, 2, 1]) == -1.0


@pytest.mark.parametrize("xs", [[], [1.0], [1.0, 1.0]], ids=["none", "one", "one value"])
def test_without_two_values_there_is_no_correlation(xs: list[float]) -> None:
    assert kendall_tau_b(xs, list(range(len(xs)))) is None


def test_inversions_are_the_pairs_out_of_order() -> None:
    assert inversions([3, 1, 2, 2]) == 3
    assert inversions([1, 1, 2]) == 0
