import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pinetune.generation.samples import SamplingParams
from pinetune.generation.sampling import draw, uniforms


def plain_draw(logits: list[float], uniform: float, sampling: SamplingParams, forbidden: set[int]) -> tuple[int, float]:
    """Draw one token in plain Python: sort, cut, add up."""
    peak = max(logits)
    normaliser = peak + math.log(sum(math.exp(value - peak) for value in logits))
    logprobs = [value - normaliser for value in logits]
    allowed = [token for token in range(len(logits)) if token not in forbidden]
    if sampling.temperature == 0:
        token = max(allowed, key=lambda token: logits[token])
        return token, logprobs[token]
    weights = {token: math.exp((logits[token] - peak) / sampling.temperature) for token in allowed}
    ranked = sorted(weights, key=lambda token: -weights[token])
    if sampling.top_k:
        ranked = ranked[: sampling.top_k]
    if sampling.top_p < 1:
        total, kept, share = sum(weights[token] for token in ranked), [], 0.0
        for token in ranked:
            if share >= sampling.top_p:
                break
            kept.append(token)
            share += weights[token] / total
        ranked = kept
    truncated = sampling.top_k or sampling.top_p < 1
    order = ranked if truncated else sorted(ranked)
    target, reached = uniform * sum(weights[token] for token in order), 0.0
    for token in order:
        reached += weights[token]
        if reached > target:
            return token, logprobs[token]
    raise AssertionError("a uniform number is below 1")


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingParams(1),
        SamplingParams(1, temperature=0.0),
        SamplingParams(1, temperature=0.3),
        SamplingParams(1, temperature=3.0),
        SamplingParams(1, top_k=5),
        SamplingParams(1, top_k=1),
        SamplingParams(1, top_k=10_000),
        SamplingParams(1, top_p=0.6),
        SamplingParams(1, temperature=0.7, top_p=0.9, top_k=20),
        SamplingParams(1, top_p=1e-9),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [3, 64, 200, 1000])
@pytest.mark.parametrize("forbidden", [set(), {0, 2}], ids=["all allowed", "two forbidden"])
def test_a_draw_is_that_of_a_plain_loop(sampling: SamplingParams, size: int, forbidden: set[int]) -> None:
    torch.manual_seed(size)
    logits = torch.randn(50, size) * 2
    source = random.Random(1)
    numbers = torch.tensor([source.random() for _ in range(50)])
    tokens, logprobs = draw(logits, numbers, sampling, torch.tensor(sorted(forbidden)) if forbidden else None)
    for row in range(50):
        token, logprob = plain_draw(logits[row].tolist(), float(numbers[row]), sampling, forbidden)
        assert int(tokens[row]) == token
        # float32 against float64
        assert float(logprobs[row]) == pytest.approx(logprob, abs=1e-5)


def test_frequencies_are_the_probabilities() -> None:
    logits = torch.tensor([0.5, -1.0, 2.0, 0.0, -30.0])
    count = 20_000
    numbers = torch.from_numpy(uniforms(0, "prompt", 0, count))
    tokens, _ = draw(logits.expand(count, -1), numbers, SamplingParams(1))
    frequencies = torch.bincount(tokens, minlength=5) / count
    # Four standard deviations of a frequency of one half.
    assert torch.allclose(frequencies, logits.softmax(0), atol=4 * 0.5 / math.sqrt(count))


def edge_row(probabilities: list[float]) -> Tensor:
    return torch.tensor([probabilities]).log()


@given(st.integers(0, 2**24 - 1), st.integers(1, 300), st.integers(0, 299))
def test_a_token_without_probability_is_never_drawn(raw: int, size: int, place: int) -> None:
    possible = place % size
    probabilities = [0.0] * size
    probabilities[possible] = 1.0
    tokens, logprobs = draw(edge_row(probabilities), torch.tensor([raw / 2**24]), SamplingParams(1))
    assert (int(tokens[0]), float(logprobs[0])) == (possible, 0.0)


@pytest.mark.parametrize("largest", [1 - 2**-24, 0.0])
def test_the_ends_of_the_interval_draw_the_first_and_the_last_possible_token(largest: float) -> None:
    logits = edge_row([0.0, 0.1, 0.2, 0.3, 0.4, 0.0])
    tokens, _ = draw(logits, torch.tensor([largest]), SamplingParams(1))
    assert int(tokens[0]) == (4 if largest else 1)


def test_a_tiny_temperature_is_nearly_greedy_and_finite() -> None:
    logits = torch.tensor([[900.0, 901.0, -900.0]])
    tokens, logprobs = draw(logits, torch.tensor([0.5]), SamplingParams(1, temperature=1e-4))
    assert int(tokens[0]) == 1
    # float32 has steps of 6e-5 near 900.
    assert float(logprobs[0]) == pytest.approx(-math.log1p(math.exp(-1)), abs=1e-4)


def test_an_unlikely_token_keeps_a_finite_logprob() -> None:
    logits = torch.tensor([[0.0, -300.0]])
    tokens, logprobs = draw(logits, torch.tensor([0.9999]), SamplingParams(1, temperature=10_000.0))
    assert (int(tokens[0]), float(logprobs[0])) == (1, -300.0)


def test_broken_logits_show_in_the_logprob() -> None:
    tokens, logprobs = draw(torch.full((1, 100), torch.nan), torch.tensor([0.5]), SamplingParams(1))
    assert 0 <= int(tokens[0]) < 100
    assert math.isnan(float(logprobs[0]))


def test_uniforms_depend_on_seed_prompt_and_sample() -> None:
    base = uniforms(1, "a", 0, 8)
    assert np.array_equal(base, uniforms(1, "a", 0, 8))
    for other in (uniforms(2, "a", 0, 8), uniforms(1, "b", 0, 8), uniforms(1, "a", 1, 8)):
        assert not np.intersect1d(base, other).size


def test_a_longer_run_of_uniforms_begins_with_the_shorter() -> None:
    assert np.array_equal(uniforms(1, "a", 0, 100)[:7], uniforms(1, "a", 0, 7))


def test_uniforms_stay_what_they_were() -> None:
    """Completions of old jobs can be sampled again only while these numbers do not change."""
    assert uniforms(7, "row-1", 3, 3).tolist() == [0.8116546273231506, 0.09937137365341187, 0.4267617464065552]


def test_uniforms_fill_the_interval_evenly() -> None:
    numbers = np.concatenate([uniforms(0, "a", index, 1000) for index in range(20)])
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    counts = np.histogram(numbers, bins=10, range=(0, 1))[0]
    # Five standard deviations of a tenth of 20,000.
    assert np.abs(counts - 2000).max() < 5 * math.sqrt(2000 * 0.9)
