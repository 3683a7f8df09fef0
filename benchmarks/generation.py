"""Sampling: our decode loop, `generate` of transformers and vLLM, on the same model, prompts, lengths and threads.

    python -m benchmarks.generation [--rounds 3] [--threads 1] [--sizes 5M,50M] [--dtypes float32,bfloat16]
                                    [--vllm-python PATH]

Peers: `model.generate` with sampling on and its default cache, asked for tokens only; and vLLM, where a Python that has
it is named (`make test-vllm` makes one), in a process beside this one, asked for log-probabilities as ours is. With
random weights nearly all completions reach the token limit. Rounds are interleaved, so that all see the same machine;
CPU seconds, so that other work on it counts little. A ratio above 1: ours makes more tokens a second.

The limit is measured in the same run: the time of the matrix products alone that a case needs, one after the other with
the weights as they lie in the model, and of reading the weights once a token where that is longer. No engine of this
precision on this library goes beyond it; the share says how near ours comes.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from benchmarks.generation_limit import tokens_per_second_at_most
from benchmarks.generation_vllm import VllmProcess
from pinetune.generation.samples import Prompt, SamplingParams
from pinetune.generation.transformers_engine import EngineOptions, TransformersEngine

VOCABULARY_SIZE = 8192
PAD_TOKEN_ID, END_TOKEN_ID = 0, 1
SHAPES: dict[str, dict[str, Any]] = {
    "5M": {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4, "num_attention_heads": 4},
    "50M": {"hidden_size": 640, "intermediate_size": 1728, "num_hidden_layers": 9, "num_attention_heads": 10},
}
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Case:
    """One shape of a request."""

    name: str
    """What it is called in the table."""
    prompt_lengths: tuple[int, ...]
    """Tokens of each prompt."""
    sample_count: int
    """Completions per prompt."""
    new_tokens: int
    """Tokens of each completion."""
    temperature: float = 1.0
    """Temperature."""
    top_k: int = 0
    """Tokens kept; 0 means all."""


CASES = (
    Case("64 prompts of 64 tokens, 1 sample", (64,) * 64, 1, 64),
    Case("64 prompts of 24-87 tokens, 1 sample", tuple(range(24, 88)), 1, 64),
    Case("8 prompts of 64 tokens, 8 samples", (64,) * 8, 8, 64),
    Case("8 prompts of 256 tokens, 8 samples", (256,) * 8, 8, 64),
    Case("the same, temperature 0.7, top-k 50", (256,) * 8, 8, 64, temperature=0.7, top_k=50),
    Case("1 prompt of 64 tokens, 1 sample", (64,), 1, 64),
)

Sampler = Callable[[Case], tuple[int, float]]
"""Samples a case and returns the number of tokens and the CPU seconds."""


def make_model(folder: Path, size: str = "5M") -> None:
    """Write a Llama of random weights and a tokenizer with its vocabulary."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY_SIZE,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        eos_token_id=END_TOKEN_ID,
        pad_token_id=PAD_TOKEN_ID,
        bos_token_id=None,
        **SHAPES[size],
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words = {f"w{number}": number for number in range(VOCABULARY_SIZE)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=f"w{END_TOKEN_ID}").save_pretrained(folder)


def prompts_of(case: Case) -> list[Prompt]:
    """Return the case's prompts, of random tokens."""
    source = torch.Generator().manual_seed(1)
    return [
        Prompt(str(number), tuple(torch.randint(2, VOCABULARY_SIZE, (length,), generator=source).tolist()))
        for number, length in enumerate(case.prompt_lengths)
    ]


def ours(folder: Path, dtype: str, threads: int) -> Sampler:
    """Return how our engine samples."""
    engine = TransformersEngine(EngineOptions(str(folder), chat_template="plain", threads=threads, dtype=dtype))

    def sample(case: Case) -> tuple[int, float]:
        sampling = SamplingParams(max_tokens=case.new_tokens, temperature=case.temperature, top_k=case.top_k)
        prompts, begin = prompts_of(case), time.process_time()
        groups = engine.generate(prompts, case.sample_count, sampling).groups
        seconds = time.process_time() - begin
        return sum(len(completion.token_ids) for group in groups for completion in group), seconds

    return sample


