"""The keys and values of a batch, in memory that is reserved once.

transformers' own layer grows by `torch.cat`, which copies the whole cache at every token. The layer here reserves room
for the new tokens when the prompt's rows become the samples' rows, and from then on writes in place. Layers of other
kinds (sliding windows, linear attention) stay what transformers makes them, so any model with a cache works.
"""

from typing import cast

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer


class ReservedLayer(DynamicLayer):
    """Keys and values of one full-attention layer, `[rows, heads, tokens, head width]`."""

    def __init__(self, new_token_count: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # transformers leaves it without annotations
        self._new_token_count = new_token_count
        self._token_count = 0
        self._row_count = 0
        self._reserved: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append tokens and return all keys and values so far."""
        start, stop = self._token_count, self._token_count + key_states.shape[-2]
        self._token_count = stop
        if not self.is_initialized:
            # The prompts. Their memory is reserved by `reorder_cache`, when it is known how many samples each has.
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states, value_states
            return key_states, value_states
        assert self._reserved is not None, "reorder_cache comes between the prompts and the first new token"
        keys, values = self._reserved
        keys[: self._row_count, :, start:stop] = key_states
        values[: self._row_count, :, start:stop] = value_states
        return self._show()

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Make row i what row `beam_idx[i]` was; rows may be repeated the first time and only dropped later."""
        self._row_count = len(beam_idx)
        if self._reserved is None:
            assert self.keys is not None, "the prompts come first"
            assert self.values is not None, "the prompts come first"
            self._reserved = self._spread(self.keys, beam_idx), self._spread(self.values, beam_idx)
        else:
            # Rows that stay where they are cost nothing; `survivors` moves as few as possible.
            moved = (beam_idx != torch.arange(len(beam_idx), device=beam_idx.device)).nonzero().squeeze(1)
            for states in self._reserved:
                states[moved, :, : self._token_count] = states[beam_idx[moved], :, : self._token_count]
        self._show()

    def _show(self) -> tuple[Tensor, Tensor]:
        assert self._reserved is not None, "called only once memory is reserved"
        keys, values = (states[: self._row_count, :, : self._token_count] for states in self._reserved)
        self.keys, self.values = keys, values
        return keys, values

    def _spread(self, states: Tensor, rows: Tensor) -> Tensor:
        heads, tokens, width = states.shape[1:]
        reserved = states.new_empty(len(rows), heads, tokens + self._new_token_count, width)
        reserved[:, :, :tokens] = states.index_select(0, rows)
        return reserved


def select_rows(cache: Cache, rows: Tensor) -> None:
    """Make row i of every layer what row `rows[i]` was."""
    # Made for beam search, it is the one way to choose rows that layers of every kind have.
    cache.reorder_cache(cast(torch.LongTensor, rows))


def reserved_cache(config: PreTrainedConfig, new_token_count: int) -> DynamicCache:
    """Return an empty cache of the model with room for `new_token_count` tokens after the prompts."""
    cache = DynamicCache(config=config)
    cache.layers = [ReservedLayer(new_token_count) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def survivors(ended: Tensor) -> Tensor:
    """Return which row goes to each place of a batch without the `ended` rows; the fewest possible rows move."""
    alive = (~ended).nonzero().squeeze(1)
    places = torch.arange(len(alive), device=ended.device)
    holes = ended[: len(alive)].nonzero().squeeze(1)
    places[holes] = alive[alive >= len(alive)]
    return places
