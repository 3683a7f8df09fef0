"""Gives a new nano model heads that look back, so that it learns sooner to look something up.

In the loop: once, when `nano.py` draws the weights. What it leaves is an ordinary Llama with biases in its attention.

To look up is to find where a token stood before and to read what came next. It takes two heads in a row ("induction
heads", Olsson et al. 2022):

    … seizure B … hypotonia C …  seizure ─► B
              └ layer 0: what is before me?   └ a later layer: who has before it what I am?

The second can be learnt only where the first is, so a model of a million weights shows nothing of either for long. The
first is simple enough to begin with. Of H heads of layer 0 half attend to the token before, and a quarter to the one
before that; they add what they find to the residual stream as it is (W_O = W_Vᵀ, up to scale). Attention that starts
near what trained attention looks like is "mimetic initialisation" (Trockman and Kolter 2023). All other weights are
drawn as usual. Nothing is frozen: training may undo it.
"""

import torch
from torch import Tensor
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaAttention

BIAS = 5.0
"""Size of query and key biases that attend to a place; it puts the neighbours of that place about 3 nats behind."""
FREQUENCY_MIN = 0.1
"""Rotary pairs that turn by fewer radians a token cannot tell neighbours apart; the biases leave them out."""
PLACE_SCALE = 0.1
"""What remains of the drawn queries and keys where a head attends to a place, whatever stands there."""


@torch.no_grad()
def make_heads_look_back(model: LlamaForCausalLM) -> None:
    """Set heads of the first layer as this file's head says; the model must have biases in its attention."""
    head_count = model.config.num_attention_heads
    before, second = max(1, head_count // 2), head_count // 4
    for head in range(before + second):
        _attend_to_place(
            model.model.layers[0].self_attn, head, 1 if head < before else 2, model.model.rotary_emb.inv_freq
        )


def _attend_to_place(attention: LlamaAttention, head: int, distance: int, frequencies_F: Tensor) -> None:
    """Let a head attend to the token `distance` places back and add what it finds to the residual stream.

    Rotary positions turn pair f of a query at place m by m·f and of a key at n by n·f. A key bias that is the query's,
    turned by `distance`·f, makes their product largest where n = m - distance.
    """
    rows = slice(head * attention.head_dim, (head + 1) * attention.head_dim)
    attention.q_proj.weight[rows] *= PLACE_SCALE
    attention.k_proj.weight[rows] *= PLACE_SCALE
    size_F = BIAS * (frequencies_F >= FREQUENCY_MIN)
    angles_F = distance * frequencies_F
    # Llama pairs entry i of a head with entry i + half.
    attention.q_proj.bias[rows] = torch.cat([size_F, torch.zeros_like(size_F)])
    attention.k_proj.bias[rows] = torch.cat([size_F * angles_F.cos(), size_F * angles_F.sin()])
    values_HD = attention.v_proj.weight[rows]
    attention.o_proj.weight[:, rows] = values_HD.T / values_HD.square().sum(-1).mean()
