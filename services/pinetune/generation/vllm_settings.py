"""What vLLM is started with, and what has to be in the environment before it is imported."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pinetune.generation.model_source import find_model
from pinetune.generation.parts_format import AUTO

CPU_KV_CACHE_BYTES = 1 << 30
CPU_PASS_TOKENS = 4096
WORKER = "pinetune.generation.vllm_worker.PolicyWorker"


@dataclass(frozen=True)
class VllmOptions:
    """What a vLLM engine is started with."""

    model: str
    """Folder in Hugging Face format, or a hub id."""
    device: str = "auto"
    """cpu, cuda or auto; has to be what the installed vLLM is built for. CUDA_VISIBLE_DEVICES chooses among GPUs."""
    dtype: str = "float32"
    """float32 or bfloat16."""
    chat_template: str = "model"
    """model, plain or a Jinja file; see `tokenisation.py`."""
    parts_format: str = AUTO
    """auto, or a format of `parts_format.py`."""
    max_model_tokens: int = 0
    """Most tokens of prompt and completion together; 0 takes the model's own limit."""
    threads: int = 0
    """CPU threads of each worker process; 0 takes all cores."""
    local_files_only: bool = False
    """Whether the hub may not be asked."""
    tensor_parallel_size: int = 1
    """GPUs that share each layer."""
    memory_fraction: float = 0.9
    """Share of the GPU's memory for weights and cache together."""
    kv_cache_memory_bytes: int = 0
    """Memory for keys and values; 0 takes what `memory_fraction` leaves on a GPU, 1 GiB on the CPU."""
    prefix_caching: bool = True
    """Whether keys and values of prompts that begin alike are used again."""
    running_completions_max: int = 256
    """Completions that share a batch."""
    waiting_completions_max: int = 4096
    """Completions that may wait besides; further ones are told to come again."""
    worker: str = WORKER
    """The class that loads policies inside vLLM's processes."""
    on_death: Callable[[str], None] = lambda why: None
    """Told once, with the reason, when vLLM's processes have died: nothing works any more."""


def prepare_environment(options: VllmOptions, *, on_cpu: bool) -> None:
    """Set what vLLM reads from the environment when it starts its processes; what is set already stays."""
    wanted = {
        # A fork would take gRPC's threads along in the state they happen to be in.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_CONFIGURE_LOGGING": "0",
        "VLLM_NO_USAGE_STATS": "1",
    }
    if on_cpu:
        wanted |= {
            # `auto` uses half of the cores, and binding would put several replicas on the same ones.
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            # Without binding one worker can live in the scheduler's process; vLLM allows that under this name only.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            # The sampler would be compiled with g++ at the first request, for twenty seconds.
            "TORCHDYNAMO_DISABLE": "1",
        }
    if options.threads:
        wanted["OMP_NUM_THREADS"] = str(options.threads)
    if options.local_files_only:
        wanted["HF_HUB_OFFLINE"] = "1"
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def engine_arguments(options: VllmOptions, max_model_tokens: int, *, on_cpu: bool) -> dict[str, Any]:
    """Return the arguments of vLLM's `AsyncEngineArgs`."""
    cpu_only: dict[str, Any] = {}
    if on_cpu:
        # A prompt that is read in pieces ends vLLM on the CPU where its request has a seed: it wants to set the
        # generator back ("CPU Generator does not use offset"). So each prompt is read in one pass.
        budget = max(CPU_PASS_TOKENS, max_model_tokens)
        cpu_only = {"enable_chunked_prefill": False, "max_num_batched_tokens": budget}
    kv_cache_bytes = options.kv_cache_memory_bytes or (CPU_KV_CACHE_BYTES if on_cpu else None)
    return {
        "model": find_model(options.model).name,
        "dtype": options.dtype,
        "max_model_len": max_model_tokens,
        "tensor_parallel_size": options.tensor_parallel_size,
        # One worker lives in the scheduler's process: a process and its imports less.
        "distributed_executor_backend": "uni" if options.tensor_parallel_size == 1 else None,
        "gpu_memory_utilization": options.memory_fraction,
        # Without it vLLM claims nine tenths of a machine's main memory.
        "kv_cache_memory_bytes": kv_cache_bytes,
        "max_num_seqs": options.running_completions_max,
        "enable_prefix_caching": options.prefix_caching,
        # On the CPU compiling takes a minute and gains little.
        "enforce_eager": on_cpu,
        # log softmax(logits), whatever the temperature and whatever is cut off.
        "logprobs_mode": "raw_logprobs",
        # The model's files must not change how is sampled; what ends a text comes with each request.
        "generation_config": "vllm",
        # It knows more of JSON Schema than xgrammar; white space without end would fill an answer up to its limit.
        "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
        "worker_extension_cls": options.worker,
        "disable_log_stats": True,
        **cpu_only,
    }
