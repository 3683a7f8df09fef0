"""The drawing of tokens: from logits and one uniform number a row to token ids and their log-probabilities.

The uniform numbers come from a counter-based generator (Philox) keyed by seed, prompt id and sample index, one per
position. So a draw depends on nothing but those: not on the batch, nor on the order, nor on which other rows have
ended.

Shapes: B rows, V tokens in the vocabulary, N blocks of W tokens.
"""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pinetune.generation.samples import SamplingParams

BLOCK = 64  # Tokens in a block of the cumulative sum; near the square root of usual vocabularies.
UNIFORM_BITS = 24  # What float32 holds exactly, so that no number rounds up to 1.


def uniforms(seed: int, prompt_id: str, sample_index: int, count: int) -> NDArray[np.float32]:
    """Return `count` numbers in [0, 1), one per position; a longer call begins with the numbers of a shorter one."""
    # The prompt id comes last: it is free text, and what stands before it cannot be mistaken for a part of it.
    digest = hashlib.sha256(f"{seed}/{sample_index}/{prompt_id}".encode()).digest()
    raw = np.random.Philox(key=np.frombuffer(digest[:16], dtype="<u8")).random_raw(count)
    return ((raw >> np.uint64(64 - UNIFORM_BITS)).astype(np.float32)) * np.float32(2.0**-UNIFORM_BITS)


def draw(
    logits_BV: Tensor,
    uniforms_B: Tensor,
    sampling: SamplingParams,
    forbidden: Tensor | None = None,
    allowed_BV: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the drawn token ids [B] and their log-probabilities [B] under the raw policy.

    `logits_BV` is float32. The draw inverts the cumulative distribution of softmax(logits / temperature), cut to
    `top_k` and then to `top_p`. `forbidden` ids cannot be drawn; with `allowed_BV`, truth values, those alone say what
    can. The log-probabilities are those of softmax(logits), whatever was cut.
    """
    truncated = sampling.top_k > 0 or sampling.top_p < 1.0
    if sampling.temperature == 1.0 and not truncated and forbidden is None and allowed_BV is None:
        # The common case of training: one softmax gives both the draw and the log-probability.
        probabilities_BV = logits_BV.softmax(-1)
        tokens_B1 = _invert(probabilities_BV, uniforms_B)
        return tokens_B1.squeeze(1), probabilities_BV.gather(1, tokens_B1).log().squeeze(1)
    possible_BV = logits_BV
    if allowed_BV is not None:
        possible_BV = torch.where(allowed_BV, logits_BV, -torch.inf)
    elif forbidden is not None:
        possible_BV = logits_BV.index_fill(1, forbidden, -torch.inf)
    if sampling.temperature == 0.0:
        tokens_B1 = possible_BV.argmax(-1, keepdim=True)
    elif truncated:
        tokens_B1 = _draw_truncated(possible_BV, uniforms_B, sampling)
    else:
        tokens_B1 = _invert(_tempered(possible_BV, sampling.temperature).softmax(-1), uniforms_B)
    logprobs_B1 = logits_BV.gather(1, tokens_B1) - logits_BV.logsumexp(-1, keepdim=True)
    return tokens_B1.squeeze(1), logprobs_B1.squeeze(1)


def _draw_truncated(logits_BV: Tensor, uniforms_B: Tensor, sampling: SamplingParams) -> Tensor:
    if 0 < sampling.top_k < logits_BV.shape[1]:
        candidates, ids = logits_BV.topk(sampling.top_k, dim=-1)
    else:
        candidates, ids = logits_BV.sort(dim=-1, descending=True, stable=True)
    probabilities = _tempered(candidates, sampling.temperature).softmax(-1)
    if sampling.top_p < 1.0:
        # A token stays while what is likelier than it falls short of top_p; the likeliest always stays.
        likelier = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(likelier >= sampling.top_p, 0.0)
    return ids.gather(1, _invert(probabilities, uniforms_B))


def _tempered(logits: Tensor, temperature: float) -> Tensor:
    if temperature == 1.0:
        return logits  # Three passes over the vocabulary less; softmax takes the maximum off itself.
    # Without the maximum taken off first, a small temperature turns large logits into inf - inf.
    return (logits - logits.amax(-1, keepdim=True)) / temperature


def _invert(probabilities_BV: Tensor, uniforms_B: Tensor) -> Tensor:
    """Return, as [B, 1], the first index whose cumulative probability exceeds its row's uniform number.

    In two steps, over sums of blocks and then inside one block: sums are many times cheaper than a cumulative sum over
    a whole vocabulary.
    """
    blocks_BN = _block_sums(probabilities_BV)
    cumulative_BN = blocks_BN.cumsum(-1)
    target_B1 = uniforms_B[:, None] * cumulative_BN[:, -1:]
    block_B1 = _first_above(cumulative_BN, target_B1)
    rest_B1 = target_B1 - (cumulative_BN.gather(1, block_B1) - blocks_BN.gather(1, block_B1))
    columns_BW = block_B1 * BLOCK + torch.arange(BLOCK, device=block_B1.device)
    outside_BW = columns_BW >= probabilities_BV.shape[1]
    inside_BW = probabilities_BV.gather(1, columns_BW.masked_fill(outside_BW, 0)).masked_fill(outside_BW, 0.0)
    index_B1 = block_B1 * BLOCK + _first_above(inside_BW.cumsum(-1), rest_B1)
    # Clamped only for rows of NaN, whose log-probability is NaN too and says so to the learner.
    return index_B1.clamp_(max=probabilities_BV.shape[1] - 1)


def _block_sums(probabilities_BV: Tensor) -> Tensor:
    whole = probabilities_BV.shape[1] // BLOCK * BLOCK
    sums_BN = probabilities_BV[:, :whole].view(len(probabilities_BV), -1, BLOCK).sum(-1)
    if whole == probabilities_BV.shape[1]:
        return sums_BN
    return torch.cat([sums_BN, probabilities_BV[:, whole:].sum(-1, keepdim=True)], dim=1)


def _first_above(cumulative: Tensor, target_B1: Tensor) -> Tensor:
    """Return the first index that lies above the target; always one that adds something to the cumulative sum."""
    total_B1 = cumulative[:, -1:]
    # Rounding can lift a target to the total, where it would lie behind every index.
    reached_B1 = torch.minimum(target_B1, total_B1.nextafter(torch.zeros_like(total_B1)))
    return torch.searchsorted(cumulative, reached_B1, right=True).clamp_(max=cumulative.shape[1] - 1)
