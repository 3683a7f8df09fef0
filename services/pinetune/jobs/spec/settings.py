"""What the openai fields of a job cannot say: the tables below `pinetune`, as `spec.proto` has them, field by field.

Text becomes one of these models or a refusal; there is no third way. A validated model is concrete: the loop reads
`spec.pinetune.algorithm.kl_coefficient` and finds a number. Where None is left it says something of its own ("no
limit", "all"). Defaults that depend on other fields are filled in by `order.py` before these models see the table.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Share = Annotated[float, Field(ge=0, le=1)]
LearningRate = Annotated[float, Field(gt=0, le=1)]
Temperature = Annotated[float, Field(ge=0, le=10)]
Coefficient = Annotated[float, Field(ge=0, le=1_000_000)]
Decay = Annotated[float, Field(ge=0, lt=1)]
ClipRange = Annotated[float, Field(gt=0, le=1_000_000)]
Key = Annotated[str, Field(min_length=1, max_length=256)]
Schedule = Literal["constant", "linear", "cosine"]

RESERVED_KEYS = frozenset({"messages", "tools"})
"""Keys of a row that are not part of `item.*`."""


class SpecModel(BaseModel):
    """Base of all tables of an order: unknown keys are refused, types are taken as written, null means left out."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def drop_nulls(cls, raw: object) -> object:
        """Read null as left out, as the openai API does."""
        if isinstance(raw, dict):
            return {key: value for key, value in raw.items() if value is not None}
        return raw


class DatasetSettings(SpecModel):
    """How rows become prompts."""

    prompt: str = ""
    """Template of the user's message, e.g. `{{item.question}}`; only for rows without `messages`."""
    system: str = ""
    """Template of a system message before it; empty for none."""
    reference: Key = "answer"
    """Key of the reference answer."""
    chain_of_thought: Key = "cot"
    """Key of the chain of thought to imitate."""
    hidden: Annotated[tuple[Key, ...], Field(strict=False, max_length=256)] = ()
    """Further keys that prompt templates must not use; those that the grader compares with are hidden anyway."""
    refuse_answer_overlap: bool = False
    """True: training and validation sets that share a reference answer are refused."""
    refuse_prompt_overlap: bool = True
    """True: sets that share a prompt are refused."""

    @property
    def hidden_keys(self) -> frozenset[str]:
        """Every key that must never reach a prompt."""
        return frozenset({self.reference, self.chain_of_thought, *self.hidden})

    def hiding(self, keys: Iterable[str]) -> "DatasetSettings":
        """Return the settings with further hidden keys."""
        return self.model_copy(update={"hidden": (*self.hidden, *keys)})


class WarmUpSpec(SpecModel):
    """The supervised warm-up before reinforcement, or the whole of a supervised job."""

    epochs: int = Field(default=2, ge=0, le=100_000)
    """Passes over the rows with a chain of thought; 0 for no warm-up."""
    batch_size: Count = 48
    """Examples per step."""
    learning_rate: LearningRate = 1e-5
    """Peak learning rate; 1e-3 for `nano`."""
    warm_up_ratio: Share = 0.1
    """Share of the steps over which the rate rises."""
    schedule: Schedule = "linear"
    """How the rate goes on after that."""
    weight_decay: Share = 0.0
    """AdamW's weight decay."""
    max_gradient_norm: Coefficient = 1.0
    """Largest gradient norm; 0 means no limit."""
    beta2: Decay = 0.999
    """AdamW's decay of the second moment."""


class SamplingSpec(SpecModel):
    """How training samples are drawn."""

    samples_per_prompt: int = Field(default=1, ge=1, le=1024)
    """Completions per prompt, before `compute_multiplier`."""
    temperature: Temperature = 1.0
    """0 takes the most likely token."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Share of probability kept."""
    top_k: int = Field(default=0, ge=0, le=1_000_000)
    """Number of tokens kept; 0 means all."""
    max_tokens: Count = 512
    """Most tokens of a completion."""
    min_tokens: int = Field(default=0, ge=0)
    """Fewest tokens before the end-of-turn token may come."""
    stop: Annotated[tuple[Key, ...], Field(strict=False, max_length=16)] = ()
    """Texts that end a completion."""

    @field_validator("min_tokens")
    @classmethod
    def check_min_tokens(cls, value: int, fields: ValidationInfo) -> int:
        """Refuse completions that would have to be longer than they may."""
        limit = fields.data.get("max_tokens", value)  # One that is wrong is told of alone.
        if value > limit:
            raise ValueError(f"must be at most max_tokens, {limit}")
        return value


