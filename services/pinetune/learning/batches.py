"""Token sequences to micro-batches: what goes through the model in one pass.

Two things keep wasted work small. Completions of one prompt share a row, so that the prompt is computed once for all of
them. Rows are sorted by length and cut so that no pass has more tokens than allowed, so hardly any padding is computed.

A row with one completion is what a causal model reads anyway. A row with several is laid out like this; each completion
sees the prompt and itself, and its positions go on where the prompt ends:

    prompt a b c, completions x y z and u v        (the last token of a completion predicts nothing and is left out)

    input        a  b  c  x  y  u                  x sees a b c x       u sees a b c u
    position     0  1  2  3  4  3
    predicts           xu y  z  v                  c predicts x for the one, u for the other

Padding is at the right, where a causal model never looks at it from a real token.

Shapes: R rows of a micro-batch, L tokens of its longest row, N completion tokens of all its rows in a row, B sequences
of the whole list, T tokens of the longest completion.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

PROMPT, PADDING = 0, -1
"""Segments of a row; its completions are 1, 2, …"""
SHARED_LENGTH_RATIO_MAX = 4
"""Longest shared row over its longest sequence. Attention looks at a row's other completions in vain, which costs more
the longer the row; at 4 an update of 2 million weights on a CPU took a quarter less time than at 2."""


class TokenSequence(Protocol):
    """A prompt and the tokens after it."""

    @property
    def prompt_token_ids(self) -> Sequence[int]:
        """Ids of the context; at least one."""
        ...

    @property
    def token_ids(self) -> Sequence[int]:
        """Ids that are scored or learnt; at least one."""
        ...


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """One pass through the model."""

    rows: tuple[int, ...]
    """Which sequences these are, as indices into the whole list, in the order of their tokens in `targets_N`."""
    input_ids_RL: Tensor
    """Ids, padded at the right."""
    position_ids_RL: Tensor
    """Position of each token in its own sequence."""
    segments_RL: Tensor | None
    """Which completion of its row a token belongs to; None where no row has several."""
    positions_N: Tensor
    """Where the completion tokens are predicted, as indices into the flattened input."""
    targets_N: Tensor
    """The completion tokens."""

    def places(self, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return row and column of each completion token in a tensor over all sequences, in order of `targets_N`.

        `mask_BT` is True at all sequences' completion tokens: `values_BT[batch.places(mask_BT)]` has shape N.
        """
        rows_R = torch.tensor(self.rows, device=mask_BT.device)
        index_N, columns_N = mask_BT[rows_R].nonzero(as_tuple=True)
        return rows_R[index_N], columns_N

    def attention_mask(self, dtype: torch.dtype) -> Tensor | None:
        """Return what is added to the attention's scores, shape R1LL; None where plain causal attention is right."""
        if self.segments_RL is None:
            return None
        queries_RL1, keys_R1L = self.segments_RL[:, :, None], self.segments_RL[:, None, :]
        earlier_LL = torch.ones(2 * self.segments_RL.shape[-1:], dtype=torch.bool, device=keys_R1L.device).tril()
        seen_RLL = earlier_LL & ((keys_R1L == PROMPT) | (keys_R1L == queries_RL1))
        mask_RLL = torch.zeros(seen_RLL.shape, dtype=dtype, device=keys_R1L.device)
        return mask_RLL.masked_fill_(~seen_RLL, torch.finfo(dtype).min)[:, None]


def micro_batches(
    sequences: Sequence[TokenSequence],
    max_tokens: int,
    device: torch.device,
    *,
    rows: Sequence[int] | None = None,
    shared_tokens_max: int = 0,
) -> Iterator[MicroBatch]:
    """Yield the sequences (those of `rows`, where given) as micro-batches, the longest rows first.

    Rows times longest row is at most `max_tokens`; a sequence longer than that goes alone. Completions share a row of
    at most `shared_tokens_max` tokens, and none where that is 0. Longest first, so that memory that does not suffice
    shows at once.
    """
    wanted = range(len(sequences)) if rows is None else rows
    shared = _shared(sequences, wanted, min(max_tokens, shared_tokens_max))
    chosen: list[_Row] = []
    for row in sorted(shared, key=lambda row: (-row.length, row.members)):
        if chosen and (len(chosen) + 1) * chosen[0].length > max_tokens:
            yield _micro_batch(sequences, chosen, device)
            chosen = []
        chosen.append(row)
    if chosen:
        yield _micro_batch(sequences, chosen, device)


def completion_mask(sequences: Sequence[TokenSequence]) -> Tensor:
    """Return True at real completion tokens, False at padding, shape BT, on the CPU."""
    lengths_B = torch.tensor([len(sequence.token_ids) for sequence in sequences])
    return torch.arange(int(lengths_B.max())) < lengths_B[:, None]


@dataclass(slots=True)
class _Row:
    members: list[int]
    """The sequences, as indices into the whole list."""
    length: int
    """Tokens of the input."""


def _shared(sequences: Sequence[TokenSequence], wanted: Iterable[int], length_max: int) -> list[_Row]:
    """Put sequences with equal prompts into rows together, the longest completions first."""
    open_rows: dict[tuple[int, ...], _Row] = {}
    closed: list[_Row] = []
    for index in sorted(wanted, key=lambda index: (-len(sequences[index].token_ids), index)):
        prompt, added = tuple(sequences[index].prompt_token_ids), len(sequences[index].token_ids) - 1
        row = open_rows.get(prompt)
        if row is not None and row.length + added <= min(
            length_max, SHARED_LENGTH_RATIO_MAX * _length(sequences[row.members[0]])
        ):
            row.members.append(index)
            row.length += added
        else:
            open_rows[prompt] = _Row([index], len(prompt) + added)
            closed.append(open_rows[prompt])
    return closed


def _length(sequence: TokenSequence) -> int:
    return len(sequence.prompt_token_ids) + len(sequence.token_ids) - 1


def _micro_batch(sequences: Sequence[TokenSequence], rows: Sequence[_Row], device: torch.device) -> MicroBatch:
    width = max(row.length for row in rows)
    # Any id serves as padding; 0 exists in every vocabulary.
    input_ids_RL = torch.zeros(len(rows), width, dtype=torch.long)
    position_ids_RL = torch.zeros_like(input_ids_RL)
    segments_RL = torch.full_like(input_ids_RL, PADDING)
    positions: list[int] = []
    targets: list[int] = []
    for index, row in enumerate(rows):
        prompt = sequences[row.members[0]].prompt_token_ids
        ids, places, segments = [*prompt], [*range(len(prompt))], [PROMPT] * len(prompt)
        for segment, member in enumerate(row.members, start=1):
            completion = sequences[member].token_ids
            start, more = index * width + len(ids), len(completion) - 1
            positions += [index * width + len(prompt) - 1, *range(start, start + more)]
            targets += completion
            ids += completion[:-1]
            places += range(len(prompt), len(prompt) + more)
            segments += [segment] * more
        input_ids_RL[index, : len(ids)] = torch.tensor(ids)
        position_ids_RL[index, : len(ids)] = torch.tensor(places)
        segments_RL[index, : len(ids)] = torch.tensor(segments)
    several = any(len(row.members) > 1 for row in rows)
    return MicroBatch(
        rows=tuple(member for row in rows for member in row.members),
        input_ids_RL=input_ids_RL.to(device),
        position_ids_RL=position_ids_RL.to(device),
        segments_RL=segments_RL.to(device) if several else None,
        positions_N=torch.tensor(positions).to(device),
        targets_N=torch.tensor(targets).to(device),
    )
