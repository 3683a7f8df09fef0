"""A causal language model of transformers, and what has to be known of it to run it in batches.

Models differ in what their `forward` takes. What is read off here once: whether it takes position ids, whether it can
be asked for the last position's logits only, and whether prompts of different lengths may share a batch.

Shapes: B rows, S positions of this pass, K positions so far with this pass, V tokens in the vocabulary.
"""

import inspect
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

from pinetune.pod.errors import InvalidInput


@dataclass(frozen=True)
class CausalModel:
    """A model with the facts of its `forward`."""

    model: PreTrainedModel
    """The model, in evaluation mode, on its device."""
    takes_positions: bool = field(init=False)
    """Whether `forward` takes position ids."""
    takes_logits_to_keep: bool = field(init=False)
    """Whether `forward` can be asked for the last logits only."""
    takes_padding: bool = field(init=False)
    """Whether rows of different length may be padded on the left. Not where positions are counted over the padding, nor
    where a recurrent state would read it."""
    reads_in_parts: bool = field(init=False)
    """Whether prompts may be read apart and their caches joined (`kv_cache.joined_cache`): all layers look at all
    tokens."""

    def __post_init__(self) -> None:
        parameters = inspect.signature(self.model.forward).parameters
        if "past_key_values" not in parameters:
            raise InvalidInput(
                f"PINETUNE_GENERATION_MODEL: {type(self.model).__name__} keeps no keys and values between tokens; "
                "the transformers engine needs a model whose forward takes past_key_values",
                reason="MODEL_UNSUPPORTED",
            )
        layers = DynamicCache(config=self.model.config).layers
        recurrent = any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in layers)
        object.__setattr__(self, "takes_positions", "position_ids" in parameters)
        object.__setattr__(self, "takes_logits_to_keep", "logits_to_keep" in parameters)
        object.__setattr__(self, "takes_padding", self.takes_positions and not recurrent)
        object.__setattr__(self, "reads_in_parts", all(type(layer) is DynamicLayer for layer in layers))

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @property
    def vocabulary_size(self) -> int:
        """Rows of the output layer."""
        return int(self.model.config.get_text_config(decoder=True).vocab_size)

    def logits(
        self,
        ids_BS: Tensor,
        positions_BS: Tensor,
        mask_BK: Tensor | None,
        cache: Cache,
        *,
        last_only: bool,
    ) -> Tensor:
        """Return float32 logits, [B, S, V] or with `last_only` [B, V]; `mask_BK` is 0 on padding, None without any."""
        positions = {"position_ids": positions_BS} if self.takes_positions else {}
        # As an index and not as a count: the count takes a slice, for whose layout the output layer copies its weights
        # once for each row.
        last = torch.tensor([ids_BS.shape[1] - 1], device=ids_BS.device)
        keep = {"logits_to_keep": last} if last_only and self.takes_logits_to_keep else {}
        output = self.model(
            input_ids=ids_BS, attention_mask=mask_BK, past_key_values=cache, use_cache=True, **positions, **keep
        )
        logits: Tensor = output.logits
        return logits[:, -1].float() if last_only else logits.float()
