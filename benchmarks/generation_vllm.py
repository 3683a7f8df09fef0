"""vLLM as a peer: it needs a Python of its own, so it runs as a process that answers one line of JSON for each line.

This file is both ends: imported by the benchmark, and run by vLLM's Python as a script that knows nothing of pinetune.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

KV_CACHE_BYTES = 2 * 2**30
"""Without it vLLM takes nearly all of the machine's memory."""


class VllmProcess:
    """One engine in its own process."""

    def __init__(self, python: Path, model: Path, dtype: str, threads: int) -> None:
        settings = {
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_CPU_OMP_THREADS_BIND": f"0-{threads - 1}" if threads > 1 else "0",
            "VLLM_LOGGING_LEVEL": "ERROR",
            "OMP_NUM_THREADS": str(threads),
        }
        self._process = subprocess.Popen(
            [str(python), __file__, str(model), dtype],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | settings,
            text=True,
        )

    def sample(
        self, prompts: list[list[int]], *, sample_count: int, max_tokens: int, temperature: float, top_k: int
    ) -> tuple[int, float]:
        """Sample; returns the number of tokens and the CPU seconds."""
        assert self._process.stdin is not None, "it was started with pipes"
        assert self._process.stdout is not None, "it was started with pipes"
        request = {
            "prompts": prompts,
            "sampling": {"n": sample_count, "max_tokens": max_tokens, "temperature": temperature, "top_k": top_k},
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("{"):
                answer = json.loads(line)
                return int(answer["tokens"]), float(answer["seconds"])
        raise RuntimeError("vLLM ended without an answer; what it wrote stands above")


def serve(model: str, dtype: str) -> None:
    """Be the process."""
    from vllm import LLM, SamplingParams

    # Eager, since compiling takes a minute and more for each model.
    engine = LLM(
        model=model,
        dtype=dtype,
        enforce_eager=True,
        kv_cache_memory_bytes=KV_CACHE_BYTES,
        max_model_len=1024,
        enable_prefix_caching=False,
    )
    for line in sys.stdin:
        request = json.loads(line)
        sampling = SamplingParams(**request["sampling"], logprobs=0, seed=None, detokenize=False)
        prompts = [{"prompt_token_ids": ids} for ids in request["prompts"]]
        begin = time.process_time()
        outputs = engine.generate(prompts, sampling, use_tqdm=False)
        seconds = time.process_time() - begin
        tokens = sum(len(one.token_ids) for output in outputs for one in output.outputs)
        print(json.dumps({"tokens": tokens, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
