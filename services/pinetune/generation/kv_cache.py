"""The keys and values of a batch, in memory that is reserved once.

transformers' own layer grows by `torch.cat`, which copies the whole cache at every token. The layer here reserves room
for the new tokens when the prompt's rows become the samples' rows, and from then on writes in place. Layers of other
kinds (sliding windows, linear attention) stay what transformers makes them, so any model with a cache works.

Prompts of different lengths are read in parts of about one length (`batches.plan_reading`), each with a cache of its
own; `joined_cache` puts those into one, where the last token of every prompt stands at the same place.
"""

from collections.abc import Sequence
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

    def join(self, parts: Sequence[tuple[Tensor, Tensor]], place_of_R: Sequence[Tensor], token_count: int) -> None:
        """Take the keys and values of prompts that were read in parts, of at most `token_count` tokens each.

        Row i is the prompt at `place_of_R[part][i]` of the part, or of another part where that is -1.
        """
        assert self._reserved is None, "prompts come once"
        self.lazy_initialization(*parts[0])
        self._row_count, self._token_count = len(place_of_R[0]), token_count
        self._reserved = (
            self._joined([keys for keys, _ in parts], place_of_R),
            self._joined([values for _, values in parts], place_of_R),
        )
        self._show()

    def _joined(self, parts: Sequence[Tensor], place_of_R: Sequence[Tensor]) -> Tensor:
        _, heads, _, width = parts[0].shape
        joined = parts[0].new_empty(self._row_count, heads, self._token_count + self._new_token_count, width)
        for states, places in zip(parts, place_of_R, strict=True):
            rows = (places >= 0).nonzero().squeeze(1)
            first = self._token_count - states.shape[2]
            joined[rows, :, first : self._token_count] = states[places[rows]]
            joined[rows, :, :first] = 0  # Masked, and a mask does not hide what is no number.
        return joined

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


def joined_cache(
    config: PreTrainedConfig, parts: Sequence[Cache], place_of_R: Sequence[Tensor], token_count: int, new_count: int
) -> DynamicCache:
    """Return one cache of prompts that were read in parts, whose caches are empty then; see `ReservedLayer.join`."""
    cache = reserved_cache(config, new_count)
    for number, layer in enumerate(cache.layers):
        read = [cast(DynamicLayer, part.layers[number]) for part in parts]
        states = [(cast(Tensor, one.keys), cast(Tensor, one.values)) for one in read]
        cast(ReservedLayer, layer).join(states, place_of_R, token_count)
        for one in read:  # Given back layer by layer: together they are as large as what they become.
            one.keys = one.values = None
    return cache


def survivors(ended: Tensor) -> Tensor:
    """Return which row goes to each place of a batch without the `ended` rows; the fewest possible rows move."""
    alive = (~ended).nonzero().squeeze(1)
    places = torch.arange(len(alive), device=ended.device)
    holes = ended[: len(alive)].nonzero().squeeze(1)
    places[holes] = alive[alive >= len(alive)]
    return places
