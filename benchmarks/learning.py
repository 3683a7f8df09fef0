"""One policy update: ours against a plain padded loop over transformers, and against TRL where it is installed.

    python -m benchmarks.learning [--rounds 5] [--threads 1] [--width 192] [--layers 4]

All of them start from the same weights and the same completions and take the same optimiser step; the largest
difference between the weights afterwards is printed as a share of the largest change, so that nothing is compared that
is not the same. The plain loop pads each micro-batch to its longest row and asks the model for the logits of every
position, as one writes it first. TRL's is `GRPOTrainer`: its reference pass and its `compute_loss`, without its
generation. Rounds are interleaved; CPU seconds, so that other work on the machine counts little. A ratio above 1: ours
learns from more tokens a second.
"""

import argparse
import copy
import importlib.util
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from pinetune.learning.advantages import Evidence, estimate
from pinetune.learning.optimizer import make_optimizer, take_step
from pinetune.learning.policy import Policy, make_value_head
from pinetune.learning.ppo import Trajectory, TrajectoryTensors, update
from pinetune.learning.settings import AdvantageEstimator, OptimizerSettings, UpdateSettings

VOCABULARY_SIZE = 2048
MAX_TOKENS_PER_PASS = 4096
DIFFERENCE_MAX = 1e-2
"""Largest difference of two updated weights, as a share of the largest change of a weight."""
# A large epsilon: Adam else blows rounding errors of vanishing gradients up to whole steps.
OPTIMIZER = OptimizerSettings(learning_rate=1e-4, epsilon=1e-4)
PPO = UpdateSettings(optimizer=OPTIMIZER)
GRPO = replace(
    PPO,
    advantage_estimator=AdvantageEstimator.GRPO,
    whiten_advantages=False,
    epoch_count=1,
)


@dataclass(frozen=True)
class Case:
    """One shape of a step."""

    name: str
    """What it is called in the table."""
    settings: UpdateSettings
    """The algorithm."""
    prompt_count: int
    """Prompts."""
    sample_count: int
    """Completions per prompt."""


CASES = (
    Case("PPO, 64 prompts, 1 completion", PPO, 64, 1),
    Case("PPO, 16 prompts, 4 completions", PPO, 16, 4),
    Case("GRPO, 8 prompts, 8 completions", GRPO, 8, 8),
)
Step = Callable[[], None]


class Peer(Protocol):
    """Something that makes updates."""

    name: str
    policy: Policy

    def step(self) -> None:
        """Update once."""
        ...


def trajectories_of(case: Case, model: PreTrainedModel) -> list[Trajectory]:
    """Return completions of mixed lengths with the model's own log-probabilities."""
    draw = random.Random(0)
    drawn = []
    for group in range(case.prompt_count):
        prompt = [draw.randrange(VOCABULARY_SIZE) for _ in range(draw.randint(40, 120))]
        for index in range(case.sample_count):
            tokens = [draw.randrange(VOCABULARY_SIZE) for _ in range(draw.randint(10, 60))]
            drawn.append(Trajectory(f"c{group}-{index}", f"g{group}", prompt, tokens, [], draw.choice((0.0, 0.1, 1.0))))
    rows = Policy(model).score(drawn, MAX_TOKENS_PER_PASS).logprobs_BT.tolist()
    return [replace(t, logprobs=row[: len(t.token_ids)]) for t, row in zip(drawn, rows, strict=True)]


def policy_of(model: PreTrainedModel, settings: UpdateSettings) -> Policy:
    """Return a policy of its own over a copy of the model."""
    values = settings.advantage_estimator.uses_values
    head = make_value_head(model.config.hidden_size, zero=False, generator=torch.Generator().manual_seed(0))
    return Policy(copy.deepcopy(model), head if values else None)