def theirs(folder: Path, dtype: str) -> Sampler:
    """Return how `generate` samples."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()

    def sample(case: Case) -> tuple[int, float]:
        longest = max(case.prompt_lengths)
        rows = [[PAD_TOKEN_ID] * (longest - len(one.token_ids)) + list(one.token_ids) for one in prompts_of(case)]
        ids = torch.tensor(rows)
        config = GenerationConfig(
            do_sample=True,
            temperature=case.temperature,
            top_k=case.top_k,
            num_return_sequences=case.sample_count,
            max_new_tokens=case.new_tokens,
            eos_token_id=END_TOKEN_ID,
            pad_token_id=PAD_TOKEN_ID,
        )
        begin = time.process_time()
        with torch.inference_mode():
            sequences = model.generate(ids, attention_mask=(ids != PAD_TOKEN_ID).long(), generation_config=config)
        seconds = time.process_time() - begin
        return int((sequences[:, longest:] != PAD_TOKEN_ID).sum()), seconds

    return sample


def vllm(folder: Path, dtype: str, threads: int, python: Path) -> Sampler:
    """Return how vLLM samples, in a process of its own."""
    process = VllmProcess(python, folder, dtype, threads)

    def sample(case: Case) -> tuple[int, float]:
        return process.sample(
            [list(prompt.token_ids) for prompt in prompts_of(case)],
            sample_count=case.sample_count,
            max_tokens=case.new_tokens,
            temperature=case.temperature,
            top_k=case.top_k,
        )

    return sample


def main() -> None:
    """Print one line a case: tokens per CPU second of each, and our ratio's median and range over the rounds."""
    parser = argparse.ArgumentParser(description="Our decode loop against generate of transformers and vLLM.")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds a case")
    parser.add_argument("--threads", type=int, default=1, help="threads of each")
    parser.add_argument("--sizes", default="5M,50M", help="models, of " + ", ".join(SHAPES))
    parser.add_argument("--dtypes", default=",".join(DTYPES), help="precisions of the weights")
    parser.add_argument("--vllm-python", type=Path, help="a Python that has vLLM; without it vLLM is left out")
    arguments = parser.parse_args()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    for size in arguments.sizes.split(","):
        for dtype in arguments.dtypes.split(","):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                make_model(folder, size)
                compare(f"{size} {dtype}", folder, dtype, arguments.threads, arguments.rounds, arguments.vllm_python)


def compare(title: str, folder: Path, dtype: str, threads: int, round_count: int, python: Path | None) -> None:
    """Print the table of one model in one precision."""
    samplers = {"ours": ours(folder, dtype, threads), "generate": theirs(folder, dtype)}
    if python is not None:
        samplers["vllm"] = vllm(folder, dtype, threads, python)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    peers = [name for name in samplers if name != "ours"]
    heads = "".join(f" {name:>9}" for name in samplers) + "".join(f"  ours/{peer:18}" for peer in peers)
    print(f"{title:45}{heads} limit (share); tokens a CPU second, ratio: median (min to max)")
    for case in CASES:
        for sample in samplers.values():
            sample(case)
        rounds = [{name: _speed(sample(case)) for name, sample in samplers.items()} for _ in range(round_count)]
        print(f"{case.name:45}{_columns(rounds, list(samplers), peers)} {_limit(model, case, rounds)}", flush=True)


def _speed(outcome: tuple[int, float]) -> float:
    tokens, seconds = outcome
    return tokens / seconds


def _columns(rounds: Sequence[dict[str, float]], names: Sequence[str], peers: Sequence[str]) -> str:
    speeds = "".join(f" {statistics.median(one[name] for one in rounds):9,.0f}" for name in names)
    for peer in peers:
        ratios = [one["ours"] / one[peer] for one in rounds]
        speeds += f"  {f'{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})':23}"
    return speeds


def _limit(model: LlamaForCausalLM, case: Case, rounds: Sequence[dict[str, float]]) -> str:
    rows = len(case.prompt_lengths) * case.sample_count
    limit = tokens_per_second_at_most(
        model, prompt_tokens=sum(case.prompt_lengths), rows=rows, new_tokens=case.new_tokens
    )
    return f"{limit:,.0f} ({statistics.median(one['ours'] for one in rounds) / limit:.0%})"


if __name__ == "__main__":
    main()
