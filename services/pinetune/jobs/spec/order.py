"""The whole order of a job: the openai fields by their own names, and `pinetune` for what they cannot say.

    {"model": "nano", "training_file": "file-1", "validation_file": "file-2",
     "method": {"type": "reinforcement", "reinforcement": {"grader": {...}, "hyperparameters": {"n_epochs": 4}}},
     "pinetune": {"dataset": {"prompt": "{{item.question}}"}, "algorithm": {"kl_coefficient": 0.02}}}

Every field that is left out becomes concrete here; those whose default depends on other fields (`defaults.py`) are
written into the table before the models read it, so no model ever changes another.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from pinetune.jobs.spec.checks import order_faults
from pinetune.jobs.spec.defaults import with_dependent_defaults
from pinetune.jobs.spec.faults import Fault, faults_error
from pinetune.jobs.spec.settings import (
    DatasetSettings,
    EngineSpec,
    Key,
    PinetuneSettings,
    SamplingSpec,
    SpecModel,
)

NANO = "nano"
"""The model that a job makes from nothing on its own data."""
SEED_MAX = 2_147_483_647

Grader = Annotated[dict[str, JsonValue], Field(min_length=1)]
Suffix = Annotated[str, Field(max_length=64, pattern=r"^[^\s:/]*$")]
MetadataKey = Annotated[str, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]


class Hyperparameters(SpecModel):
    """Settings that the openai API has; `auto` means left out."""

    n_epochs: int = Field(default=3, ge=1, le=100_000)
    """Passes over the training items; as many as it takes where only `pinetune.budget.max_steps` is given."""
    batch_size: int = Field(default=32, ge=1, le=65_536)
    """Prompts per step."""
    learning_rate_multiplier: float = Field(default=1.0, gt=0, le=1_000_000)
    """Factor on the learning rate."""
    eval_interval: int = Field(default=10, ge=1, le=1_000_000)
    """Steps between validations."""
    eval_samples: int | None = Field(default=None, ge=1)
    """Validation items used each time; None means all."""
    compute_multiplier: float = Field(default=1.0, gt=1e-5, le=10)
    """Factor on the samples per prompt."""
    reasoning_effort: Literal["default", "low", "medium", "high"] = "default"
    """Handed to chat templates that know it."""

    @model_validator(mode="before")
    @classmethod
    def drop_auto(cls, raw: object) -> object:
        """Read `auto` as left out, as the openai API does."""
        if isinstance(raw, dict):
            return {key: value for key, value in raw.items() if value != "auto"}
        return raw


KINDS = ("", "text", "json_schema", "regex")
"""What `response_format.type` may be; `json_object`, any JSON at all, is none of them."""
WRAPPER = ("name", "description", "strict")
"""What stands beside the schema in the openai form, and says nothing here."""


class ResponseFormat(SpecModel):
    """What shape answers must have: a JSON Schema or a regular expression, or neither."""

    json_schema: str = ""
    """JSON Schema as JSON text."""
    regex: str = ""
    """Regular expression."""

    @model_validator(mode="before")
    @classmethod
    def read_openai_form(cls, raw: object) -> object:
        """Read the openai form too: `{"type": "json_schema", "json_schema": {"name": …, "schema": {…}}}`.

        The outer `json_schema` may be left out of it, and of the wrapper all but the schema.
        """
        if not isinstance(raw, dict):
            return raw
        kind = raw.get("type", "")
        if kind not in KINDS:
            raise ValueError(f"type must be one of {', '.join(KINDS[1:])}; it is {kind!r}")
        form = {key: value for key, value in raw.items() if key not in (*WRAPPER, "type", "schema")}
        schema = raw.get("schema", form.get("json_schema"))
        if isinstance(schema, dict):
            if schema.keys() <= {*WRAPPER, "schema"} and schema:
                if not isinstance(schema.get("schema"), dict):
                    raise ValueError("json_schema.schema is required: the JSON Schema, an object")
                schema = schema["schema"]
            form["json_schema"] = json.dumps(schema, sort_keys=True, ensure_ascii=False)
        if kind in ("json_schema", "regex") and not form.get(kind):
            raise ValueError(f"{kind} is required where type is {kind}")
        return form


class ReinforcementMethod(SpecModel):
    """Warm-up, then policy updates against a grader."""

    grader: Grader
    """The grader, as the JSON object of the openai graders API."""
    response_format: ResponseFormat = ResponseFormat()
    """What shape answers must have."""
    hyperparameters: Hyperparameters = Hyperparameters()
    """Settings that the openai API has."""


class SupervisedMethod(SpecModel):
    """Imitation of the data set's chains of thought."""

    hyperparameters: Hyperparameters = Hyperparameters()
    """Settings that the openai API has."""
    grader: Grader | None = None
    """Grader that measures validation; None measures the loss only."""


class Method(SpecModel):
    """What kind of training."""

    type: Literal["reinforcement", "supervised"]
    """The kind."""
    reinforcement: ReinforcementMethod | None = None
    """Settings of reinforcement; None for the other type."""
    supervised: SupervisedMethod | None = None
    """Settings of supervised training; None for the other type."""


