"""Which items a step works on: a fresh shuffle each epoch, a pure function of seed and step.

Nothing is kept between steps, so a job that goes on from a checkpoint sees the items it would have seen, and the data
position of a checkpoint is its step number.
"""

import math
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def batch_of_step(rows: Sequence[T], step: int, *, batch_size: int, seed: int, stream: str) -> list[T]:
    """Return the rows of step 1, 2, … in order; the last batch of an epoch may be smaller.

    `stream` keeps the shuffles of different uses apart (warm-up, training).
    """
    steps_per_epoch = math.ceil(len(rows) / batch_size)
    epoch, position = divmod(step - 1, steps_per_epoch)
    order = list(range(len(rows)))
    random.Random(f"{seed}/{stream}/{epoch}").shuffle(order)
    return [rows[index] for index in order[position * batch_size : (position + 1) * batch_size]]


def steps_in(row_count: int, *, batch_size: int, epochs: int) -> int:
    """Return the number of steps that `epochs` passes over the rows take."""
    return math.ceil(row_count / batch_size) * epochs
