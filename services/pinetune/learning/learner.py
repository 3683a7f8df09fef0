"""What is held between calls: one job's policy, reference, optimiser and counters, and the order they may change in.

    opened ──► warm_up … warm_up ──► freeze_reference ──► update … update
                    └──────────── save_policy, score at any time ────────────┘

The warm-up and the updates each begin with a fresh optimiser. `checkpoints.py` writes a learner down and brings it
back; `service.py` speaks to it. It knows no messages.
"""

import copy
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy
import torch

from pinetune.client.policy_stream import StreamedPolicy
from pinetune.learning.batches import TokenSequence
from pinetune.learning.limits import check_examples, check_order, check_trajectories
from pinetune.learning.measurements import UpdateMetrics
from pinetune.learning.optimizer import learning_rate, make_optimizer
from pinetune.learning.policy import Policy, make_value_head
from pinetune.learning.policy_files import policy_tensors, write_policy
from pinetune.learning.ppo import Trajectory, Watch, update
from pinetune.learning.pretrained import load_pretrained
from pinetune.learning.pushing import Send, held_policy, push, saved_policy
from pinetune.learning.settings import (
    ComputeSettings,
    OptimizerSettings,
    Schedule,
    UpdateSettings,
    ValueHeadStart,
    WarmUpSettings,
)
from pinetune.learning.steps import StepBook
from pinetune.learning.value_fit import fit_value_head
from pinetune.learning.warm_up import WarmUpMetrics, warm_up
from pinetune.pod.errors import Conflict, InvalidInput
from pinetune.pod.manifest import Manifest

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Order:
    """What a job asks for when it opens the learner."""

    job_id: str
    """The job."""
    model_uri: str
    """Folder in Hugging Face format, or a hub id."""
    warm_up: WarmUpSettings | None
    """The supervised warm-up; None where the job has none."""
    update: UpdateSettings | None
    """The policy updates; None where the job is supervised only."""
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    """Where to compute."""
    seed: int = 0
    """Fixes every random draw."""


@dataclass(frozen=True, slots=True)
class LearnerState:
    """How far the learner is."""

    job_id: str = ""
    """The open job; empty where none is."""
    policy_version: int = 0
    """Version of the last saved policy; 0 is the base model."""
    warm_up_step: int = 0
    """Last warm-up step done."""
    update_step: int = 0
    """Last update step done."""
    reference_frozen: bool = False
    """True once the reference policy is frozen."""
    parameter_count: int = 0
    """Number of weights, the value head left out."""
    device: str = ""
    """Device of the weights."""
    weights_changed: bool = False
    """Whether weights have changed since `policy_version` was saved."""


