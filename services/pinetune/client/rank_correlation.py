"""Rank correlation of two gradings of the same completions."""

import bisect
import math
from collections import Counter
from collections.abc import Sequence


def kendall_tau_b(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Return Kendall's tau-b of paired numbers, None where either side has one value only (Knight 1966, n log n).

    Pairs that are ordered alike less pairs ordered otherwise, over the geometric mean of the pairs untied on each side.
    """
    pairs = sorted(zip(xs, ys, strict=True))
    pair_count = _pairs(len(pairs))
    x_ties, y_ties, joint_ties = (sum(map(_pairs, Counter(values).values())) for values in (xs, ys, pairs))
    untied = (pair_count - x_ties) * (pair_count - y_ties)
    if untied == 0:
        return None
    # Sorted by x, then y: every pair of which the former has the higher y is ordered otherwise.
    discordant = inversions([y for _, y in pairs])
    concordant = pair_count - x_ties - y_ties + joint_ties - discordant
    return (concordant - discordant) / math.sqrt(untied)


def inversions(values: Sequence[float]) -> int:
    """Return the number of pairs whose former is the higher, by a Fenwick tree over the ranks."""
    ranks = sorted(set(values))
    tree = [0] * (len(ranks) + 1)
    count = 0
    for seen, value in enumerate(values):
        rank = place = bisect.bisect_left(ranks, value) + 1
        not_higher = 0
        while place:
            not_higher += tree[place]
            place -= place & -place
        count += seen - not_higher
        while rank <= len(ranks):
            tree[rank] += 1
            rank += rank & -rank
    return count


def _pairs(count: int) -> int:
    return count * (count - 1) // 2
