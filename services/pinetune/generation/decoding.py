"""The decode loop: prompts in, sampled tokens and their log-probabilities out. It knows batches, not requests.

Each prompt of a batch passes through the model once, together with those of about its length, so that hardly any
padding is computed; its keys and values are then spread over its rows. Rows that ended leave the batch. Per token there
is a fixed number of tensor operations and nothing in Python that grows with the rows, but for rows whose answers have a
given shape: of each of them the grammar's state goes on.
Where the model's weights change between two tokens, all rows are read again, so that no key or value is of old weights.

Shapes: P prompts, R rows of the batch, B rows still in it, L positions of the longest prompt, T new tokens, K positions
in the cache, V tokens in the vocabulary. Prompts shorter than L are padded on the left, so that the next token of every
row stands at the same place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import Cache, DynamicCache

from pinetune.generation.allowed_tokens import AllowedTokens
from pinetune.generation.batches import Batch, plan_reading
from pinetune.generation.causal_model import CausalModel
from pinetune.generation.kv_cache import joined_cache, reserved_cache, select_rows, survivors
from pinetune.generation.samples import Prompt, SamplingParams
from pinetune.generation.sampling import draw, uniforms
from pinetune.generation.stop_strings import StopStrings
from pinetune.pod.errors import Cancelled

# How often the loop looks up: whether the caller is still there, and whether a stop string came. Tokens sampled behind
# a stop string are thrown away, so this decides about cost and never about the result.
LOOK_UP_TOKENS = 8
# Rows that ended stay until they are this share of the batch, since taking rows out costs about as much as a token.
ENDED_SHARE = 0.125
# Tokens of a pass below which more of them cost next to nothing: prompts of other lengths may as well come along.
PART_TOKENS_MIN, PART_TOKENS_MIN_GPU = 256, 8192


@dataclass(frozen=True)
class SampledRow:
    """What one row sampled."""

    prompt: int
    """Position of its prompt in the request."""
    sample_index: int
    """Which of the prompt's samples it is."""
    token_ids: list[int]
    """Sampled ids, up to an end-of-turn token, the token limit, or a little behind a stop string."""
    logprobs: list[float]
    """Their log-probabilities under the raw policy."""
    ended: bool
    """Whether an end-of-turn token came last."""
    versions: tuple[tuple[int, int], ...]
    """From which token on, counted from 0, which policy version wrote."""


@dataclass(frozen=True)
class Decoder:
    """Samples batches from one model with one way of sampling."""

    model: CausalModel
    """What is sampled from."""
    end_token_ids: tuple[int, ...]
    """Tokens that end a completion."""
    sampling: SamplingParams
    """How to sample."""
    stop: StopStrings
    """Texts that end a completion."""
    cancelled: Callable[[], bool]
    """Whether the caller has left."""
    policy_version: Callable[[], int]
    """The version that the model holds."""
    lend: Callable[[], bool]
    """Lets the model's weights be replaced; called between two tokens, it returns whether they were."""
    begun: Callable[[], None] = lambda: None
    """Told when the first token of a batch is sampled."""
    hears: Callable[[int, int, int, float], None] | None = None
    """Told prompt, sample index, token id and log-probability of each token that does not end its row, as soon as it is
    sampled; None where nobody listens."""
    begin_answers: Callable[[int], AllowedTokens] | None = None
    """Begins the grammar's states of so many rows; None where an answer may have any shape."""

    @torch.inference_mode()
    def decode(self, batch: Batch, prompts: Sequence[Prompt]) -> list[SampledRow]:
        """Sample the rows of `batch`, whose prompts are positions in `prompts`.

        Raises Cancelled, and InvalidInput for a shape that turns out to be too large.
        """
        ends = torch.tensor(self.end_token_ids, device=self.model.device)
        rows = _Rows(self.model, batch, prompts, self.sampling)
        allowed = None if self.begin_answers is None else self.begin_answers(len(batch.rows))
        versions = [(0, self.policy_version())]
        logits_BV = rows.read_prompts()
        for position in range(self.sampling.max_tokens):
            held = ends if position < self.sampling.min_tokens else None
            allowed_BV = None if allowed is None else allowed.mask(rows.places(), logits_BV, held)
            tokens_B, logprobs_B = draw(logits_BV, rows.uniforms_TB[position], self.sampling, held, allowed_BV)
            rows.record(position, tokens_B, logprobs_B, (tokens_B[:, None] == ends).any(1))
            if position == 0:
                self.begun()
            # A listener must not hear what a stop string cuts off, so every token is looked at for him.
            if self.hears is not None or (position + 1) % LOOK_UP_TOKENS == 0:
                self._look_up(rows, position + 1)
            self._tell(batch, rows, position, allowed)
            if position + 1 == self.sampling.max_tokens or not rows.leave_ended():
                break
            if (position + 1) % LOOK_UP_TOKENS == 0 and self.lend():
                versions.append((position + 1, self.policy_version()))
                logits_BV = rows.read_again(position + 1)
            else:
                logits_BV = rows.read_tokens()
        return rows.sampled(batch, tuple(versions))

    def _tell(self, batch: Batch, rows: "_Rows", position: int, allowed: AllowedTokens | None) -> None:
        """Let the listener and the grammar know of the tokens of rows that go on."""
        if self.hears is None and allowed is None:
            return
        going_on = rows.going_on(position)
        if allowed is not None:
            allowed.accept(going_on)
        if self.hears is not None:
            for row, token_id, logprob in going_on:
                prompt, sample_index = batch.row(row)
                self.hears(prompt, sample_index, token_id, logprob)

    def _look_up(self, rows: "_Rows", token_count: int) -> None:
        if self.cancelled():
            raise Cancelled("the caller left while its completions were being sampled", reason="CALLER_LEFT")
        if self.stop.strings:
            first = self.stop.window_start(token_count, LOOK_UP_TOKENS)
            stopped = [
                # What begins in the middle of a text may read otherwise there.
                self.stop.found(ids) and (first == 0 or self.stop.found(rows.row_tokens(place, token_count)))
                for place, ids in enumerate(rows.tokens(first, token_count))
            ]
            rows.end(torch.tensor(stopped, device=self.model.device), token_count)


