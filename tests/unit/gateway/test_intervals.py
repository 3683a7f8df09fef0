import pytest

from pinetune.gateway.intervals import Scale
from pinetune.gateway.records import Interval


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 0.524, ["0.0", "0.2", "0.4", "0.6"]),
        (0.0, 1.0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (-0.2, 0.48, ["-0.2", "0.0", "0.2", "0.4", "0.6"]),
        (0.0, 0.039, ["0.00", "0.01", "0.02", "0.03", "0.04"]),
        (0.0, 0.0, ["0.0", "0.2"]),
    ],
)
def test_the_scale_shows_zero_and_ends_at_round_numbers(low: float, high: float, ticks: list[str]) -> None:
    assert [tick.text for tick in Scale([Interval((low + high) / 2, low, high)]).ticks()] == ticks


def test_a_scale_without_intervals_can_be_drawn() -> None:
    assert [tick.text for tick in Scale([]).ticks()] == ["0.0", "0.2"]


def test_a_dot_stands_between_the_ends_of_its_interval_in_proportion() -> None:
    scale = Scale([Interval(0.5, 0.0, 1.0)])
    dot = scale.dot(Interval(0.25, 0.0, 1.0))
    assert (dot.low, dot.high) == (3.0, 97.0)
    assert dot.value == pytest.approx(3 + 0.25 * 94)
