"""A model without its weights: what its tensors are called and which are one, for engines that keep them elsewhere."""

import contextlib
from dataclasses import dataclass

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from pinetune.generation.model_source import find_model, model_not_found
from pinetune.generation.pretrained import Pretrained
from pinetune.pod.errors import InvalidInput


@dataclass(frozen=True)
class OutlinedTensor:
    """A tensor of the model, as transformers names it."""

    shape: tuple[int, ...]
    """Its shape."""
    first_name: str
    """The first of its names; tied tensors have several."""


@dataclass(frozen=True)
class ModelOutline:
    """A model's tokenizer, its limits and its tensors by name."""

    pretrained: Pretrained
    """The tokenizer, and the model on torch's `meta` device: shapes without memory."""
    tensors: dict[str, OutlinedTensor]
    """Each tensor under each of its names: parameters, and the buffers that are saved."""

    @property
    def parameter_count(self) -> int:
        """Weights, shared ones counted once."""
        return sum(parameter.numel() for parameter in self.pretrained.model.parameters())

    @property
    def vocabulary_size(self) -> int:
        """Rows of the output layer."""
        return int(self.pretrained.model.config.get_text_config(decoder=True).vocab_size)

    @property
    def prefix(self) -> str:
        """What stands before the names of the inner model's tensors, which some old files leave out."""
        return str(self.pretrained.model.base_model_prefix)


def load_outline(model: str, *, local_files_only: bool) -> ModelOutline:
    """Read configuration and tokenizer of `model`, a folder or a hub id. Raises InvalidInput."""
    transformers_logging.disable_progress_bar()
    source = find_model(model)
    local_files_only = local_files_only or source.local
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.name, local_files_only=local_files_only)
        config = AutoConfig.from_pretrained(source.name, local_files_only=local_files_only)
        with torch.device("meta"):
            outline: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError) as error:
        what = "cannot be loaded" if source.local else "is no folder, and as a hub id cannot be loaded"
        raise model_not_found(f"{model!r} {what}: {str(error).strip().splitlines()[0]}") from error
    # Not every model has one; the configuration and the tokenizer name the end of a text too.
    with contextlib.suppress(OSError):
        outline.generation_config = GenerationConfig.from_pretrained(source.name, local_files_only=local_files_only)
    if len(tokenizer) > config.get_text_config(decoder=True).vocab_size:
        raise InvalidInput(
            f"PINETUNE_GENERATION_MODEL: the tokenizer of {model!r} has {len(tokenizer)} tokens, its model reads only "
            f"{config.get_text_config(decoder=True).vocab_size}",
            reason="TOKENIZER_MISMATCH",
            model=model,
        )
    return ModelOutline(Pretrained(outline, tokenizer), _tensors(outline))


def _tensors(model: PreTrainedModel) -> dict[str, OutlinedTensor]:
    first: dict[int, str] = {}
    found = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if isinstance(tensor, torch.Tensor):
            found[name] = OutlinedTensor(tuple(tensor.shape), first.setdefault(id(tensor), name))
    return found
