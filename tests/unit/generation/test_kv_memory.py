"""What a token takes is what the cache holds for it; what does not fit is refused before it is begun."""

from collections.abc import Callable

import pytest
import torch
from tests.unit.generation.tiny_models import make_model, prompts_of

from pinetune.generation.batches import batch_tokens, plan_batches
from pinetune.generation.causal_model import CausalModel
from pinetune.generation.engine import Caller
from pinetune.generation.kv_memory import KvMemory, free_bytes
from pinetune.generation.samples import SamplingParams
from pinetune.generation.transformers_engine import TransformersEngine
from pinetune.pod.errors import Busy, InvalidInput

MakeEngine = Callable[..., TransformersEngine]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bloom"])
def test_the_bytes_of_a_token_follow_from_layers_heads_and_width(kind: str) -> None:
    model = make_model(kind)
    config = model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = config.hidden_size // config.num_attention_heads
    expected = 2 * config.num_hidden_layers * heads * width * 4
    assert KvMemory(CausalModel(model), 0).bytes_per_token == expected


def test_what_can_never_fit_is_refused_with_limit_and_value() -> None:
    model = CausalModel(make_model("llama"))
    per_token = KvMemory(model, 0).bytes_per_token
    memory = KvMemory(model, 100 * per_token)
    memory.admit(100)
    with pytest.raises(InvalidInput, match=r"of 101 tokens take .* which is 100 tokens; lower max_tokens") as caught:
        memory.admit(101)
    assert (caught.value.reason, caught.value.metadata["limit"], caught.value.metadata["given"]) == (
        "KV_CACHE_TOO_SMALL",
        "100",
        "101",
    )


def test_what_others_have_taken_is_worth_a_second_call() -> None:
    # More than this machine has, promised to keys and values: only what is free now can refuse.
    memory = KvMemory(CausalModel(make_model("llama")), 1 << 60)
    with pytest.raises(Busy, match="are free now") as caught:
        memory.admit((1 << 59) // memory.bytes_per_token)
    assert caught.value.retry_after_seconds is not None


def test_there_is_memory_on_this_machine() -> None:
    assert 0 < free_bytes(torch.device("cpu")) < 1 << 50


def test_the_engine_refuses_what_does_not_fit_and_samples_what_does(make_engine: MakeEngine) -> None:
    per_token = make_engine("llama")._memory.bytes_per_token
    engine = make_engine("llama", kv_cache_memory_bytes=60 * per_token)
    prompts = prompts_of(4, 4)
    engine.generate(prompts, 2, SamplingParams(max_tokens=10))
    with pytest.raises(InvalidInput, match="keys and values of 64 tokens"):
        engine.generate(prompts, 2, SamplingParams(max_tokens=12))
    assert engine.load().kv_cache_usage == 0.0


def test_the_share_in_use_is_that_of_the_running_batch(make_engine: MakeEngine) -> None:
    per_token = make_engine("llama")._memory.bytes_per_token
    engine = make_engine("llama", kv_cache_memory_bytes=200 * per_token)
    seen: list[float] = []
    caller = Caller(hears=lambda tokens: seen.append(engine.load().kv_cache_usage))
    engine.generate(prompts_of(4), 2, SamplingParams(max_tokens=16), caller)
    assert max(seen) == pytest.approx(2 * (4 + 16) / 200)
    assert engine.load().kv_cache_usage == 0.0


def test_a_batch_counts_its_rows_at_the_length_of_the_longest() -> None:
    (batch,) = plan_batches([3, 7], 2, 5, 1000, padding=True)
    assert batch_tokens(batch, [3, 7], 5) == 4 * (7 + 5)
