"""How sequences become passes: nothing lost, nothing twice, prompts shared, no pass too large."""

import random
import sys

import pytest
import torch
from tests.unit.learning.tiny import CONFIGS, tiny_model, tiny_policy

from pinetune.learning.batches import MicroBatch, completion_mask, micro_batches
from pinetune.learning.policy import Policy
from pinetune.learning.warm_up import Example

CPU = torch.device("cpu")
# Long prompts and short completions: sharing pays.
GROUP = [Example([1, 2, 3, 4], [5, 6]), Example([1, 2, 3, 4], [7]), Example([1, 2, 3, 4], [5, 8, 9])]


def batches(sequences: list[Example], max_tokens: int = 1000, shared: int = sys.maxsize) -> list[MicroBatch]:
    return list(micro_batches(sequences, max_tokens, CPU, shared_tokens_max=shared))


def many() -> list[Example]:
    draw = random.Random(0)
    prompts = [[draw.randrange(9) for _ in range(draw.randint(1, 30))] for _ in range(10)]
    return [Example(draw.choice(prompts), [draw.randrange(9) for _ in range(draw.randint(1, 20))]) for _ in range(50)]


def test_completions_of_one_prompt_share_a_row_and_the_prompt_is_there_once() -> None:
    [batch] = batches(GROUP)
    assert batch.rows == (2, 0, 1)
    assert batch.input_ids_RL.tolist() == [[1, 2, 3, 4, 5, 8, 5]]
    assert batch.position_ids_RL.tolist() == [[0, 1, 2, 3, 4, 5, 4]]
    assert batch.positions_N.tolist() == [3, 4, 5, 3, 6, 3]
    assert batch.targets_N.tolist() == [5, 8, 9, 5, 6, 7]
    mask = batch.attention_mask(torch.float32)
    assert mask is not None
    seen = (mask[0, 0] == 0).int().tolist()
    assert seen[:4] == [[1, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0, 0]]
    assert seen[4:] == [[1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 0, 0, 1]]


def test_without_sharing_each_sequence_is_a_row_and_no_mask_is_needed() -> None:
    [batch] = batches(GROUP, shared=0)
    assert batch.input_ids_RL.tolist() == [[1, 2, 3, 4, 5, 8], [1, 2, 3, 4, 5, 0], [1, 2, 3, 4, 0, 0]]
    assert batch.attention_mask(torch.float32) is None


@pytest.mark.parametrize("max_tokens", [1, 50, 100, 1000])
@pytest.mark.parametrize("shared", [0, 60, sys.maxsize])
def test_every_token_comes_once_and_at_its_place(max_tokens: int, shared: int) -> None:
    sequences = many()
    mask_BT = completion_mask(sequences)
    found_BT = torch.full(mask_BT.shape, -1)
    for batch in batches(sequences, max_tokens, shared):
        at = batch.places(mask_BT)
        assert (found_BT[at] == -1).all(), "no token comes twice"
        found_BT[at] = batch.targets_N
        alone = len(batch.input_ids_RL) == 1
        assert batch.input_ids_RL.numel() <= max_tokens or alone
        assert batch.input_ids_RL.shape[1] <= shared or batch.segments_RL is None
    wanted = [[*sequence.token_ids] + [-1] * (mask_BT.shape[1] - len(sequence.token_ids)) for sequence in sequences]
    assert found_BT.tolist() == wanted


def test_sharing_computes_fewer_tokens_and_the_longest_rows_come_first() -> None:
    sequences = many()
    apart, shared = (batches(sequences, 200, limit) for limit in (0, sys.maxsize))
    assert sum(batch.input_ids_RL.numel() for batch in shared) < 0.8 * sum(b.input_ids_RL.numel() for b in apart)
    widths = [batch.input_ids_RL.shape[1] for batch in shared]
    assert widths == sorted(widths, reverse=True)


def test_a_row_grows_to_four_times_its_longest_sequence_at_most() -> None:
    [batch] = batches([Example([1, 2], [3] * 20) for _ in range(5)])
    assert len(batch.input_ids_RL) == 2
    assert batch.input_ids_RL.shape[1] == 2 + 4 * 19


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_shared_row_says_what_each_sequence_says_alone(kind: str) -> None:
    policy = tiny_policy(kind)
    sequences = [Example([7, 8, 9, 3, 4, 5, 6], [i, 5, i + 1][: 1 + i % 3]) for i in range(6)]
    [batch] = policy.micro_batches(sequences, 1000)
    assert batch.segments_RL is not None, "these models can read shared rows"
    together = policy.score(sequences, 1000)
    for row, sequence in enumerate(sequences):
        alone = policy.score([sequence], 1000)
        count = len(sequence.token_ids)
        torch.testing.assert_close(together.logprobs_BT[row, :count], alone.logprobs_BT[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(together.values_BT[row, :count], alone.values_BT[0], rtol=0, atol=1e-5)


def test_a_model_that_ignores_the_mask_gets_no_shared_rows() -> None:
    model = tiny_model()
    forward = model.base_model.forward
    model.base_model.forward = lambda **inputs: forward(**{**inputs, "attention_mask": None})
    policy = Policy(model)
    [batch] = policy.micro_batches(GROUP, 1000)
    assert batch.segments_RL is None


def test_a_model_with_an_attention_window_gets_no_row_longer_than_it() -> None:
    model = tiny_model("gemma2, soft-capped")
    model.config.sliding_window = 6
    [batch] = Policy(model).micro_batches(GROUP, 1000)
    assert batch.input_ids_RL.shape[1] == 6
