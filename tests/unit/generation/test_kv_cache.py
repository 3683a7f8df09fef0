from typing import cast

import torch
from tests.unit.generation.test_in_flight import IN_PARTS
from tests.unit.generation.tiny_models import make_model
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from pinetune.generation.batches import plan_reading
from pinetune.generation.causal_model import CausalModel
from pinetune.generation.decoding import PART_TOKENS_MIN
from pinetune.generation.kv_cache import joined_cache


def test_parts_are_given_back_when_they_are_joined_and_padding_is_zero() -> None:
    model = make_model("llama")
    caches = [DynamicCache(config=model.config) for _ in range(2)]
    with torch.no_grad():
        for cache, length in zip(caches, (7, 4), strict=True):
            model(torch.ones(1, length, dtype=torch.long), past_key_values=cache)
    places = [torch.tensor([0, -1, 0]), torch.tensor([-1, 0, -1])]
    joined = joined_cache(model.config, caches, places, token_count=7, new_count=5)
    assert [keys_of(cache) for cache in caches] == [[None, None]] * 2
    for keys in keys_of(joined):
        assert keys is not None
        assert keys.shape[0::2] == (3, 7)
        assert torch.equal(keys[0], keys[2])
        assert not keys[1, :, :3].any()
        assert keys[1, :, 3:].any()


def keys_of(cache: DynamicCache) -> list[torch.Tensor | None]:
    return [cast(DynamicLayer, layer).keys for layer in cache.layers]


def test_models_with_layers_of_other_kinds_are_read_at_once() -> None:
    assert CausalModel(make_model("llama")).reads_in_parts
    assert not CausalModel(make_model("mistral")).reads_in_parts


def test_the_lengths_of_the_tests_make_parts() -> None:
    assert len(plan_reading(IN_PARTS, PART_TOKENS_MIN)) > 1
