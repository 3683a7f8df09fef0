"""What the process of the generation service can be told by variables; how to sample comes with each call."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pinetune.pod.config import RoomSettings


class GenerationSettings(RoomSettings, env_prefix="PINETUNE_GENERATION_"):
    """Settings of the generation room."""

    model: str = Field(min_length=1)
    """Folder in Hugging Face format, or a hub id."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """What samples."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """cpu, cuda, cuda:1 … or auto."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """dtype of the weights."""
    threads: int = Field(default=0, ge=0)
    """Cores that torch computes on; 0 leaves the number to torch."""
    chat_template: str = "model"
    """`model` for the tokenizer's own, `plain` for the bare texts, or a Jinja file."""
    parts_format: Literal[
        "auto", "none", "think", "hermes", "llama3", "mistral", "think+hermes", "think+llama3", "think+mistral"
    ] = "auto"
    """How answers are taken apart into reasoning, final answer and tool calls; `auto` looks at the chat template."""
    max_batch_tokens: int = Field(default=65_536, ge=1)
    """Most tokens in the cache at once, padding included; transformers only."""
    max_model_tokens: int = Field(default=0, ge=0)
    """Most tokens of prompt and completion together; 0 takes the model's own limit."""
    local_files_only: bool = False
    """Never ask the hub."""
    waiting_calls_max: int = Field(default=8, ge=0)
    """Calls that may wait while another has the engine; further ones are told to come again. transformers only."""
    waiting_tokens_max: int = Field(default=1_048_576, ge=0)
    """Tokens, prompts and room for answers, that calls may come to that wait behind the next one; further ones are told
    to come again. transformers only."""
    kv_cache_memory_bytes: int = Field(default=0, ge=0)
    """Bytes for keys and values; 0 takes most of what is free once the model is loaded, for vllm what `memory_fraction`
    leaves on a GPU and 1 GiB on the CPU."""
    spool_dir: Path | None = None
    """Folder to receive streamed policies in; shared memory, or where that has no room the temporary folder, by
    default.
    """
    tensor_parallel_size: int = Field(default=1, ge=1, le=64)
    """GPUs that share each layer; vllm only."""
    memory_fraction: float = Field(default=0.9, gt=0, le=1)
    """Share of a GPU's memory that weights and cache may take together; vllm only."""
    prefix_caching: bool = True
    """Use keys and values of prompts that begin alike again; vllm only."""
    running_completions_max: int = Field(default=256, ge=1)
    """Completions that share a batch; vllm only."""
    waiting_completions_max: int = Field(default=4096, ge=0)
    """Completions that may wait besides; further ones are told to come again. vllm only."""
    grading_address: str = ""
    """`host:port` of the grading service that selects among samples; empty refuses requests that want a selection."""
    wait_for_model_seconds: float = Field(default=0.0, ge=0)
    """How long to wait for a `nano` model that the job's learner is still making; 0 expects the model to be there."""
