"""The order of the data is a pure function of seed and step."""

from pinetune.jobs.data_order import batch_of_step, steps_in

ROWS = list(range(10))


def batch(step: int, seed: int = 1, stream: str = "training") -> list[int]:
    return batch_of_step(ROWS, step, batch_size=4, seed=seed, stream=stream)


def test_an_epoch_sees_every_row_once() -> None:
    for first in (1, 4, 7):
        assert sorted(row for step in range(first, first + 3) for row in batch(step)) == ROWS


def test_the_same_step_gives_the_same_rows_whatever_came_before() -> None:
    assert batch(5) == batch(5)
    assert [batch(step) for step in (1, 2, 3)] != [batch(step) for step in (4, 5, 6)]


def test_seed_and_stream_change_the_order() -> None:
    assert len({tuple(batch(1)), tuple(batch(1, seed=2)), tuple(batch(1, stream="warm_up"))}) == 3


def test_the_planned_steps_cover_the_epochs() -> None:
    assert steps_in(10, batch_size=4, epochs=2) == 6
