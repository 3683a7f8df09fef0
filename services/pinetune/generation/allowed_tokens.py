"""Which tokens the rows of a batch may sample next, where their answers are to have a given shape.

Each row has a state of the shape's grammar, which goes on with each token of the row and with nothing else: neither the
rows beside it nor a policy that is loaded meanwhile changes it. Masks come from llguidance as bits, all rows of a step
in one call; nothing here walks over the vocabulary.

An end token is allowed where the answer so far has the shape; where no text may follow, nothing else is allowed.

Shapes: R rows of the batch, B rows still in it, V tokens in the vocabulary, W words of 32 bits, C bytes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from llguidance import LLExecutor, LLMatcher
from llguidance.numpy import allocate_token_bitmask, consume_token_par, fill_next_token_bitmask_par
from torch import Tensor

from pinetune.generation.samples import AnswerFormat
from pinetune.pod.errors import Broken, InvalidInput


@dataclass(frozen=True)
class AllowedTokens:
    """The states of one batch's rows."""

    answer_format: AnswerFormat
    """The shape."""
    matchers: Sequence[LLMatcher]
    """The state of each row [R], at the beginning of an answer."""
    executor: LLExecutor
    """Threads that work on several rows at once."""

    def mask(self, rows: Sequence[tuple[int, int]], logits_BV: Tensor, held: Tensor | None = None) -> Tensor:
        """Return which tokens are allowed, as truth values like `logits_BV`.

        `rows` are those that go on, as row and place in the batch; the others may sample anything, for what they sample
        is theirs no more. Tokens in `held` are not allowed where anything else is. Raises InvalidInput where the shape
        has become too large to go on with.
        """
        row_count, vocabulary_size = logits_BV.shape
        bits_BW = allocate_token_bitmask(row_count, vocabulary_size)
        work = [(self.matchers[row], place) for row, place in rows]
        fill_next_token_bitmask_par(self.executor, work, bits_BW)
        error = next((matcher.get_error() for matcher, _ in work if matcher.is_error()), None)
        if error is not None:
            raise shape_refused(self.answer_format, error)
        allowed_BV = unpacked(torch.from_numpy(bits_BW).to(logits_BV.device), vocabulary_size)
        if held is None:
            return allowed_BV
        others_BV = allowed_BV.index_fill(1, held, False)
        return torch.where(others_BV.any(1, keepdim=True), others_BV, allowed_BV)

    def accept(self, tokens: Sequence[tuple[int, int, float]]) -> None:
        """Go on with a token in each of some rows, given as row, token id and log-probability; raises as `mask`."""
        if not tokens:
            return  # llguidance takes no empty list.
        accepted = consume_token_par(self.executor, [(self.matchers[row], token_id) for row, token_id, _ in tokens])
        for right, (row, _, logprob) in zip(accepted, tokens, strict=True):
            if right:
                continue
            if math.isfinite(logprob):
                raise shape_refused(self.answer_format, self.matchers[row].get_error())
            # A draw among the allowed tokens is one of them, unless the logits are no numbers.
            raise Broken(
                "the policy's probabilities are no numbers, so no answer can have the shape of response_format; load a "
                "policy whose weights are finite",
                reason="LOGITS_NOT_FINITE",
            )


def unpacked(bits_BW: Tensor, vocabulary_size: int) -> Tensor:
    """Return bits as truth values [B, V], token 0 being the lowest bit of the first word."""
    powers = torch.tensor([1 << bit for bit in range(8)], dtype=torch.uint8, device=bits_BW.device)
    bytes_BC = bits_BW.view(torch.uint8)
    return (bytes_BC[:, :, None] & powers).ne(0).view(len(bits_BW), -1)[:, :vocabulary_size]


def shape_refused(answer_format: AnswerFormat, why: str) -> InvalidInput:
    """Return the error for a shape that cannot be kept, from what llguidance says of it."""
    field = f"response_format.{answer_format.kind}"
    return InvalidInput(f"{field} cannot be kept: {_sentence(why)}", reason="RESPONSE_FORMAT", field=field)


def _sentence(why: str) -> str:
    """Return llguidance's message without the picture of where it stands in a grammar that the caller has not seen."""
    if "NoExtension" in why:
        return "it allows no answer that ends"
    lines = [line.strip() for line in why.replace("<non-verbose/>", "").splitlines()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines)[0].rpartition("(in regex): ")[2]
