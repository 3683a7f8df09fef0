"""A model as it comes from a folder or the hub, and the files of its tokenizer, which learning carries along unread.

Learning never makes tokens from text; it only hands the tokenizer on with each policy, so that a policy's folder is a
whole model.
"""

import re
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging as transformers_logging

from pinetune.learning.folders import local_copy
from pinetune.learning.settings import ComputeSettings
from pinetune.pod.errors import InvalidInput, NotFound

HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
TOKENIZER_FILE = re.compile(
    r"(tokenizer|vocab|merges|special_tokens_map|added_tokens|chat_template|spiece|sentencepiece).*|.*\.(model|tiktoken|jinja)"
)
KEYS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A base model."""

    model: PreTrainedModel
    """On its device, its weights float32 and wanting gradients."""
    tokenizer_files: Mapping[str, bytes]
    """Content of each file of its tokenizer, by name."""


def load_pretrained(model_uri: str, compute: ComputeSettings) -> Pretrained:
    """Load a model for training.

    Raises NotFound where there is no such model, InvalidInput where it is no complete causal language model or the
    device is missing.
    """
    transformers_logging.disable_progress_bar()
    device = device_of(compute)
    if HUB_ID.fullmatch(model_uri) and not Path(model_uri).is_dir():
        model = _load(model_uri, model_uri, local_files_only=False)
        with tempfile.TemporaryDirectory() as folder_name:
            AutoTokenizer.from_pretrained(model_uri).save_pretrained(folder_name)
            files = _tokenizer_files(Path(folder_name))
    else:
        with local_copy(model_uri) as folder:
            model = _load(str(folder), model_uri, local_files_only=True)
            files = _tokenizer_files(folder)
    model.to(device)  # type: ignore[arg-type]  # transformers wraps `to` in a way that hides its `self`
    return Pretrained(model, files)


def device_of(compute: ComputeSettings) -> torch.device:
    """Return the device that the settings name; InvalidInput where torch does not see it."""
    if compute.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(compute.device)
    except RuntimeError as error:
        raise InvalidInput(
            f"compute.device must be cpu, cuda or auto; given {compute.device!r}", reason="DEVICE_UNKNOWN"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidInput(
            f"compute.device is {compute.device}, torch sees {torch.cuda.device_count()} GPUs; use cpu or auto",
            reason="DEVICE_MISSING",
            device=compute.device,
        )
    return device


def _tokenizer_files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.iterdir() if path.is_file() and TOKENIZER_FILE.fullmatch(path.name)]
    return {path.name: path.read_bytes() for path in paths}


def _load(source: str, model_uri: str, *, local_files_only: bool) -> PreTrainedModel:
    try:
        # With output_loading_info a pair comes back, which transformers' annotations do not say.
        model, report = cast(
            tuple[PreTrainedModel, dict[str, Collection[Any]]],
            AutoModelForCausalLM.from_pretrained(
                source,
                # Whatever the samplers hold: AdamW's steps would be lost in the rounding of bfloat16 weights.
                dtype=torch.float32,
                local_files_only=local_files_only,
                output_loading_info=True,
            ),
        )
    except (OSError, ValueError) as error:
        # transformers goes on for a page; its first line says what was missing.
        raise NotFound(
            f"model_uri {model_uri!r} cannot be loaded: {str(error).strip().splitlines()[0]}",
            reason="MODEL_NOT_FOUND",
            model_uri=model_uri,
        ) from error
    # transformers fills missing weights with random numbers and only warns.
    absent = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if absent:
        shown = ", ".join(absent[:KEYS_SHOWN]) + (" …" if len(absent) > KEYS_SHOWN else "")
        raise InvalidInput(
            f"model_uri {model_uri!r} lacks {len(absent)} weights of {type(model).__name__}: {shown}",
            reason="MODEL_INCOMPLETE",
            model_uri=model_uri,
        )
    return model
