from hypothesis import given
from hypothesis import strategies as st

from pinetune.generation.batches import Batch, plan_batches, plan_groups, plan_reading


def test_a_batch_holds_samples_of_several_prompts() -> None:
    assert list(plan_batches([2, 5, 3], 2, 10, 1000, padding=True)) == [
        Batch((1, 2, 0), ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)))
    ]


def test_samples_of_one_prompt_may_be_spread_over_batches() -> None:
    batches = list(plan_batches([5], 3, 5, 20, padding=True))
    assert batches == [Batch((0,), ((0, 0), (0, 1))), Batch((0,), ((0, 2),))]


def test_without_padding_only_equal_lengths_share_a_batch() -> None:
    batches = list(plan_batches([3, 5, 3], 1, 10, 1000, padding=False))
    assert [batch.prompts for batch in batches] == [(1,), (0, 2)]


@given(
    st.lists(st.integers(1, 50), max_size=20), st.integers(1, 5), st.integers(1, 50), st.integers(1, 400), st.booleans()
)
def test_every_row_comes_once_and_no_batch_is_too_large(
    lengths: list[int], sample_count: int, max_tokens: int, budget: int, padding: bool
) -> None:
    batches = list(plan_batches(lengths, sample_count, max_tokens, budget, padding=padding))
    rows = [(batch.prompts[place], sample) for batch in batches for place, sample in batch.rows]
    assert sorted(rows) == [(prompt, sample) for prompt in range(len(lengths)) for sample in range(sample_count)]
    for batch in batches:
        longest = max(lengths[prompt] for prompt in batch.prompts)
        assert len(batch.rows) == 1 or len(batch.rows) * (longest + max_tokens) <= budget
        assert padding or len({lengths[prompt] for prompt in batch.prompts}) == 1


def test_groups_hold_sequences_of_like_length() -> None:
    assert list(plan_groups([4, 9, 1, 9], 18)) == [[1, 3], [0, 2]]


def test_prompts_of_about_one_length_are_read_together() -> None:
    assert plan_reading([80, 10, 70, 69, 9], tokens_min=1) == [[0, 2], [3], [1, 4]]


def test_a_part_of_few_tokens_takes_shorter_prompts_along() -> None:
    assert plan_reading([80, 10, 70, 69, 9], tokens_min=100) == [[0, 2], [3, 1], [4]]
    assert plan_reading([80, 10, 70, 69, 9], tokens_min=1000) == [[0, 2, 3, 1, 4]]


@given(st.lists(st.integers(1, 500), min_size=1, max_size=60), st.integers(1, 5000))
def test_every_prompt_is_read_once_and_little_is_padded(lengths: list[int], tokens_min: int) -> None:
    parts = plan_reading(lengths, tokens_min)
    assert sorted(prompt for part in parts for prompt in part) == list(range(len(lengths)))
    for part in parts:
        longest = max(lengths[prompt] for prompt in part)
        padded = [prompt for prompt in part if 8 * lengths[prompt] < 7 * longest]
        assert longest * (len(part) - len(padded)) < tokens_min or not padded
