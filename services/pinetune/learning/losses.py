"""The losses of PPO, token by token, and how token losses become one number.

In the loop: `ppo.py` calls these for each micro-batch with what the policy says now and what was measured before. They
are sums over tokens with weights fixed beforehand, so that the gradient of a batch is the same however it is cut into
micro-batches. Nothing here knows models or optimisers.

Shapes: N completion tokens of a micro-batch in a row, B completions of a mini-batch, T tokens of the longest one.
"""

import torch
from torch import Tensor

LOG_RATIO_LIMIT = 20.0
"""Log ratios are held within ± this before the exponential, which is infinite in float32 from 89 on."""


def policy_losses(log_ratios_N: Tensor, advantages_N: Tensor, clip_range: float) -> tuple[Tensor, Tensor]:
    """Return PPO's clipped losses and whether clipping decided them, shapes N (Schulman et al. 2017, equation 7).

    `log_ratios_N` is log π_new - log π_sampled. A token may gain only until its ratio has moved by `clip_range` in the
    direction its advantage asks for; the pessimistic maximum keeps the gradient where it moved the wrong way.
    """
    ratios_N = log_ratios_N.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    plain_N = -advantages_N * ratios_N
    clipped_N = -advantages_N * ratios_N.clamp(1 - clip_range, 1 + clip_range)
    return torch.maximum(plain_N, clipped_N), clipped_N > plain_N


def value_losses(values_N: Tensor, old_values_N: Tensor, returns_N: Tensor, clip_range: float) -> Tensor:
    """Return half the larger of the plain and the clipped squared error, shape N (ReFT, section 3)."""
    clipped_N = old_values_N + (values_N - old_values_N).clamp(-clip_range, clip_range)
    return 0.5 * torch.maximum((values_N - returns_N).square(), (clipped_N - returns_N).square())


def reference_losses(logprobs_N: Tensor, reference_logprobs_N: Tensor) -> Tensor:
    """Return the estimate of KL(π_new ‖ π_ref) that GRPO adds to its loss, shape N (Shao et al. 2024, equation 4).

    r - log r - 1 with r = π_ref / π_new: unbiased on samples of π_new, never negative, low in variance.
    """
    log_ratios_N = (reference_logprobs_N - logprobs_N).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return log_ratios_N.exp() - log_ratios_N - 1


def token_weights(learnt_BT: Tensor, *, length_normalised: bool) -> Tensor:
    """Return each token's weight in the loss of a mini-batch, shape BT; the weights add up to 1.

    Length-normalised, every completion counts alike and its tokens share its weight (ReFT's repository, and GRPO);
    otherwise every token counts alike. Tokens that are not learnt from weigh nothing and do not count as length. Where
    nothing at all is learnt from, all weights are 0.
    """
    if not length_normalised:
        return learnt_BT.float() / learnt_BT.sum().clamp(min=1)
    lengths_B = learnt_BT.sum(-1)
    sample_count = (lengths_B > 0).sum().clamp(min=1)
    return learnt_BT.float() / (lengths_B.clamp(min=1) * sample_count)[:, None]