class AlgorithmSpec(SpecModel):
    """How the policy is updated; by default as ReFT has it (Luong et al. 2024, section 4.2, and its repository).

    Where the default differs: `value_head` is fitted (`docs/decisions/0005-fitted-value-head.md`), the learning rate of
    `nano` is its own, and the other algorithms average and whiten as their papers have it.
    """

    name: Literal["ppo", "grpo", "rloo", "reinforce_plus_plus", "dr_grpo"] = "ppo"
    """The advantage estimator."""
    learning_rate: LearningRate = 3e-7
    """Peak learning rate, before `learning_rate_multiplier`; 1e-4 for `nano`."""
    warm_up_ratio: Share = 0.0
    """Share of the steps over which the rate rises."""
    schedule: Schedule = "constant"
    """How the rate goes on after that."""
    weight_decay: Share = 0.0
    """AdamW's weight decay."""
    max_gradient_norm: Coefficient = 1.0
    """Largest gradient norm; 0 means no limit."""
    gamma: Share = 1.0
    """Discount of later rewards."""
    gae_lambda: Share = 0.95
    """GAE's lambda."""
    whiten_advantages: bool = True
    """True: advantages are whitened over the tokens of the batch; false for `grpo`, `dr_grpo` and `rloo`."""
    clip_range: ClipRange = 0.2
    """The policy's ratio is clipped to 1 plus or minus this."""
    value_clip_range: ClipRange = 0.2
    """New values are clipped to the old ones plus or minus this."""
    value_coefficient: Coefficient = 5.0
    """Weight of the value loss."""
    kl_coefficient: Coefficient = 0.05
    """Weight of the KL penalty to the reference policy; ReFT has 0.05 for reasoning in words, 0.01 for programs."""
    entropy_coefficient: Coefficient = 0.0
    """Weight of the entropy bonus."""
    ppo_epochs: int = Field(default=2, ge=1, le=100)
    """Passes over each rollout."""
    mini_batches: int = Field(default=1, ge=1, le=1024)
    """Optimiser steps per pass."""
    length_normalised: bool = True
    """True: token losses are averaged within each sample first; false for `dr_grpo` and `rloo`."""
    value_head: Literal["fitted", "zero", "random"] = "fitted"
    """How the value head begins: fitted to the returns of the first rollouts, at zero, or at random as ReFT has it."""
    beta2: Decay = 0.999
    """AdamW's decay of the second moment."""


class EvaluationSpec(SpecModel):
    """How models are measured."""

    test_file: str = ""
    """Data set id of the items for the final comparison; the validation file by default."""
    temperature: Temperature = 0.0
    """Temperature of validation and of the final comparison; all else is as in `pinetune.sampling`."""
    vote_samples: int = Field(default=1, ge=1, le=1024)
    """Samples per item for the majority vote of the final comparison; 1 means no vote."""
    vote_temperature: float = Field(default=1.0, gt=0, le=10)
    """Temperature of the vote's samples."""
    final_comparison: bool = True
    """True: base, warmed-up and fine-tuned policies are compared at the end."""


class CheckpointSpec(SpecModel):
    """What checkpoints are kept."""

    keep_best: int = Field(default=3, ge=1, le=1000)
    """Policies kept for their validation reward."""
    interval: Count = 10
    """Steps between checkpoints to go on from; `eval_interval` by default."""


class BudgetSpec(SpecModel):
    """When to stop. The first limit that is reached ends the training; the job then finishes as usual."""

    max_steps: Count | None = None
    """Update steps; None means as many as the epochs give."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Seconds of training; None means no limit."""
    max_compute_flops: float | None = Field(default=None, gt=0)
    """Floating-point operations of training and sampling; None means no limit."""


class GraderTestSpec(SpecModel):
    """A labelled set, and how well the job's grader must hold to it when the job is ordered."""

    file: str = Field(min_length=1)
    """Data set id of the labelled rows."""
    min_agreement: Share = 1.0
    """Smallest share of rows that hold."""
    repeats: int = Field(default=3, ge=1, le=100)
    """Times that every row is graded, alike each time."""
    tolerance: float = Field(default=1e-6, ge=0, le=1_000_000)
    """How far a score may be from its label, or from one repeat to the next."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Longest time of the grading service for one sample by itself; None means no limit."""


class PolicySpec(SpecModel):
    """What to do when something fails."""

    ungraded: Literal["exclude", "penalise", "zero"] = "exclude"
    """What becomes of an ungraded completion."""
    penalty: float = Field(default=-1.0, ge=-1_000_000, le=1_000_000)
    """The reward under `penalise`."""
    max_ungraded_share: Share = 0.5
    """Share of ungraded completions in a step beyond which the job fails."""
    max_staleness: int = Field(default=0, ge=0, le=1000)
    """Versions that a completion may be behind; 0 in this release, which samples from the newest only."""
    max_canary_gap: float = Field(default=0.01, gt=0)
    """Largest mean gap of canary log-probabilities between sampler and learner; 0.1 for bfloat16."""
    max_restarts: int = Field(default=3, ge=0, le=1000)
    """Times a worker is started again after it died."""
    grader_test: GraderTestSpec | None = None
    """A labelled set that the grader must hold to, or the order is refused; None for no such test."""


