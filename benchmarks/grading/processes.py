"""A peer that takes one thread, on all cores: rows are dealt to processes that were forked with all in place.

That is kind to the peer: texts are not sent, since each process has them from its birth, and nobody starts or ends one
while the time is taken. What comes back are the scores.
"""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from benchmarks.grading.comparison import Comparison

PARTS_A_CORE = 4
"""Rows are dealt in so many parts for each core, so that processes end together."""

_compared: Comparison | None = None


@contextmanager
def on_all_cores(comparison: Comparison) -> Iterator[Comparison]:
    """Yield the comparison with its peer in a process for each core."""
    global _compared
    _compared = comparison
    cores = len(os.sched_getaffinity(0))
    count = len(comparison.answers.texts)
    size = -(-count // (cores * PARTS_A_CORE))
    parts = [(start, min(start + size, count)) for start in range(0, count, size)]
    with multiprocessing.get_context("fork").Pool(cores) as pool:

        def score(texts: Sequence[str], references: Sequence[str]) -> list[float]:
            return [one for scores in pool.map(_score, parts, chunksize=1) for one in scores]

        yield replace(comparison, peer=f"{comparison.peer}, in processes", score=score, bar=None)
    _compared = None


def _score(part: tuple[int, int]) -> list[float]:
    assert _compared is not None, "processes are forked with the comparison in place"
    rows = slice(*part)
    return [float(one) for one in _compared.score(_compared.answers.texts[rows], _compared.answers.references[rows])]
