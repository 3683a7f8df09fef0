"""Token sequences to micro-batches: what goes through the model in one pass.

Sequences are sorted by length, so that hardly any padding is computed, and cut so that no pass has more tokens than
allowed. Padding is at the right, where a causal model never looks at it from a real token: no attention mask is needed.

Shapes: R rows of a micro-batch, L tokens of its longest row, N completion tokens of all its rows in a row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


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
    """One pass through the model.

    The last token of a row predicts nothing and is left out of the input. For a prompt `a b` and a completion `x y`:

        input_ids    a  b  x        positions   of b and x: what stands there predicts
        targets            x  y
    """

    rows: tuple[int, ...]
    """Which sequences these are, as indices into the whole list."""
    input_ids_RL: Tensor
    """Ids, padded at the right."""
    positions_N: Tensor
    """Where the completion tokens are predicted, as indices into the flattened input; row after row."""
    targets_N: Tensor
    """The completion tokens."""

    def places(self, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return row and column of each completion token in a tensor over all sequences, in order of `targets_N`.

        `mask_BT` is True at all sequences' completion tokens: `values_BT[batch.places(mask_BT)]` has shape N.
        """
        rows_R = torch.tensor(self.rows, device=mask_BT.device)
        index_N, columns_N = mask_BT[rows_R].nonzero(as_tuple=True)
        return rows_R[index_N], columns_N


def micro_batches(
    sequences: Sequence[TokenSequence], max_tokens: int, device: torch.device, rows: Sequence[int] | None = None
) -> Iterator[MicroBatch]:
    """Yield the sequences (those of `rows`, where given) as micro-batches, the longest first.

    Rows times longest row is at most `max_tokens`, a sequence longer than that goes alone. Longest first, so that
    memory that does not suffice shows at once.
    """
    lengths = {row: _input_length(sequences[row]) for row in (range(len(sequences)) if rows is None else rows)}
    chosen: list[int] = []
    for row in sorted(lengths, key=lambda row: (-lengths[row], row)):
        if chosen and (len(chosen) + 1) * lengths[chosen[0]] > max_tokens:
            yield _micro_batch(sequences, chosen, device)
            chosen = []
        chosen.append(row)
    if chosen:
        yield _micro_batch(sequences, chosen, device)


def completion_mask(sequences: Sequence[TokenSequence]) -> Tensor:
    """Return True at real completion tokens, False at padding, shape BT, on the CPU."""
    lengths_B = torch.tensor([len(sequence.token_ids) for sequence in sequences])
    return torch.arange(int(lengths_B.max())) < lengths_B[:, None]


def _input_length(sequence: TokenSequence) -> int:
    return len(sequence.prompt_token_ids) + len(sequence.token_ids) - 1


def _micro_batch(sequences: Sequence[TokenSequence], rows: Sequence[int], device: torch.device) -> MicroBatch:
    width = _input_length(sequences[rows[0]])
    # Any id serves as padding; 0 exists in every vocabulary.
    input_ids_RL = torch.zeros(len(rows), width, dtype=torch.long)
    positions: list[Tensor] = []
    targets: list[int] = []
    for index, row in enumerate(rows):
        prompt, completion = sequences[row].prompt_token_ids, sequences[row].token_ids
        input_ids_RL[index, : len(prompt) + len(completion) - 1] = torch.tensor([*prompt, *completion[:-1]])
        start = index * width + len(prompt) - 1
        positions.append(torch.arange(start, start + len(completion)))
        targets.extend(completion)
    return MicroBatch(
        rows=tuple(rows),
        input_ids_RL=input_ids_RL.to(device),
        positions_N=torch.cat(positions).to(device),
        targets_N=torch.tensor(targets).to(device),
    )
