"""Sampling: our decode loop against `generate` of transformers, on the same model, prompts, lengths and thread.

    python -m benchmarks.generation [--rounds 3] [--threads 1]

Peer: `model.generate` with sampling on and its default cache, asked for tokens only; ours returns the log-probabilities
as well. With random weights nearly all completions reach the token limit. One process, rounds interleaved, so that both
see the same machine; CPU seconds, so that other work on it counts little. A ratio above 1: ours makes more tokens a
second.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, models
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from pinetune.generation.engine import Prompt, SamplingParams
from pinetune.generation.transformers_engine import EngineOptions, TransformersEngine

VOCABULARY_SIZE = 8192
PAD_TOKEN_ID, END_TOKEN_ID = 0, 1


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
    Case("64 prompts of 24-86 tokens, 1 sample", tuple(range(24, 88)), 1, 64),
    Case("8 prompts of 64 tokens, 8 samples", (64,) * 8, 8, 64),
    Case("8 prompts of 256 tokens, 8 samples", (256,) * 8, 8, 64),
    Case("the same, temperature 0.7, top-k 50", (256,) * 8, 8, 64, temperature=0.7, top_k=50),
    Case("1 prompt of 64 tokens, 1 sample", (64,), 1, 64),
)


def make_model(folder: Path) -> None:
    """Write a Llama of about 5 million random weights and a tokenizer with its vocabulary."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        eos_token_id=END_TOKEN_ID,
        pad_token_id=PAD_TOKEN_ID,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words = {f"w{number}": number for number in range(VOCABULARY_SIZE)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")), eos_token=f"w{END_TOKEN_ID}"
    )
    tokenizer.save_pretrained(folder)


def prompts_of(case: Case) -> list[Prompt]:
    """Return the case's prompts, of random tokens."""
    source = torch.Generator().manual_seed(1)
    return [
        Prompt(str(number), tuple(torch.randint(2, VOCABULARY_SIZE, (length,), generator=source).tolist()))
        for number, length in enumerate(case.prompt_lengths)
    ]


def ours(folder: Path, threads: int, case: Case) -> Callable[[], int]:
    """Return a function that samples the case with the engine and returns the number of tokens."""
    engine = TransformersEngine(EngineOptions(str(folder), chat_template="plain", threads=threads))
    prompts = prompts_of(case)
    sampling = SamplingParams(
        max_tokens=case.new_tokens,
        temperature=case.temperature,
        top_k=case.top_k,
    )

    def sample() -> int:
        groups = engine.generate(prompts, case.sample_count, sampling).groups
        return sum(len(completion.token_ids) for group in groups for completion in group)

    return sample


def theirs(folder: Path, case: Case) -> Callable[[], int]:
    """Return a function that samples the case with `generate` and returns the number of tokens."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompts = prompts_of(case)
    longest = max(case.prompt_lengths)
    ids = torch.tensor(
        [[PAD_TOKEN_ID] * (longest - len(prompt.token_ids)) + list(prompt.token_ids) for prompt in prompts]
    )
    config = GenerationConfig(
        do_sample=True,
        temperature=case.temperature,
        top_k=case.top_k,
        num_return_sequences=case.sample_count,
        max_new_tokens=case.new_tokens,
        eos_token_id=END_TOKEN_ID,
        pad_token_id=PAD_TOKEN_ID,
    )

    def sample() -> int:
        with torch.inference_mode():
            sequences = model.generate(ids, attention_mask=(ids != PAD_TOKEN_ID).long(), generation_config=config)
        return int((sequences[:, longest:] != PAD_TOKEN_ID).sum())

    return sample


def speed_of(sample: Callable[[], int]) -> float:
    """Return tokens a CPU second of one call."""
    begin = time.process_time()
    tokens = sample()
    return tokens / (time.process_time() - begin)


def main() -> None:
    """Print one line a case: tokens per CPU second of both, and the ratio's median and range over the rounds."""
    parser = argparse.ArgumentParser(description="Our decode loop against generate of transformers.")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds a case")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    arguments = parser.parse_args()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    print(f"{'case':45} {'ours':>9} {'generate':>9}  tokens a CPU second; ratio: median (min to max)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder)
        for case in CASES:
            samplers = ours(folder, arguments.threads, case), theirs(folder, case)
            for sample in samplers:
                sample()
            rounds = [[speed_of(sample) for sample in samplers] for _ in range(arguments.rounds)]
            ratios = [our_speed / their_speed for our_speed, their_speed in rounds]
            speeds = [statistics.median(speeds) for speeds in zip(*rounds, strict=True)]
            print(
                f"{case.name:45} {speeds[0]:9,.0f} {speeds[1]:9,.0f}  "
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