class Learner:
    """One job's learner."""

    def __init__(self, order: Order) -> None:
        """Load the base model. Raises InvalidInput or NotFound for an order that cannot be carried out."""
        check_order(order.warm_up, order.update, order.compute)
        self.order = order
        seed_everything(order.seed)
        base = load_pretrained(order.model_uri, order.compute)
        model, self._tokenizer_files = base.model, base.tokenizer_files
        head = None
        if order.update is not None and order.update.advantage_estimator.uses_values:
            draw = torch.Generator().manual_seed(order.seed)
            width = model.config.get_text_config().hidden_size
            at_random = order.update.value_head_start is ValueHeadStart.RANDOM
            head = make_value_head(width, zero=not at_random, generator=draw).to(model.device)
        try:
            self.policy = Policy(model, head, autocast=order.compute.autocast)
        except ValueError as error:
            raise InvalidInput(f"model_uri {order.model_uri!r}: {error}", reason="MODEL_UNSUPPORTED") from error
        self.reference: Policy | None = None
        self.optimizer: torch.optim.Optimizer | None = None
        self.warm_up_steps: StepBook[WarmUpMetrics] = StepBook("warm-up")
        self.update_steps: StepBook[UpdateMetrics] = StepBook("update")
        self.policy_version = 0
        self.changed = False
        """Whether weights have changed since `policy_version` was saved."""
        self.half_done = ""
        """What was going on when a step failed in its middle; empty where all steps were whole."""

    @property
    def state(self) -> LearnerState:
        """How far the learner is."""
        return LearnerState(
            job_id=self.order.job_id,
            policy_version=self.policy_version,
            warm_up_step=self.warm_up_steps.last_step,
            update_step=self.update_steps.last_step,
            reference_frozen=self.reference is not None,
            parameter_count=sum(parameter.numel() for parameter in self.policy.model.parameters()),
            device=str(self.policy.device),
            weights_changed=self.changed,
        )

    def warm_up(self, step: int, examples: Sequence[TokenSequence], *, request_hash: str) -> WarmUpMetrics:
        """Take supervised step `step`, or give its answer again where it is the last one done."""
        stored = self.warm_up_steps.repeated(step, request_hash)
        if stored is not None:
            return stored
        settings = self.order.warm_up
        if settings is None:
            raise Conflict("the job was opened without warm_up settings", reason="WARM_UP_NOT_ORDERED")
        if self.reference is not None:
            raise Conflict("the reference is frozen, so the warm-up is over", reason="WARM_UP_OVER", step=step)
        check_examples(examples, self.policy.model)
        rate = _rate(settings.optimizer, step, settings.step_count)
        metrics = self._whole(
            f"warm-up step {step}",
            lambda: warm_up(
                self.policy,
                self._optimizer(self.warm_up_steps.last_step, settings.optimizer),
                examples,
                learning_rate=rate,
                max_gradient_norm=settings.optimizer.max_gradient_norm,
                max_tokens_per_pass=self.order.compute.max_tokens_per_pass,
            ),
        )
        self.warm_up_steps.enter(step, request_hash, metrics)
        return metrics

    def freeze_reference(self) -> None:
        """Make the current policy the reference; before the first update, doing it again changes nothing."""
        self.refuse_half_done()
        if self.update_steps.last_step:
            raise Conflict("updates have begun; the reference stays what it is", reason="REFERENCE_FROZEN")
        if self.reference is None:
            self.reference = self.copy_of_policy()

    def update(
        self, step: int, trajectories: Sequence[Trajectory], *, request_hash: str, watch: Watch | None = None
    ) -> UpdateMetrics:
        """Take update step `step`, or give its answer again where it is the last one done.

        `watch` is told the advantages where it is taken.
        """
        stored = self.update_steps.repeated(step, request_hash)
        if stored is not None:
            return stored
        settings, reference = self.order.update, self.reference
        if settings is None:
            raise Conflict("the job was opened without update settings", reason="UPDATE_NOT_ORDERED")
        if reference is None:
            raise Conflict("freeze the reference policy before the first update", reason="REFERENCE_NOT_FROZEN")
        check_trajectories(trajectories, self.policy.model, self.policy_version + self.changed, settings.max_staleness)
        rate = _rate(settings.optimizer, step, settings.step_count)

        def first_fit_then_update() -> UpdateMetrics:
            max_tokens = self.order.compute.max_tokens_per_pass
            if not self.update_steps.last_step and self._fits_value_head:
                fit_value_head(self.policy, trajectories, gamma=settings.gamma, max_tokens=max_tokens)
            return update(
                self.policy,
                reference,
                self._optimizer(self.update_steps.last_step, settings.optimizer),
                trajectories,
                settings,
                learning_rate=rate,
                max_tokens_per_pass=max_tokens,
                # Drawn from the step and not from a running state, so that a restored run cannot draw otherwise.
                order=random.Random(f"{self.order.seed}/update/{step}"),
                watch=watch,
            )

        metrics = self._whole(f"update step {step}", first_fit_then_update)
        self.update_steps.enter(step, request_hash, metrics)
        return metrics

    def score(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """Return the log-probability of each token of each sequence under the current policy."""
        self.refuse_half_done()
        check_examples(sequences, self.policy.model)
        rows = self.policy.score(sequences, self.order.compute.max_tokens_per_pass).logprobs_BT.tolist()
        return [row[: len(sequence.token_ids)] for row, sequence in zip(rows, sequences, strict=True)]

    def save_policy(self, policy_uri: str, policy_version: int) -> Manifest:
        """Write the current policy as `policy_version`: the current version, or the next where weights have changed."""
        self._refuse_other_version(policy_version)
        manifest = write_policy(
            self.policy.model, policy_uri, policy_version, self._tokenizer_files, dtype=self._policy_dtype
        )
        self.policy_version, self.changed = policy_version, False
        return manifest

    def push_policy(
        self,
        addresses: Sequence[str],
        policy_version: int,
        policy_uri: str,
        *,
        send: Send = push,
        deadline_seconds: float,
    ) -> tuple[Manifest, list[StreamedPolicy]]:
        """Send the current policy as `policy_version`, as `save_policy` has it, or the saved one in `policy_uri`.

        Returns its manifest and what each service then holds.
        """
        if policy_uri:
            source = saved_policy(policy_uri)
            if source.manifest.policy_version != policy_version:
                raise Conflict(
                    f"policy_version {policy_version} was asked for, the manifest of {policy_uri} names "
                    f"{source.manifest.policy_version}",
                    reason="POLICY_VERSION_MISMATCH",
                    asked=policy_version,
                    named=source.manifest.policy_version,
                )
            return source.manifest, send(source, addresses, deadline_seconds=deadline_seconds)
        self._refuse_other_version(policy_version)
        source = held_policy(policy_tensors(self.policy.model, self._policy_dtype), policy_version)
        pushed = send(source, addresses, deadline_seconds=deadline_seconds)
        self.policy_version, self.changed = policy_version, False
        return source.manifest, pushed

    def copy_of_policy(self) -> Policy:
        """Return a copy of the current policy that does not learn, without the value head."""
        model = copy.deepcopy(self.policy.model).requires_grad_(False)
        return Policy(model, autocast=self.order.compute.autocast)

    def _whole(self, what: str, step: Callable[[], R]) -> R:
        """Run a step; where it fails in its middle, refuse everything until a checkpoint is restored."""
        self.refuse_half_done()
        self.half_done = what
        try:
            result = step()
        except FloatingPointError as error:
            raise Conflict(
                f"{what} diverged: {error}. The policies kept so far stay; a new job with a lower "
                "pinetune.algorithm.learning_rate, pinetune.warm_up.learning_rate or "
                "pinetune.algorithm.value_coefficient may keep it finite",
                reason="GRADIENT_NOT_FINITE",
            ) from error
        self.half_done = ""
        self.changed = True
        return result

    def refuse_half_done(self) -> None:
        """Raise Conflict where a step has failed in its middle."""
        if self.half_done:
            raise Conflict(
                f"{self.half_done} failed in its middle and left the weights half changed; restore a checkpoint",
                reason="STEP_HALF_DONE",
            )

    def _refuse_other_version(self, policy_version: int) -> None:
        """Raise Conflict unless the current policy is this version, or the next where weights have changed."""
        self.refuse_half_done()
        wanted = self.policy_version + self.changed
        if policy_version != wanted:
            raise Conflict(
                f"policy_version must be {wanted}: the last saved one is {self.policy_version} and its weights have "
                f"{'changed' if self.changed else 'not changed'} since; given {policy_version}",
                reason="POLICY_VERSION_OUT_OF_ORDER",
                policy_version=policy_version,
                last_version=self.policy_version,
            )

    @property
    def _policy_dtype(self) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, self.order.compute.dtype)
        return dtype

    @property
    def _fits_value_head(self) -> bool:
        settings = self.order.update
        return (
            self.policy.value_head is not None
            and settings is not None
            and settings.value_head_start is ValueHeadStart.FITTED
        )

    def _optimizer(self, steps_done: int, settings: OptimizerSettings) -> torch.optim.Optimizer:
        if steps_done == 0 or self.optimizer is None:
            self.optimizer = make_optimizer(self.policy.parameters(), settings)
        return self.optimizer


def request_hash(request: bytes) -> str:
    """Return what tells one step's request from another's."""
    return hashlib.sha256(request).hexdigest()


def seed_everything(seed: int) -> None:
    """Seed the random states of the process, for models that draw in their forward pass."""
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _rate(settings: OptimizerSettings, step: int, step_count: int) -> float:
    if settings.schedule is not Schedule.CONSTANT and step > step_count:
        raise InvalidInput(
            f"step must be at most step_count, {step_count}, where the schedule is {settings.schedule}; given {step}",
            reason="STEP_BEYOND_PLAN",
            step=step,
            step_count=step_count,
        )
    return learning_rate(settings, step, step_count)
