"""Tiny models of several architectures, and completions to learn from."""

import random
from dataclasses import replace

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from pinetune.learning.policy import Policy, make_value_head
from pinetune.learning.ppo import Trajectory

VOCABULARY = 41
WIDTH = 16
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 64,
    # Far from 0, so that distributions are not flat and mistakes show.
    "initializer_range": 0.3,
}
SMALL_GPT2 = {"vocab_size": VOCABULARY, "n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": 64}
CONFIGS: dict[str, tuple[str, dict[str, object]]] = {
    "llama": ("llama", {**SMALL}),
    "llama, tied": ("llama", {**SMALL, "tie_word_embeddings": True}),
    # Its dropout stays as published: it must not act.
    "gpt2": ("gpt2", {**SMALL_GPT2, "initializer_range": 0.3}),
    "qwen2": ("qwen2", {**SMALL}),
    "qwen3": ("qwen3", {**SMALL}),
    "gemma2, soft-capped": ("gemma2", {**SMALL, "final_logit_softcapping": 3.0}),
    "granite, scaled": ("granite", {**SMALL, "logits_scaling": 4.0}),
}


def tiny_model(kind: str = "llama, tied", *, seed: int = 0) -> PreTrainedModel:
    """Return a model of a few thousand weights."""
    torch.manual_seed(seed)
    architecture, settings = CONFIGS[kind]
    model: PreTrainedModel = AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **settings))
    return model


def tiny_policy(kind: str = "llama, tied", *, seed: int = 0, values: bool = True, autocast: bool = False) -> Policy:
    """Return a tiny model as a policy; its value head is not zero."""
    head = make_value_head(WIDTH, zero=False, generator=torch.Generator().manual_seed(seed)) if values else None
    return Policy(tiny_model(kind, seed=seed), head, autocast=autocast)


def tiny_trajectories(count: int, policy: Policy, *, seed: int = 0, group_size: int = 2) -> list[Trajectory]:
    """Return completions of mixed lengths, with log-probabilities near the policy's and rewards of all kinds.

    Those of a group have the same prompt.
    """
    draw = random.Random(seed)
    prompts = [[draw.randrange(VOCABULARY) for _ in range(draw.randint(1, 9))] for _ in range(count)]
    drawn = [
        Trajectory(
            completion_id=f"c{index}",
            group_id=f"g{index // group_size}",
            prompt_token_ids=prompts[index // group_size],
            token_ids=[draw.randrange(VOCABULARY) for _ in range(draw.randint(1, 12))],
            logprobs=[],
            reward=draw.choice([0.0, 0.1, 1.0]),
        )
        for index in range(count)
    ]
    rows = policy.score(drawn, 10_000).logprobs_BT.tolist()
    # The sampler is a little off, so that ratios are not 1 and some of them are clipped.
    return [
        replace(t, logprobs=[logprob + draw.gauss(0, 0.15) for logprob in row[: len(t.token_ids)]])
        for t, row in zip(drawn, rows, strict=True)
    ]


def with_logprob(trajectory: Trajectory, index: int, logprob: float) -> Trajectory:
    """Return the trajectory with one log-probability of the sampler changed."""
    changed = list(trajectory.logprobs)
    changed[index] = logprob
    return replace(trajectory, logprobs=changed)
