"""What a nano model attends to before it has learnt anything, read off its attention."""

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from pinetune.learning.nano import make_model
from pinetune.learning.settings import NanoSettings

VOCABULARY_SIZE = 512
LENGTH = 96


def model_of(*, layer_count: int, head_count: int) -> LlamaForCausalLM:
    settings = NanoSettings(
        layer_count=layer_count, width=128, head_count=head_count, vocabulary_size=VOCABULARY_SIZE, max_tokens=LENGTH
    )
    return make_model(VOCABULARY_SIZE, settings, seed=3)


def attention_of(model: LlamaForCausalLM, ids_L: Tensor) -> list[Tensor]:
    """Return for each layer what every head attends to, shape HLL."""
    model.set_attn_implementation("eager")
    with torch.no_grad():
        return [weights_RHLL[0] for weights_RHLL in model(ids_L[None], output_attentions=True).attentions]


@pytest.fixture(scope="module")
def first_half_again() -> Tensor:
    """Distinct tokens, then the same ones in another order, so that no place tells where a token stood before."""
    draw = torch.Generator().manual_seed(1)
    once = torch.randperm(VOCABULARY_SIZE, generator=draw)[: LENGTH // 2]
    return torch.cat([once, once[torch.randperm(len(once), generator=draw)]])


@pytest.mark.parametrize(
    ("head_count", "distances"), [(1, [1]), (2, [1]), (4, [1, 1, 2]), (8, [1, 1, 1, 1, 2, 2])], ids=str
)
def test_heads_of_the_first_layer_attend_one_and_two_tokens_back(
    first_half_again: Tensor, head_count: int, distances: list[int]
) -> None:
    weights_HLL = attention_of(model_of(layer_count=2, head_count=head_count), first_half_again)[0]
    shares = [weights_HLL[head].diagonal(-distance).mean() for head, distance in enumerate(distances)]
    assert min(shares) > 0.7
    for free in range(len(distances), head_count):
        assert max(weights_HLL[free].diagonal(-distance).mean() for distance in (1, 2)) < 0.3


def test_what_such_a_head_adds_is_like_the_token_it_found(first_half_again: Tensor) -> None:
    model = model_of(layer_count=2, head_count=4)
    layer = model.model.layers[0]
    width = layer.self_attn.head_dim
    with torch.no_grad():
        tokens_LD = layer.input_layernorm(model.model.embed_tokens(first_half_again))
        for head, alike in ((0, True), (2, True), (3, False)):
            rows = slice(head * width, (head + 1) * width)
            added_LD = tokens_LD @ layer.self_attn.v_proj.weight[rows].T @ layer.self_attn.o_proj.weight[:, rows].T
            likeness = torch.cosine_similarity(added_LD, tokens_LD).mean()
            # A projection to a quarter of the width keeps half of a vector's direction.
            assert (likeness > 0.4) == alike


def test_a_model_of_one_layer_has_such_heads_too(first_half_again: Tensor) -> None:
    [weights_HLL] = attention_of(model_of(layer_count=1, head_count=4), first_half_again)
    assert weights_HLL[0].diagonal(-1).mean() > 0.7
