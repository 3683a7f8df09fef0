"""Fits a new value head to the first rollouts, by least squares, before the first update.

In the loop: once a job, ahead of its first update. The policy is not touched; only the head is set.

Why. With a head that knows nothing, zero or random, GAE with λ < 1 credits token t of a completion with about
(γλ)^(T-1-t) r: the early tokens of long completions get less than those of short ones for the same reward, and
whitening turns that into a push towards short answers before the head has learnt anything. ReFT (Luong et al. 2024,
section 5) sees accuracy dip until the head has settled. The head is linear, so the best one for the rollouts at hand is
one solve away.

Shapes: N completion tokens, D width, F = D + 1 with the bias.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pinetune.learning.batches import completion_mask
from pinetune.learning.policy import Policy

if TYPE_CHECKING:
    from pinetune.learning.ppo import Trajectory

RIDGE = 1e-3
"""Weight of the head's own size per token, in units of squared returns; keeps it small where tokens are few."""


@torch.no_grad()
def fit_value_head(policy: Policy, trajectories: "Sequence[Trajectory]", *, gamma: float, max_tokens: int) -> None:
    """Set the value head to the ridge regression of the discounted returns on the last hidden states.

    The return of token t of T is γ^(T-1-t) r; the KL penalty is 0 before the first update. Raises ValueError where the
    policy has no value head.
    """
    head = policy.value_head
    if head is None:
        raise ValueError("the policy has no value head to fit")
    mask_BT = completion_mask(trajectories)
    lengths_B = mask_BT.sum(-1)
    rewards_B = torch.tensor([trajectory.reward for trajectory in trajectories], dtype=torch.float64)
    to_go_BT = lengths_B[:, None] - 1 - torch.arange(mask_BT.shape[1])
    returns_BT = rewards_B[:, None] * torch.full((), gamma, dtype=torch.float64) ** to_go_BT.clamp(min=0)
    width = head.in_features
    moments_FF = torch.zeros(width + 1, width + 1, dtype=torch.float64)
    targets_F = torch.zeros(width + 1, dtype=torch.float64)
    for batch in policy.micro_batches(trajectories, max_tokens):
        hidden_ND = policy.hidden(batch).to("cpu", torch.float64)
        features_NF = torch.cat([hidden_ND, torch.ones(len(hidden_ND), 1, dtype=torch.float64)], dim=1)
        rows_N, columns_N = (index.cpu() for index in batch.places(mask_BT.to(policy.device)))
        moments_FF += features_NF.T @ features_NF
        targets_F += features_NF.T @ returns_BT[rows_N, columns_N]
    penalty_F = torch.full((width + 1,), RIDGE * float(mask_BT.sum()), dtype=torch.float64)
    penalty_F[-1] = 0.0  # The mean return is no evidence against itself.
    weights_F: Tensor = torch.linalg.lstsq(moments_FF + penalty_F.diag(), targets_F[:, None], driver="gelsd").solution
    head.weight.copy_(weights_F[:-1, 0][None])
    assert head.bias is not None
    head.bias.copy_(weights_F[-1])
