"""What is wrong with an order although every field of it is right by itself."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pinetune.client import strict_json
from pinetune.client.prompts import FORMAT_BYTES_MAX
from pinetune.jobs.spec.faults import Fault, shown

if TYPE_CHECKING:
    from pinetune.jobs.spec.order import JobSpec, ResponseFormat

GROUP_ALGORITHMS = ("grpo", "rloo", "dr_grpo")
"""Algorithms that compare the samples of one prompt with each other."""


def order_faults(spec: "JobSpec") -> Iterator[Fault]:
    """Yield every fault that takes more than one field to see."""
    yield from _method_faults(spec)
    if spec.method.type == "reinforcement" and spec.method.reinforcement is not None:
        yield from _reinforcement_faults(spec)
    if spec.method.type == "supervised" and spec.method.supervised is not None:
        yield from _supervised_faults(spec)
    yield from _nano_faults(spec)
    yield from _engine_faults(spec)


def _method_faults(spec: "JobSpec") -> Iterator[Fault]:
    kind = spec.method.type
    other = "supervised" if kind == "reinforcement" else "reinforcement"
    if getattr(spec.method, kind) is None:
        yield Fault(f"method.{kind}", f"is required where method.type is {kind}")
    if getattr(spec.method, other) is not None:
        yield Fault(f"method.{other}", f"means nothing where method.type is {kind}; leave it out")


def _response_format_faults(given: "ResponseFormat", stop: Sequence[str]) -> Iterator[Fault]:
    """Yield what can be seen without the model; whether its tokens can keep the shape, generation says later."""
    field = "method.reinforcement.response_format"
    if given.json_schema and given.regex:
        yield Fault(field, "takes a json_schema or a regex, not both")
    for kind, text in (("json_schema", given.json_schema), ("regex", given.regex)):
        if (size := len(text.encode())) > FORMAT_BYTES_MAX:
            yield Fault(f"{field}.{kind}", f"must have at most {FORMAT_BYTES_MAX} bytes; it has {size}")
    if given.json_schema:
        try:
            schema = strict_json.parse(given.json_schema)
        except (ValueError, RecursionError) as error:
            yield Fault(f"{field}.json_schema", f"is no JSON: {error}")
        else:
            if not isinstance(schema, dict):
                yield Fault(f"{field}.json_schema", f"must be a JSON Schema, an object; it is {shown(schema)}")
    if stop and (given.json_schema or given.regex):
        yield Fault(
            "pinetune.sampling.stop",
            f"must be empty where {field} is given, whose shape it would cut; it is {shown(list(stop))}",
        )


def _reinforcement_faults(spec: "JobSpec") -> Iterator[Fault]:
    sampling, algorithm = spec.pinetune.sampling, spec.pinetune.algorithm
    if not spec.validation_file:
        yield Fault("validation_file", "is required for reinforcement")
    if spec.method.reinforcement is not None:
        yield from _response_format_faults(spec.method.reinforcement.response_format, sampling.stop)
    if algorithm.name in GROUP_ALGORITHMS and spec.group_size < 2:
        yield Fault(
            "pinetune.sampling.samples_per_prompt",
            f"must be at least 2 for {algorithm.name}, which compares the samples of one prompt; with "
            f"compute_multiplier it comes to {spec.group_size}",
        )
    if sampling.temperature == 0 and spec.group_size > 1:
        yield Fault(
            "pinetune.sampling.temperature",
            f"must be above 0 where a prompt gets {spec.group_size} samples: at 0 they would all be the same",
        )
    if algorithm.name == "reinforce_plus_plus" and not algorithm.whiten_advantages:
        yield Fault("pinetune.algorithm.whiten_advantages", "must be true for reinforce_plus_plus; it is false")
    completion_count = spec.hyperparameters.batch_size * spec.group_size
    if algorithm.mini_batches > completion_count:
        yield Fault(
            "pinetune.algorithm.mini_batches",
            f"must be at most the completions of a step, {completion_count}; it is {algorithm.mini_batches}",
        )


def _supervised_faults(spec: "JobSpec") -> Iterator[Fault]:
    warm_up, hyperparameters = spec.pinetune.warm_up, spec.hyperparameters
    for ours, openai, value, wanted in (
        ("epochs", "n_epochs", warm_up.epochs, hyperparameters.n_epochs),
        ("batch_size", "batch_size", warm_up.batch_size, hyperparameters.batch_size),
    ):
        if value != wanted:
            yield Fault(
                f"pinetune.warm_up.{ours}",
                f"must equal hyperparameters.{openai} for supervised training, {wanted}; it is {value}",
            )
    if spec.grader is None and spec.pinetune.policies.grader_test is not None:
        yield Fault("pinetune.policies.grader_test", "means nothing without method.supervised.grader; leave it out")
    if spec.grader is not None and not spec.validation_file:
        yield Fault("validation_file", "is required where method.supervised.grader is to measure it")


def _engine_faults(spec: "JobSpec") -> Iterator[Fault]:
    engine = spec.pinetune.engine
    if engine.max_replicas < engine.replicas:
        yield Fault(
            "pinetune.engine.max_replicas",
            f"must be at least pinetune.engine.replicas, {engine.replicas}; it is {engine.max_replicas}",
        )


def _nano_faults(spec: "JobSpec") -> Iterator[Fault]:
    nano = spec.pinetune.nano
    if not spec.is_nano:
        if "nano" in spec.pinetune.model_fields_set:
            yield Fault("pinetune.nano", f"shapes the model `nano` only; model is {shown(spec.model)}")
        return
    if nano.width % nano.head_count:
        yield Fault("pinetune.nano.width", f"must be a multiple of head_count, {nano.head_count}; it is {nano.width}")
    elif (nano.width // nano.head_count) % 2:
        # Rotary position embeddings turn pairs of numbers.
        yield Fault(
            "pinetune.nano.width",
            f"must be an even multiple of head_count, {nano.head_count}; it is {nano.width}",
        )
    if spec.pinetune.sampling.max_tokens >= nano.max_tokens:
        yield Fault(
            "pinetune.sampling.max_tokens",
            f"must be below pinetune.nano.max_tokens, {nano.max_tokens}, to leave room for the prompt; "
            f"it is {spec.pinetune.sampling.max_tokens}",
        )