class _Rows:
    """The rows of one batch while they are sampled."""

    def __init__(self, model: CausalModel, batch: Batch, prompts: Sequence[Prompt], sampling: SamplingParams) -> None:
        device, row_count, new_count = model.device, len(batch.rows), sampling.max_tokens
        self._model = model
        self._prompts = [prompts[index] for index in batch.prompts]
        self._prompt_of_R = torch.tensor([place for place, _ in batch.rows], device=device)
        drawn = [
            uniforms(sampling.seed, self._prompts[place].prompt_id, index, new_count) for place, index in batch.rows
        ]
        self.uniforms_TB = torch.from_numpy(np.stack(drawn, axis=1)).to(device)
        # What was sampled, by row; rows in the batch find theirs through `_row_of_B`.
        self._tokens_TR = torch.zeros(new_count, row_count, dtype=torch.long, device=device)
        self._logprobs_TR = torch.zeros(new_count, row_count, device=device)
        self._count_R = torch.full((row_count,), new_count, device=device)
        self._ended_R = torch.zeros(row_count, dtype=torch.bool, device=device)
        self._row_of_B = torch.arange(row_count, device=device)
        self._left_B = torch.zeros(row_count, dtype=torch.bool, device=device)
        self._tokens_B = self._row_of_B

    def read_prompts(self) -> Tensor:
        """Pass each prompt through the model once and return the logits [B, V] of every row's first token."""
        return self._read([prompt.token_ids for prompt in self._prompts], self._prompt_of_R, len(self._tokens_TR))

    def read_again(self, token_count: int) -> Tensor:
        """Pass prompts and the tokens so far through a model that has changed; return the logits [B, V] of the next."""
        prompts = [self._prompts[place].token_ids for place in self._prompt_of_R[self._row_of_B].tolist()]
        texts = [(*prompt, *ids) for prompt, ids in zip(prompts, self.tokens(0, token_count), strict=True)]
        rows_B = torch.arange(len(texts), device=self._model.device)
        return self._read(texts, rows_B, len(self._tokens_TR) - token_count)

    def _read(self, texts: Sequence[Sequence[int]], text_of_B: Tensor, new_count: int) -> Tensor:
        """Fill the keys and values anew with one text a row, with room for `new_count` tokens more."""
        lengths, config = [len(text) for text in texts], self._model.model.config
        longest, device = max(lengths), self._model.device
        self._cache = reserved_cache(config, new_count)  # At once: the old one's memory is free before more is taken.
        parts = [list(range(len(texts)))]
        if min(lengths) < longest and self._model.reads_in_parts:
            parts = plan_reading(lengths, PART_TOKENS_MIN if device.type == "cpu" else PART_TOKENS_MIN_GPU)
        if len(parts) == 1:
            logits_PV = self._read_part(texts, self._cache)
            select_rows(self._cache, text_of_B)
        else:
            caches = [DynamicCache(config=config) for _ in parts]
            place_of_text = torch.full((len(parts), len(texts)), -1, device=device)
            logits = []
            for number, part in enumerate(parts):
                logits.append(self._read_part([texts[place] for place in part], caches[number]))
                place_of_text[number, part] = torch.arange(len(part), device=device)
            order = torch.tensor([place for part in parts for place in part], device=device)
            logits_PV = torch.cat(logits)[order.argsort()]
            self._cache = joined_cache(config, caches, list(place_of_text[:, text_of_B]), longest, new_count)
        self._position_B = torch.tensor(lengths, device=device)[text_of_B]
        self._padding_B = longest - self._position_B
        self._place = longest
        self._make_mask()
        return logits_PV[text_of_B]

    def _read_part(self, texts: Sequence[Sequence[int]], cache: Cache) -> Tensor:
        """Pass texts through the model, padded on the left to the longest; return the logits [P, V] of what follows."""
        lengths = [len(text) for text in texts]
        longest, device = max(lengths), self._model.device
        ids_PL = torch.tensor([[0] * (longest - len(text)) + list(text) for text in texts], device=device)
        padding_P = longest - torch.tensor(lengths, device=device)
        places_L = torch.arange(longest, device=device)
        mask_PL = None if min(lengths) == longest else (places_L >= padding_P[:, None]).long()
        positions_PL = (places_L - padding_P[:, None]).clamp_(min=0)
        return self._model.logits(ids_PL, positions_PL, mask_PL, cache, last_only=True)

    def record(self, position: int, tokens_B: Tensor, logprobs_B: Tensor, ended_B: Tensor) -> None:
        """Keep what was drawn at `position`, and which rows ended with it."""
        self._tokens_TR[position, self._row_of_B] = tokens_B
        self._logprobs_TR[position, self._row_of_B] = logprobs_B
        self._tokens_B = tokens_B
        self._ended_R[self._row_of_B] |= ended_B & ~self._left_B
        self.end(ended_B, position + 1)

    def end(self, ended_B: Tensor, token_count: int) -> None:
        """Let rows end with `token_count` tokens; what they sample from now on is not theirs."""
        fresh_B = ended_B & ~self._left_B
        self._count_R[self._row_of_B[fresh_B]] = token_count
        self._left_B |= fresh_B

    def tokens(self, first: int, token_count: int) -> list[list[int]]:
        """Return the tokens from `first` to before `token_count` of each row in the batch."""
        ids: list[list[int]] = self._tokens_TR[first:token_count, self._row_of_B].T.tolist()
        return ids

    def row_tokens(self, place: int, token_count: int) -> list[int]:
        """Return the first `token_count` tokens of the row at a place in the batch."""
        ids: list[int] = self._tokens_TR[:token_count, self._row_of_B[place]].tolist()
        return ids

    def going_on(self, position: int) -> list[tuple[int, int, float]]:
        """Return row, token id and log-probability at `position` of each row that has not ended."""
        rows_B = self._row_of_B[~self._left_B]
        tokens, logprobs = self._tokens_TR[position, rows_B].tolist(), self._logprobs_TR[position, rows_B].tolist()
        return list(zip(rows_B.tolist(), tokens, logprobs, strict=True))

    def places(self) -> list[tuple[int, int]]:
        """Return row and place in the batch of each row that has not ended."""
        places = (~self._left_B).nonzero().squeeze(1)
        return list(zip(self._row_of_B[places].tolist(), places.tolist(), strict=True))

    def leave_ended(self) -> bool:
        """Take ended rows out of the batch once they are enough; return False where none is left."""
        left, size = int(self._left_B.sum()), len(self._left_B)
        if left == size:
            return False
        if left > ENDED_SHARE * size:
            places = survivors(self._left_B)
            select_rows(self._cache, places)
            self.uniforms_TB = self.uniforms_TB[:, places]
            self._row_of_B, self._left_B = self._row_of_B[places], self._left_B[places]
            self._tokens_B, self._position_B = self._tokens_B[places], self._position_B[places]
            self._padding_B = self._padding_B[places]
            self._make_mask()
        return True

    def read_tokens(self) -> Tensor:
        """Pass the tokens drawn last through the model and return the logits [B, V] of the next."""
        self._place += 1
        mask_BK = None if self._mask_BK is None else self._mask_BK[:, : self._place]
        logits_BV = self._model.logits(
            self._tokens_B[:, None], self._position_B[:, None], mask_BK, self._cache, last_only=True
        )
        self._position_B = self._position_B + 1
        return logits_BV

    def sampled(self, batch: Batch, versions: tuple[tuple[int, int], ...]) -> list[SampledRow]:
        """Return what every row sampled, by which versions."""
        tokens, logprobs = self._tokens_TR.T.tolist(), self._logprobs_TR.T.tolist()
        counts, ended = self._count_R.tolist(), self._ended_R.tolist()
        return [
            SampledRow(*batch.row(row), ids[:count], row_logprobs[:count], row_ended, versions)
            for row, (ids, row_logprobs, count, row_ended) in enumerate(
                zip(tokens, logprobs, counts, ended, strict=True)
            )
        ]

    def _make_mask(self) -> None:
        """Make the mask for all tokens to come; none where no row is padded, which lets attention skip it."""
        self._mask_BK = None
        if bool(self._padding_B.any()):
            places_K = torch.arange(self._place + len(self._tokens_TR), device=self._padding_B.device)
            self._mask_BK = (places_K >= self._padding_B[:, None]).long()
