"""Numbers with their 95% intervals, and paired differences: what a verdict on a model rests on. No I/O.

Means of grades are over the graded completions only. Where every grade lies in 0..1 the interval is Wilson's, with the
mean in the place of the share: exact in its kind for grades of 0 and 1, and on the safe side for partial credit, as a
variable in 0..1 with mean m has at most the variance m(1 - m). Differences are paired per item; their intervals come
from a percentile bootstrap over items.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Z_95 = 1.959963984540054
"""The normal distribution's 97.5% quantile."""
BOOTSTRAP_RESAMPLES = 10_000
BOOTSTRAP_ROWS_AT_ONCE = 1_000
"""Resamples drawn together; bounds the memory at rows x items x 8 bytes."""


@dataclass(frozen=True)
class Statistic:
    """A measured number with its 95% interval."""

    name: str
    """accuracy, mean_grade, top_1, top_5, top_max, majority_vote."""
    value: float
    """The number."""
    low: float
    """Low end of the interval."""
    high: float
    """High end of the interval."""
    count: int
    """Items it is over."""


def wilson_interval(mean: float, count: int) -> tuple[float, float]:
    """Return the 95% score interval of a share `mean` over `count` trials (Wilson 1927); (0, 1) where count is 0."""
    if count == 0:
        return 0.0, 1.0
    shrink = 1 + Z_95**2 / count
    centre = (mean + Z_95**2 / (2 * count)) / shrink
    half = Z_95 * math.sqrt(mean * (1 - mean) / count + Z_95**2 / (4 * count**2)) / shrink
    # By rounding an end can lie a last digit beyond the mean, where that is 0 or 1.
    return max(0.0, min(mean, centre - half)), min(1.0, max(mean, centre + half))


def normal_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return mean ± 1.96 standard errors; for grades that leave 0..1."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return -math.inf, math.inf
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    half = Z_95 * math.sqrt(variance / len(values))
    return mean - half, mean + half


def mean_statistic(name: str, values: Sequence[float]) -> Statistic:
    """Return the mean of `values` with its interval; NaN over none."""
    if not values:
        return Statistic(name, math.nan, 0.0, 1.0, 0)
    mean = math.fsum(values) / len(values)
    bounded = all(0.0 <= value <= 1.0 for value in values)
    low, high = wilson_interval(mean, len(values)) if bounded else normal_interval(values)
    return Statistic(name, mean, low, high, len(values))


def paired_difference(name: str, values: Sequence[float], baseline: Sequence[float], *, seed: int = 0) -> Statistic:
    """Return the mean of value minus baseline over the same items, its interval from a paired bootstrap.

    Raises ValueError where the two are not of the same length, or empty.
    """
    if len(values) != len(baseline) or not values:
        raise ValueError(f"paired values needed, got {len(values)} and {len(baseline)}")
    differences = np.asarray(values, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    generator = np.random.default_rng(seed)
    means = np.concatenate(
        [
            generator.choice(differences, size=(BOOTSTRAP_ROWS_AT_ONCE, len(differences))).mean(axis=1)
            for _ in range(BOOTSTRAP_RESAMPLES // BOOTSTRAP_ROWS_AT_ONCE)
        ]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return Statistic(name, float(differences.mean()), float(low), float(high), len(differences))