class JobSpec(SpecModel):
    """The whole order, every default written out."""

    model: str = Field(min_length=1, max_length=4096)
    """`nano`, a folder in Hugging Face format, a hub id, or `job:<job id>` for the result of another job."""
    training_file: str = Field(min_length=1)
    """Data set id of the training items."""
    validation_file: str = ""
    """Data set id of the validation items; empty only for supervised training."""
    method: Method
    """What kind of training."""
    suffix: Suffix = ""
    """Becomes part of the fine-tuned model's name; empty for none."""
    seed: int = Field(default=42, ge=0, le=SEED_MAX)
    """Same seed, same numbers."""
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(default_factory=dict, max_length=16)]
    """The user's own pairs."""
    pinetune: PinetuneSettings = PinetuneSettings()
    """All that the openai fields cannot say."""

    @model_validator(mode="before")
    @classmethod
    def fill_dependent_defaults(cls, raw: object) -> object:
        """Write out the defaults that depend on other fields."""
        return with_dependent_defaults(raw) if isinstance(raw, Mapping) else raw

    @model_validator(mode="after")
    def check_across_fields(self) -> "JobSpec":
        """Refuse what is right field by field and wrong as a whole."""
        if faults := list(order_faults(self)):
            raise faults_error(faults)
        return self

    @property
    def hyperparameters(self) -> Hyperparameters:
        """The hyperparameters of the method that was ordered."""
        return self._ordered_method.hyperparameters

    @property
    def grader(self) -> dict[str, JsonValue] | None:
        """The grader of the method that was ordered; None only for supervised training without one."""
        return self._ordered_method.grader

    @property
    def _ordered_method(self) -> ReinforcementMethod | SupervisedMethod:
        table = self.method.supervised if self.method.type == "supervised" else self.method.reinforcement
        assert table is not None, "check_across_fields sees to it"
        return table

    @property
    def is_nano(self) -> bool:
        """True where the job makes its own base model."""
        return self.model == NANO

    @property
    def group_size(self) -> int:
        """Completions per prompt in a training step: `samples_per_prompt` times `compute_multiplier`, at least 1."""
        return max(1, round(self.pinetune.sampling.samples_per_prompt * self.hyperparameters.compute_multiplier))

    @property
    def update_learning_rate(self) -> float:
        """Peak learning rate of the policy updates, the multiplier applied."""
        return self.pinetune.algorithm.learning_rate * self.hyperparameters.learning_rate_multiplier

    @property
    def warm_up_learning_rate(self) -> float:
        """Peak learning rate of the warm-up; the multiplier is for it where the job is supervised only."""
        factor = self.hyperparameters.learning_rate_multiplier if self.method.type == "supervised" else 1.0
        return self.pinetune.warm_up.learning_rate * factor

    def with_grader(self, grader: dict[str, JsonValue]) -> "JobSpec":
        """Return the order with another spelling of its grader."""
        table = self._ordered_method.model_copy(update={"grader": grader})
        return self.model_copy(update={"method": self.method.model_copy(update={self.method.type: table})})

    def without_warm_up(self) -> "JobSpec":
        """Return the order without its warm-up."""
        warm_up = self.pinetune.warm_up.model_copy(update={"epochs": 0})
        return self.model_copy(update={"pinetune": self.pinetune.model_copy(update={"warm_up": warm_up})})


class EvaluationSampling(SamplingSpec):
    """How an evaluation samples: greedily unless said otherwise."""

    temperature: Annotated[float, Field(ge=0, le=10)] = 0.0
    """0 takes the most likely token."""


class EvaluationOrder(SpecModel):
    """What to measure, and how, every default written out."""

    name: Key
    """Name in tables: base, warm_up, fine_tuned …"""
    model: str = Field(min_length=1, max_length=4096)
    """A folder, a hub id, `job:<job id>` or a checkpoint's id."""
    dataset_id: str = Field(min_length=1)
    """Data set id of the items."""
    grader: Grader
    """The grader, as the JSON object of the openai graders API."""
    dataset: DatasetSettings = DatasetSettings()
    """How rows become prompts."""
    sampling: EvaluationSampling = EvaluationSampling()
    """How to sample."""
    vote_samples: int = Field(default=1, ge=1, le=1024)
    """Samples per item for a majority vote, drawn beside the first; 1 means no vote."""
    vote_temperature: float = Field(default=1.0, gt=0, le=10)
    """Temperature of the vote's samples."""
    seed: int = Field(default=42, ge=0, le=SEED_MAX)
    """Fixes the draws."""
    job_id: str = ""
    """The job it belongs to; empty for one asked for by itself."""
    engine: EngineSpec = EngineSpec()
    """Where to compute."""

    @model_validator(mode="after")
    def check_across_fields(self) -> "EvaluationOrder":
        """Refuse more samples than are measured, and replicas that would never be started."""
        if (count := self.sampling.samples_per_prompt) > 1:
            sentence = (
                "must be 1, as an evaluation measures one sample an item; set vote_samples for a majority vote over "
                f"more; it is {count}"
            )
            raise faults_error([Fault("sampling.samples_per_prompt", sentence)])
        if self.engine.max_replicas != self.engine.replicas:
            sentence = (
                f"must be left out or equal engine.replicas, {self.engine.replicas}, as an evaluation has no steps to "
                f"scale by; it is {self.engine.max_replicas}"
            )
            raise faults_error([Fault("engine.max_replicas", sentence)])
        return self