REPLICAS_MAX = 64
Way = Literal["shared_storage", "stream", "broadcast"]
"""How weights reach the samplers."""


class EngineSpec(SpecModel):
    """Where and how precisely to compute."""

    name: Literal["transformers", "vllm"] = "transformers"
    """The sampling engine."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What samplers hold and all matrix multiplies run in; the learner's own weights are float32 either way."""
    replicas: int = Field(default=1, ge=1, le=REPLICAS_MAX)
    """Generation replicas that an attempt starts with."""
    max_replicas: int = Field(default=1, ge=1, le=REPLICAS_MAX)
    """Most generation replicas; as many as `replicas` by default, so that nothing scales."""
    backlog_seconds: float = Field(default=60.0, ge=0.001)
    """Seconds within which the completions of a step should be sampled, by up to `max_replicas`."""
    max_tokens_per_pass: int = Field(default=16384, ge=1, le=100_000_000)
    """Most tokens, padding included, in one forward pass of the learner."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """CPU threads of each process; None means all cores."""
    weights: Way = "shared_storage"
    """How weights reach the samplers: through storage that all services read, straight from the learner over gRPC, or
    from the learner to all of them at once.
    """
    tensor_parallel_size: int = Field(default=1, ge=1, le=64)
    """GPUs that share each layer of one sampler; vllm only."""
    memory_fraction: float = Field(default=0.4, gt=0, le=1)
    """Share of a GPU's memory that a sampler's weights and cache may take; on one machine the learner needs the rest.
    vllm only."""
    kv_cache_memory_bytes: int | None = Field(default=None, ge=1)
    """Memory for a sampler's keys and values; None means what `memory_fraction` leaves, on the CPU 1 GiB. vllm only."""
    max_model_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of prompt and completion together in the samplers; None means the model's own limit."""
    parts_format: Literal[
        "auto", "none", "think", "hermes", "llama3", "mistral", "think+hermes", "think+llama3", "think+mistral"
    ] = "auto"
    """How answers are taken apart into reasoning, final answer and tool calls; `auto` looks at the chat template."""
    prefix_caching: bool = True
    """True: keys and values of prompts that begin alike are kept and used again. vllm only."""

    @model_validator(mode="before")
    @classmethod
    def fill_max_replicas(cls, raw: object) -> object:
        """Write out that nothing scales, where the table does not say how far."""
        if not isinstance(raw, dict) or raw.get("max_replicas") is not None:
            return raw
        replicas = raw.get("replicas")
        # A number that is wrong is told of `replicas` alone.
        fits = type(replicas) is int and 1 <= replicas <= REPLICAS_MAX
        return {**raw, "max_replicas": replicas} if fits else raw


class NanoSettings(SpecModel):
    """Shape of the model, where `model` is `nano`."""

    layer_count: int = Field(default=4, ge=1, le=64)
    """Decoder layers."""
    width: int = Field(default=256, ge=8, le=8192)
    """Width of the hidden states; a multiple of `head_count`."""
    head_count: int = Field(default=8, ge=1, le=128)
    """Attention heads."""
    vocabulary_size: int = Field(default=2048, ge=300, le=262_144)
    """Tokens in the vocabulary, the 256 bytes and the special tokens included."""
    max_tokens: int = Field(default=1024, ge=16, le=131_072)
    """Longest sequence, in tokens."""


class PinetuneSettings(SpecModel):
    """All that the openai fields cannot say."""

    dataset: DatasetSettings = DatasetSettings()
    """How rows become prompts."""
    warm_up: WarmUpSpec = WarmUpSpec()
    """The supervised warm-up before reinforcement."""
    sampling: SamplingSpec = SamplingSpec()
    """How training samples are drawn."""
    algorithm: AlgorithmSpec = AlgorithmSpec()
    """How the policy is updated."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """How models are measured."""
    checkpoints: CheckpointSpec = CheckpointSpec()
    """What checkpoints are kept."""
    budget: BudgetSpec = BudgetSpec()
    """When to stop."""
    policies: PolicySpec = PolicySpec()
    """What to do when something fails."""
    engine: EngineSpec = EngineSpec()
    """Where and how precisely to compute."""
    nano: NanoSettings = NanoSettings()
    """Shape of the model; means something only where `model` is `nano`."""
