"""Model and tokenizer as they come from a folder or the hub, refused at the door where they could not be sampled from.

transformers fills missing weights with random numbers and says so in a warning; here that is an error.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from pinetune.generation.model_source import find_model, model_not_found
from pinetune.pod.errors import InvalidInput

KEYS_SHOWN = 3


@dataclass(frozen=True)
class Pretrained:
    """A model with the tokenizer it was trained with."""

    model: PreTrainedModel
    """In evaluation mode, without gradients, on its device."""
    tokenizer: PreTrainedTokenizerBase
    """Its tokenizer."""

    @property
    def end_token_ids(self) -> frozenset[int]:
        """Tokens that the model's files say end a text."""
        named = [self.tokenizer.eos_token_id]
        for config in (self.model.generation_config, self.model.config.get_text_config(decoder=True)):
            ids = getattr(config, "eos_token_id", None)
            named += ids if isinstance(ids, list) else [ids]
        return frozenset(token for token in named if isinstance(token, int))

    def max_tokens(self, limit: int) -> int:
        """Return the most tokens of prompt and completion together: `limit`, or where it is 0 the model's own."""
        own: int | None = getattr(self.model.config.get_text_config(decoder=True), "max_position_embeddings", None)
        if own is None and limit == 0:
            raise InvalidInput(
                "the model does not say how many tokens it can read; set PINETUNE_GENERATION_MAX_MODEL_TOKENS",
                reason="MAX_MODEL_TOKENS_UNKNOWN",
            )
        if own is not None and limit > own:
            raise InvalidInput(
                f"PINETUNE_GENERATION_MAX_MODEL_TOKENS: at most {own}, which is what the model can read; given {limit}",
                reason="MAX_MODEL_TOKENS_TOO_LARGE",
                limit=own,
                given=limit,
            )
        return limit or own or 0


def load_pretrained(model: str, device: str, dtype: str, *, local_files_only: bool) -> Pretrained:
    """Load `model`, a folder or a hub id. Raises InvalidInput with what to set instead."""
    transformers_logging.disable_progress_bar()
    target = _device(device)
    source = find_model(model)
    local_files_only = local_files_only or source.local
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.name, local_files_only=local_files_only)
        # With output_loading_info a pair comes back, which transformers' annotations do not say.
        loaded, report = cast(
            tuple[PreTrainedModel, dict[str, Collection[Any]]],
            AutoModelForCausalLM.from_pretrained(
                source.name, dtype=getattr(torch, dtype), local_files_only=local_files_only, output_loading_info=True
            ),
        )
    except (OSError, ValueError) as error:
        # transformers goes on for a page; its first line says what was missing.
        what = "cannot be loaded" if source.local else "is no folder, and as a hub id cannot be loaded"
        raise model_not_found(f"{model!r} {what}: {str(error).strip().splitlines()[0]}") from error
    _check(model, loaded, tokenizer, report)
    loaded.to(target)  # type: ignore[arg-type]  # transformers wraps `to` in a way that hides its `self`
    return Pretrained(loaded.eval().requires_grad_(False), tokenizer)


def _check(
    name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, report: Mapping[str, Collection[Any]]
) -> None:
    absent = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if absent:
        shown = ", ".join(absent[:KEYS_SHOWN]) + (" …" if len(absent) > KEYS_SHOWN else "")
        raise InvalidInput(
            f"PINETUNE_GENERATION_MODEL: {name!r} lacks {len(absent)} weights of {type(model).__name__}: {shown}",
            reason="MODEL_INCOMPLETE",
            model=name,
        )
    vocabulary_size = model.config.get_text_config(decoder=True).vocab_size
    if len(tokenizer) > vocabulary_size:
        raise InvalidInput(
            f"PINETUNE_GENERATION_MODEL: the tokenizer of {name!r} has {len(tokenizer)} tokens, its model reads only "
            f"{vocabulary_size}",
            reason="TOKENIZER_MISMATCH",
            model=name,
        )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    gpu_count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= gpu_count:
        raise InvalidInput(
            f"PINETUNE_GENERATION_DEVICE: {name} was asked for, torch sees {gpu_count} GPUs; use cpu or auto",
            reason="DEVICE_MISSING",
            device=name,
        )
    return device
