"""Where dots, intervals and ticks of a table's column stand on its common scale, in percent of the width."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pinetune.gateway.records import Interval

TICK_COUNT = 5
MARGIN_PERCENT = 3.0


@dataclass(frozen=True)
class Dot:
    """One interval on the scale."""

    low: float
    """Percent of the width at the low end."""
    value: float
    """Percent at the number itself."""
    high: float
    """Percent at the high end."""


@dataclass(frozen=True)
class Tick:
    """One number under the scale."""

    position: float
    """Percent of the width."""
    text: str
    """The number."""


class Scale:
    """A linear scale over all given intervals that shows zero and begins and ends at a tick."""

    def __init__(self, intervals: Sequence[Interval]) -> None:
        low = min([0.0, *(each.low for each in intervals)])
        high = max([0.0, *(each.high for each in intervals)])
        self._step = _round_step((high - low) / TICK_COUNT or 1 / TICK_COUNT)
        self._low = math.floor(low / self._step) * self._step
        self._high = max(math.ceil(high / self._step - 1e-9) * self._step, self._low + self._step)

    def dot(self, interval: Interval) -> Dot:
        """Return where an interval stands."""
        return Dot(self.position(interval.low), self.position(interval.value), self.position(interval.high))

    def ticks(self) -> list[Tick]:
        """Return the numbers under the scale."""
        count = round((self._high - self._low) / self._step)
        digits = max(0, -math.floor(math.log10(self._step) + 1e-9))
        numbers = [self._low + index * self._step for index in range(count + 1)]
        return [Tick(self.position(number), f"{number + 0.0:.{digits}f}") for number in numbers]

    def position(self, number: float) -> float:
        """Return where a number stands."""
        share = (number - self._low) / (self._high - self._low)
        return round(MARGIN_PERCENT + share * (100 - 2 * MARGIN_PERCENT), 2)


def _round_step(rough: float) -> float:
    """Return the smallest of 1, 2, 5, 10 times a power of ten that is no smaller than `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
