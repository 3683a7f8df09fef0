"""Log-probabilities of given tokens: the same quantity that the decode loop reports for what it draws.

Sequences are padded on the right, where a causal model does not look, and read in pieces through the cache, so that the
logits of a long sequence over a large vocabulary never exist all at once.

Shapes: B sequences, L positions of the longest, S positions of a piece, V tokens in the vocabulary.
"""

from collections.abc import Sequence

import torch
from transformers import DynamicCache

from pinetune.generation.batches import plan_groups
from pinetune.generation.causal_model import CausalModel
from pinetune.generation.engine import TokenSequence

# Elements of float32 logits that may exist at once: 256 MiB.
LOGIT_COUNT_MAX = 1 << 26


@torch.inference_mode()
def score(
    model: CausalModel,
    sequences: Sequence[TokenSequence],
    token_budget: int,
    logit_count_max: int = LOGIT_COUNT_MAX,
) -> list[list[float]]:
    """Return the raw log-probability of each scored token, in the order of `sequences`."""
    logprobs: list[list[float]] = [[] for _ in sequences]
    lengths = [len(sequence.prompt_token_ids) + len(sequence.token_ids) for sequence in sequences]
    for group in plan_groups(lengths, token_budget):
        rows = _score_group(model, [sequences[index] for index in group], logit_count_max)
        for index, row in zip(group, rows, strict=True):
            first = len(sequences[index].prompt_token_ids) - 1
            logprobs[index] = row[first : lengths[index] - 1]
    return logprobs


def _score_group(model: CausalModel, sequences: Sequence[TokenSequence], logit_count_max: int) -> list[list[float]]:
    """Return, for each sequence, the log-probability of every token but the first; padding included."""
    ids = [[*sequence.prompt_token_ids, *sequence.token_ids] for sequence in sequences]
    longest = max(map(len, ids))
    ids_BL = torch.tensor([row + [0] * (longest - len(row)) for row in ids], device=model.device)
    lengths_B = torch.tensor([len(row) for row in ids], device=model.device)
    places_L = torch.arange(longest, device=model.device)
    mask_BL = None if all(len(row) == longest for row in ids) else (places_L < lengths_B[:, None]).long()
    cache = DynamicCache(config=model.model.config)
    pieces = []
    size = max(1, logit_count_max // (len(ids) * model.vocabulary_size))
    # The last position predicts a token that nobody asked for.
    for start in range(0, longest - 1, size):
        stop = min(start + size, longest - 1)
        positions_BS = places_L[start:stop].expand(len(ids), -1)
        seen_mask = None if mask_BL is None else mask_BL[:, :stop]
        logits_BSV = model.logits(ids_BL[:, start:stop], positions_BS, seen_mask, cache, last_only=False)
        chosen_BS1 = ids_BL[:, start + 1 : stop + 1, None]
        pieces.append(logits_BSV.gather(2, chosen_BS1).squeeze(2) - logits_BSV.logsumexp(2))
    logprobs: list[list[float]] = torch.cat(pieces, dim=1).tolist() if pieces else [[] for _ in ids]
    return logprobs
