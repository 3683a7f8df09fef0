"""What a job will do, worked out before its first step: items, steps, settings. Pure; the loop only follows it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pinetune.api.learning.v1 import learning_pb2 as wire
from pinetune.client.prompts import Sampling, TokenSequence
from pinetune.jobs.data_order import batch_of_step, steps_in
from pinetune.jobs.dataset import Item
from pinetune.jobs.evaluation import gives_ranks
from pinetune.jobs.rewards import RewardPolicy
from pinetune.jobs.spec import AlgorithmSpec, JobSpec, WarmUpSpec
from pinetune.jobs.spec.order import ResponseFormat
from pinetune.jobs.usage import WITH_GRADIENT

SCHEDULES = {
    "constant": wire.SCHEDULE_CONSTANT,
    "linear": wire.SCHEDULE_LINEAR,
    "cosine": wire.SCHEDULE_COSINE,
}
VALUE_HEAD_STARTS = {
    "fitted": wire.VALUE_HEAD_START_FITTED,
    "zero": wire.VALUE_HEAD_START_ZERO,
    "random": wire.VALUE_HEAD_START_RANDOM,
}
ESTIMATORS = {
    "ppo": wire.ADVANTAGE_ESTIMATOR_GAE,
    "grpo": wire.ADVANTAGE_ESTIMATOR_GRPO,
    "rloo": wire.ADVANTAGE_ESTIMATOR_RLOO,
    "reinforce_plus_plus": wire.ADVANTAGE_ESTIMATOR_REINFORCE_PLUS_PLUS,
    "dr_grpo": wire.ADVANTAGE_ESTIMATOR_DR_GRPO,
}


@dataclass(frozen=True)
class Plan:
    """One job's course."""

    job_id: str
    """The job."""
    spec: JobSpec
    """Its order."""
    artifacts_uri: str
    """Folder for all it writes."""
    model_uri: str
    """The base model; for `nano` the folder it will be made in."""
    training: Sequence[Item]
    """Items to learn from."""
    validation: Sequence[Item]
    """Items that measure the policy while it trains."""
    test: Sequence[Item]
    """Items of the final comparison."""

    @property
    def rollouts_uri(self) -> str:
        """Folder of the rollouts."""
        return f"{self.artifacts_uri}/rollouts"

    @property
    def supervised_only(self) -> bool:
        """True where the job imitates and nothing else."""
        return self.spec.method.type == "supervised"

    @property
    def grader(self) -> dict[str, object] | None:
        """The grader, openai JSON; None only for supervised training that measures no reward."""
        return None if self.spec.grader is None else dict(self.spec.grader)

    @property
    def ranked(self) -> bool:
        """True where answers are ranked lists."""
        return self.grader is not None and gives_ranks(self.grader)

    @property
    def rewards(self) -> RewardPolicy:
        """What becomes of an ungraded completion."""
        policies = self.spec.pinetune.policies
        return RewardPolicy(policies.ungraded, policies.penalty, policies.max_ungraded_share)

    @property
    def imitated(self) -> list[Item]:
        """Training items with a chain of thought."""
        return [item for item in self.training if item.chain_of_thought]

    @property
    def validated(self) -> Sequence[Item]:
        """Validation items used each time: the first `eval_samples`."""
        return self.validation[: self.spec.hyperparameters.eval_samples]

    @property
    def training_steps(self) -> int:
        """Policy updates; a time or compute budget may end them earlier."""
        if self.supervised_only:
            return 0
        settings = self.spec.hyperparameters
        steps = steps_in(len(self.training), batch_size=settings.batch_size, epochs=settings.n_epochs)
        return min(steps, self.spec.pinetune.budget.max_steps or steps)

    def warm_up_steps(self, sequences: Sequence[TokenSequence], parameter_count: int) -> int:
        """Supervised steps over `sequences`, the tokenised chains of thought.

        For supervised training the budget counts here, and beforehand, so that the learning rate falls to its end.
        """
        settings = self.spec.pinetune.warm_up
        if not sequences:
            return 0
        steps = steps_in(len(sequences), batch_size=settings.batch_size, epochs=settings.epochs)
        if not self.supervised_only:
            return steps
        budget = self.spec.pinetune.budget
        if budget.max_compute_flops is not None:
            tokens = sum(len(one.prompt_token_ids) + len(one.token_ids) for one in sequences)
            flops = WITH_GRADIENT * parameter_count * tokens / math.ceil(len(sequences) / settings.batch_size)
            steps = min(steps, max(1, int(budget.max_compute_flops / flops)))
        return min(steps, budget.max_steps or steps)

    def warm_up_batch(self, sequences: Sequence[TokenSequence], step: int) -> list[TokenSequence]:
        """Return the sequences of a warm-up step."""
        size = self.spec.pinetune.warm_up.batch_size
        return batch_of_step(sequences, step, batch_size=size, seed=self.spec.seed, stream="warm_up")

    def training_batch(self, step: int) -> list[Item]:
        """Return the items of a training step."""
        size = self.spec.hyperparameters.batch_size
        return batch_of_step(self.training, step, batch_size=size, seed=self.spec.seed, stream="training")

    def validates_after(self, step: int, *, last: bool) -> bool:
        """Return whether the policy is measured after this step."""
        return last or step % self.spec.hyperparameters.eval_interval == 0

    def checkpoints_after(self, step: int, *, last: bool) -> bool:
        """Return whether a checkpoint to go on from is written after this step."""
        return last or step % self.spec.pinetune.checkpoints.interval == 0

    @property
    def training_sampling(self) -> Sampling:
        """How training completions are drawn."""
        settings = self.spec.pinetune.sampling
        return Sampling(
            sample_count=self.spec.group_size,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            max_tokens=settings.max_tokens,
            min_tokens=settings.min_tokens,
            stop=settings.stop,
            seed=self.spec.seed,
            json_schema=self._response_format.json_schema,
            regex=self._response_format.regex,
        )

    @property
    def measuring_sampling(self) -> Sampling:
        """How validation and evaluation draw: one completion an item, from the tokens that training draws from."""
        settings = self.spec.pinetune.sampling
        return Sampling(
            temperature=self.spec.pinetune.evaluation.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            max_tokens=settings.max_tokens,
            min_tokens=settings.min_tokens,
            stop=settings.stop,
            seed=self.spec.seed,
            json_schema=self._response_format.json_schema,
            regex=self._response_format.regex,
        )

    @property
    def _response_format(self) -> ResponseFormat:
        method = self.spec.method.reinforcement
        return ResponseFormat() if method is None else method.response_format

    @property
    def vote_sampling(self) -> Sampling | None:
        """How the completions of a majority vote are drawn; None for no vote."""
        settings = self.spec.pinetune.evaluation
        if settings.vote_samples < 2:
            return None
        return replace(
            self.measuring_sampling, sample_count=settings.vote_samples, temperature=settings.vote_temperature
        )

    def open_request(self, warm_up_steps: int) -> wire.OpenRequest:
        """Return what the learner is opened with."""
        engine = self.spec.pinetune.engine
        request = wire.OpenRequest(
            job_id=self.job_id,
            model_uri=self.model_uri,
            compute=wire.ComputeSettings(
                device=engine.device,
                dtype=engine.dtype,
                autocast=engine.dtype == "bfloat16",
                max_tokens_per_pass=engine.max_tokens_per_pass,
            ),
            seed=self.spec.seed,
        )
        if warm_up_steps:
            optimizer = _optimizer(self.spec.pinetune.warm_up, self.spec.warm_up_learning_rate)
            request.warm_up.CopyFrom(wire.WarmUpSettings(optimizer=optimizer, step_count=warm_up_steps))
        if self.training_steps:
            request.update.CopyFrom(self._update_settings())
        return request

    def _update_settings(self) -> wire.UpdateSettings:
        algorithm = self.spec.pinetune.algorithm
        return wire.UpdateSettings(
            optimizer=_optimizer(algorithm, self.spec.update_learning_rate),
            step_count=self.training_steps,
            advantage_estimator=ESTIMATORS[algorithm.name],
            gamma=algorithm.gamma,
            gae_lambda=algorithm.gae_lambda,
            whiten_advantages=algorithm.whiten_advantages,
            clip_range=algorithm.clip_range,
            value_clip_range=algorithm.value_clip_range,
            value_coefficient=algorithm.value_coefficient,
            kl_coefficient=algorithm.kl_coefficient,
            entropy_coefficient=algorithm.entropy_coefficient,
            epoch_count=algorithm.ppo_epochs,
            mini_batch_count=algorithm.mini_batches,
            length_normalised=algorithm.length_normalised,
            max_staleness=self.spec.pinetune.policies.max_staleness,
            value_head_start=VALUE_HEAD_STARTS[algorithm.value_head],
        )


def _optimizer(settings: WarmUpSpec | AlgorithmSpec, learning_rate: float) -> wire.OptimizerSettings:
    return wire.OptimizerSettings(
        learning_rate=learning_rate,
        warm_up_ratio=settings.warm_up_ratio,
        schedule=SCHEDULES[settings.schedule],
        weight_decay=settings.weight_decay,
        max_gradient_norm=settings.max_gradient_norm,
        # ReFT's repository has AdamW's own values.
        epsilon=1e-8,
        beta1=0.9,
        beta2=settings.beta2,
    )