class Ours:
    """The update that pinetune makes."""

    name = "ours"

    def __init__(self, model: PreTrainedModel, case: Case, trajectories: Sequence[Trajectory]) -> None:
        self._case, self._trajectories = case, trajectories
        self.policy = policy_of(model, case.settings)
        self._reference = Policy(copy.deepcopy(model).requires_grad_(False))
        self._optimizer = make_optimizer(self.policy.parameters(), OPTIMIZER)

    def step(self) -> None:
        """Update once."""
        update(
            self.policy,
            self._reference,
            self._optimizer,
            self._trajectories,
            self._case.settings,
            learning_rate=OPTIMIZER.learning_rate,
            max_tokens_per_pass=MAX_TOKENS_PER_PASS,
            order=random.Random(0),
        )


class Plain:
    """The same update as one writes it first: padded rows, all logits, in the order the completions came."""

    name = "plain loop"

    def __init__(self, model: PreTrainedModel, case: Case, trajectories: Sequence[Trajectory]) -> None:
        self._settings, self._trajectories = case.settings, trajectories
        self.policy = policy_of(model, case.settings)
        self._reference = copy.deepcopy(model).requires_grad_(False).eval()
        self._optimizer = make_optimizer(self.policy.parameters(), OPTIMIZER)
        longest = max(len(t.prompt_token_ids) + len(t.token_ids) for t in trajectories)
        rows = max(1, MAX_TOKENS_PER_PASS // longest)
        self._parts = [slice(start, start + rows) for start in range(0, len(trajectories), rows)]

    def _forward(self, model: PreTrainedModel, part: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-probabilities, values and entropies of the completion tokens, padded to the part's longest."""
        given = self._trajectories[part]
        lengths = [len(t.prompt_token_ids) + len(t.token_ids) for t in given]
        ids_RL = torch.zeros(len(given), max(lengths), dtype=torch.long)
        mask_RL = torch.zeros_like(ids_RL)
        for row, t in enumerate(given):
            ids_RL[row, : lengths[row]] = torch.tensor([*t.prompt_token_ids, *t.token_ids])
            mask_RL[row, : lengths[row]] = 1
        output = model(input_ids=ids_RL, attention_mask=mask_RL, output_hidden_states=True, use_cache=False)
        distribution_RLV = output.logits[:, :-1].log_softmax(-1)
        logprobs_RL = distribution_RLV.gather(-1, ids_RL[:, 1:, None])[..., 0]
        with torch.no_grad():
            entropies_RL = -(distribution_RLV.exp() * distribution_RLV).sum(-1)
        head = self.policy.value_head
        values_RL = torch.zeros_like(logprobs_RL) if head is None else head(output.hidden_states[-1])[:, :-1, 0]
        return logprobs_RL, values_RL, entropies_RL

    def _completions(self, values_RL: Tensor, part: slice, width: int) -> Tensor:
        """Cut the completions' part out of whole rows, shape R x width."""
        found = values_RL.new_zeros(len(values_RL), width)
        for row, t in enumerate(self._trajectories[part]):
            start = len(t.prompt_token_ids) - 1
            found[row, : len(t.token_ids)] = values_RL[row, start : start + len(t.token_ids)]
        return found

    def _scores(self, model: PreTrainedModel, width: int) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            found = [self._forward(model, part)[:2] for part in self._parts]
        logprobs, values = (
            torch.cat([self._completions(f[kind], part, width) for f, part in zip(found, self._parts, strict=True)])
            for kind in (0, 1)
        )
        return logprobs, values

    def step(self) -> None:
        """Update once."""
        settings = self._settings
        tensors = TrajectoryTensors.of(self._trajectories, torch.device("cpu"))
        mask_BT, sampled_BT = tensors.mask_BT, tensors.sampled_logprobs_BT
        width = mask_BT.shape[1]
        _, old_values_BT = self._scores(self.policy.model, width)
        reference_BT, _ = self._scores(self._reference, width)
        log_ratios_BT = (sampled_BT - reference_BT) * mask_BT
        evidence = Evidence(tensors.rewards_B, tensors.groups_B, mask_BT, mask_BT, log_ratios_BT, old_values_BT)
        found = estimate(evidence, settings)
        weights_BT = mask_BT / mask_BT.sum(-1, keepdim=True) / len(mask_BT)
        for _ in range(settings.epoch_count):
            for part in self._parts:
                logprobs, values, _ = (
                    self._completions(x, part, width) for x in self._forward(self.policy.model, part)
                )
                ratio = (logprobs - sampled_BT[part]).exp()
                gain = found.advantages_BT[part]
                loss = -torch.min(ratio * gain, ratio.clamp(0.8, 1.2) * gain)
                if settings.advantage_estimator.uses_values:
                    old, target = old_values_BT[part], found.returns_BT[part]
                    clipped = old + (values - old).clamp(-0.2, 0.2)
                    square = torch.max((values - target).square(), (clipped - target).square())
                    loss = loss + settings.value_coefficient * 0.5 * square
                else:
                    gap = reference_BT[part] - logprobs
                    loss = loss + settings.kl_coefficient * (gap.exp() - gap - 1)
                torch.autograd.backward((loss * weights_BT[part]).sum())
            take_step(self._optimizer, OPTIMIZER.learning_rate, OPTIMIZER.max_gradient_norm)


def difference(one: PreTrainedModel, other: PreTrainedModel) -> float:
    """Return the largest difference of two models' weights."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def main() -> None:
    """Print one line a case and peer: tokens per CPU second of both, the ratio's median and range, the difference."""
    parser = argparse.ArgumentParser(description="Our policy update against a plain loop and TRL.")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds a case")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--width", type=int, default=192, help="width of the model")
    parser.add_argument("--layers", type=int, default=4, help="layers of the model")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY_SIZE,
            hidden_size=arguments.width,
            intermediate_size=32 * (arguments.width * 8 // 96),
            num_hidden_layers=arguments.layers,
            num_attention_heads=4,
            max_position_embeddings=512,
            tie_word_embeddings=True,
        )
    )
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"Llama of {size / 1e6:.1f} million weights, float32, {arguments.threads} threads, {arguments.rounds} rounds")
    print(
        f"{'case':34} {'peer':12} {'ours':>7} {'peer':>7}  tokens a CPU second; ratio: median (min to max); difference"
    )
    for case in CASES:
        trajectories = trajectories_of(case, model)
        tokens = sum(len(t.prompt_token_ids) + len(t.token_ids) for t in trajectories)
        peers: list[Peer] = [Ours(model, case, trajectories), Plain(model, case, trajectories)]
        if importlib.util.find_spec("trl") and case.settings is GRPO:
            # Optional, and slow to import.
            from benchmarks.learning_trl import Trl

            peers.append(Trl(model, case.settings, trajectories, case.sample_count, MAX_TOKENS_PER_PASS))
        for peer in peers:
            peer.step()
        moved = difference(peers[0].policy.model, model)
        differences = [difference(peers[0].policy.model, peer.policy.model) / moved for peer in peers]
        rounds = [[tokens / cpu_seconds(peer.step) for peer in peers] for _ in range(arguments.rounds)]
        for index, peer in enumerate(peers[1:], start=1):
            report(case, peer.name, [(speeds[0], speeds[index]) for speeds in rounds], differences[index])
            if differences[index] > DIFFERENCE_MAX:
                raise SystemExit(f"{peer.name} did not take the same step; the ratio above compares different things")


def report(case: Case, peer: str, rounds: Sequence[tuple[float, float]], apart: float) -> None:
    """Print one line."""
    ratios = [ours / theirs for ours, theirs in rounds]
    ours, theirs = (statistics.median(speeds) for speeds in zip(*rounds, strict=True))
    print(
        f"{case.name:34} {peer:12} {ours:7,.0f} {theirs:7,.0f}  "
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); {apart:.0e}",
        flush=True,
    )


def cpu_seconds(step: Step) -> float:
    """Return the CPU seconds of one call."""
    begin = time.process_time()
    step()
    return time.process_time() - begin


if __name__ == "__main__":
    main()
