"""Tiny models with random weights, a tokenizer trained on a few lines, and the plainest way to score with them."""

import random
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    BloomForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from pinetune.generation.samples import Prompt, SampledCompletion

CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CORPUS = [
    "Tom has 3 apples and buys 4 more. How many apples does he have?",
    "Tom has 3 + 4 = 7 apples. The answer is 7.",
    "A train goes 60 miles an hour for 2 hours. How far does it go?",
]
SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
BFLOAT16_MEAN_GAP, BFLOAT16_GAP = 0.03, 0.2
"""How far an engine's log-probabilities in bfloat16 may be from those of a plain forward in bfloat16, on average and at
the most: sums are rounded where batches and kernels put them together. The transformers engine has 0.006 and 0.06, vLLM
0.019 and 0.09."""


def make_tokenizer(chat_template: str | None = CHAT_TEMPLATE) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>")
    fast.chat_template = chat_template
    return fast


SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_positions": 128, "n_embd": 32, "n_layer": 2, "n_head": 4},
    "llama": {"tie_word_embeddings": False},
    "tied_llama": {"tie_word_embeddings": True},
    "mistral": {"sliding_window": 8},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3},
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
}
LLAMA_LIKE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    # Wider than usual, so that the model has opinions and a wrong position or mask shows.
    "initializer_range": 0.3,
}


def make_model(kind: str, seed: int = 0, **changes: object) -> PreTrainedModel:
    torch.manual_seed(seed)
    settings = {"vocab_size": 320, "eos_token_id": 1, "pad_token_id": 0, "bos_token_id": None} | SHAPES[kind] | changes
    match kind:
        case "gpt2":
            return GPT2LMHeadModel(GPT2Config(**settings))
        case "bloom":  # No positions: attention counts the mask.
            return BloomForCausalLM(BloomConfig(**settings))
        case "lfm2":  # A convolution whose state would read padding.
            return Lfm2ForCausalLM(Lfm2Config(**LLAMA_LIKE | settings))
        case "mistral":
            return MistralForCausalLM(MistralConfig(**LLAMA_LIKE | settings))
        case _:
            return LlamaForCausalLM(LlamaConfig(**LLAMA_LIKE | settings))


def prompts_of(*lengths: int) -> list[Prompt]:
    source = random.Random(0)
    return [
        Prompt(f"prompt-{index}", tuple(source.randrange(6, 320) for _ in range(length)))
        for index, length in enumerate(lengths)
    ]


def plain_logprobs(
    model_path: str, prompt: Sequence[int], answer: Sequence[int], dtype: torch.dtype = torch.float32
) -> list[float]:
    """Score one sequence with nothing but the model's forward: no cache, no mask, no batch."""
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=dtype).eval()
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *answer]])).logits[0].float()
    logprobs = logits.log_softmax(-1)
    return [float(logprobs[len(prompt) - 1 + place, token]) for place, token in enumerate(answer)]


def bfloat16_gaps(model_path: str, pairs: Iterable[tuple[Prompt, SampledCompletion]]) -> list[float]:
    """Return how far each sampled token's log-probability is from that of a plain forward in bfloat16."""
    return [
        abs(ours - plain)
        for prompt, one in pairs
        for ours, plain in zip(
            one.logprobs,
            plain_logprobs(model_path, prompt.token_ids, one.token_ids, torch.bfloat16),
            strict=True,
        )
    ]
