"""An order is checked whole: same fields as the contract, defaults written out, every fault named."""

import copy
import json
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from pydantic import BaseModel

from pinetune.api.jobs.v1 import jobs_pb2, spec_pb2
from pinetune.jobs.spec import (
    EvaluationOrder,
    JobSpec,
    evaluation_order_from_message,
    evaluation_order_to_message,
    parse_spec_json,
    spec_from_message,
    spec_to_message,
)
from pinetune.jobs.spec.defaults import put
from pinetune.jobs.spec.faults import _table_of
from pinetune.pod.errors import InvalidInput

ORDER: dict[str, Any] = {
    "model": "nano",
    "training_file": "file-1",
    "validation_file": "file-2",
    "method": {
        "type": "reinforcement",
        "reinforcement": {"grader": {"type": "number", "reference": "{{item.answer}}"}},
    },
}
SUPERVISED: dict[str, Any] = {"model": "org/model", "training_file": "file-1", "method": {"type": "supervised"}}


def order(base: dict[str, Any] = ORDER, /, **changes: object) -> str:
    """Return the order as JSON with the fields at the paths (`__` for the dot) changed; None takes one away."""
    table = copy.deepcopy(base)
    for path, value in changes.items():
        put(table, path.replace("__", "."), value)
        *folders, name = path.split("__")
        inner = table
        for folder in folders:
            inner = inner[folder]
        inner[name] = value
    return json.dumps(table)


def refusal_of(text: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse_spec_json(text)
    assert caught.value.reason == "INVALID_SPEC"
    return caught.value


@pytest.mark.parametrize(
    ("model", "descriptor"),
    [(JobSpec, spec_pb2.JobSpec.DESCRIPTOR), (EvaluationOrder, jobs_pb2.EvaluationOrder.DESCRIPTOR)],
)
def test_every_table_has_the_fields_of_its_message(model: type[BaseModel], descriptor: Descriptor) -> None:
    assert set(model.model_fields) == {field.name for field in descriptor.fields}
    for field in descriptor.fields:
        inner = _table_of(model, field.name)
        if field.message_type is None or field.message_type.name in ("GraderSpec", "MetadataEntry"):
            assert inner is None
        else:
            assert inner is not None, field.name
            test_every_table_has_the_fields_of_its_message(inner, field.message_type)


def test_every_field_has_a_docstring() -> None:
    def undescribed(model: type[BaseModel]) -> list[str]:
        found = [f"{model.__name__}.{name}" for name, field in model.model_fields.items() if not field.description]
        inner = [_table_of(model, name) for name in model.model_fields]
        return found + [name for kind in inner if kind is not None for name in undescribed(kind)]

    assert undescribed(JobSpec) == []


def test_the_smallest_order_becomes_concrete() -> None:
    spec = parse_spec_json(order())
    assert spec.hyperparameters.n_epochs == 3
    assert spec.pinetune.algorithm.kl_coefficient == 0.05
    assert spec.pinetune.warm_up.learning_rate == 1e-3
    assert spec.pinetune.algorithm.learning_rate == 1e-4
    assert spec.pinetune.evaluation.test_file == "file-2"
    assert spec.pinetune.nano.width == 256
    assert spec.seed == 42


def test_a_real_model_takes_the_learning_rates_of_the_paper() -> None:
    spec = parse_spec_json(order(model="org/model"))
    assert (spec.pinetune.warm_up.learning_rate, spec.pinetune.algorithm.learning_rate) == (1e-5, 3e-7)


def test_auto_and_null_mean_left_out() -> None:
    path = "method__reinforcement__hyperparameters"
    plain = parse_spec_json(order())
    assert parse_spec_json(order(**{f"{path}__n_epochs": "auto", f"{path}__batch_size": None, "suffix": None})) == plain


def test_checkpoints_follow_the_validations_unless_said_otherwise() -> None:
    follows = order(method__reinforcement__hyperparameters__eval_interval=7)
    assert parse_spec_json(follows).pinetune.checkpoints.interval == 7
    own = order(method__reinforcement__hyperparameters__eval_interval=7, pinetune__checkpoints__interval=2)
    assert parse_spec_json(own).pinetune.checkpoints.interval == 2


def test_a_budget_of_steps_alone_lets_the_items_go_round() -> None:
    assert parse_spec_json(order(pinetune__budget__max_steps=50)).hyperparameters.n_epochs == 100_000
    both = order(pinetune__budget__max_steps=50, method__reinforcement__hyperparameters__n_epochs=2)
    assert parse_spec_json(both).hyperparameters.n_epochs == 2


def test_bfloat16_widens_the_canary_gap() -> None:
    assert parse_spec_json(order(pinetune__engine__dtype="bfloat16")).pinetune.policies.max_canary_gap == 0.1


@pytest.mark.parametrize("left_out", [{}, {"pinetune__engine__max_replicas": None}], ids=["left out", "null"])
def test_replicas_do_not_scale_unless_said_so(left_out: dict[str, object]) -> None:
    engine = parse_spec_json(order(pinetune__engine__replicas=3, **left_out)).pinetune.engine
    assert (engine.replicas, engine.max_replicas, engine.backlog_seconds) == (3, 3, 60.0)
    engine = parse_spec_json(order()).pinetune.engine
    assert (engine.replicas, engine.max_replicas) == (1, 1)
    scaling = order(pinetune__engine={"replicas": 2, "max_replicas": 5, "backlog_seconds": 0.5})
    engine = parse_spec_json(scaling).pinetune.engine
    assert (engine.replicas, engine.max_replicas, engine.backlog_seconds) == (2, 5, 0.5)


def test_an_order_of_an_older_version_does_not_scale() -> None:
    message = spec_to_message(parse_spec_json(order(pinetune__engine__replicas=2)))
    message.pinetune.engine.ClearField("max_replicas")
    message.pinetune.engine.ClearField("backlog_seconds")
    assert spec_from_message(message).pinetune.engine.max_replicas == 2


def test_compute_multiplier_scales_the_samples_per_prompt() -> None:
    text = order(
        pinetune__sampling__samples_per_prompt=4, method__reinforcement__hyperparameters__compute_multiplier=2.5
    )
    assert parse_spec_json(text).group_size == 10


def test_a_labelled_set_for_the_grader_has_defaults_and_survives_its_message() -> None:
    spec = parse_spec_json(order(pinetune__policies__grader_test={"file": "file-3"}))
    test = spec.pinetune.policies.grader_test
    assert test is not None
    assert (test.min_agreement, test.repeats, test.tolerance, test.max_seconds) == (1.0, 3, 1e-6, None)
    assert spec_from_message(spec_to_message(spec)) == spec
    assert parse_spec_json(order()).pinetune.policies.grader_test is None


def test_a_labelled_set_needs_a_file_and_a_grader() -> None:
    refused = refusal_of(order(pinetune__policies__grader_test={"repeats": 2}))
    assert "pinetune.policies.grader_test.file is required" in refused.message
    refused = refusal_of(order(SUPERVISED, pinetune__policies__grader_test={"file": "file-3"}))
    assert refused.metadata["field"] == "pinetune.policies.grader_test"


def test_supervised_epochs_are_the_warm_up_s() -> None:
    spec = parse_spec_json(order(SUPERVISED, method__supervised__hyperparameters__n_epochs=5))
    assert (spec.pinetune.warm_up.epochs, spec.hyperparameters.batch_size) == (5, 48)
    refused = refusal_of(
        order(SUPERVISED, method__supervised__hyperparameters__n_epochs=5, pinetune__warm_up__epochs=2)
    )
    assert refused.metadata["field"] == "pinetune.warm_up.epochs"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pinetune__sampling__temperature": 11}, "pinetune.sampling.temperature must be at most 10; it is 11"),
        ({"seed": -1}, "seed must be at least 0; it is -1"),
        ({"seed": True}, "seed must be a whole number; it is true"),
        ({"pinetune__budget__max_seconds": 0}, "pinetune.budget.max_seconds must be above 0; it is 0"),
        ({"suffix": "s" * 65}, "suffix must have at most 64 characters; it has 65"),
        ({"suffix": "a:b"}, 'suffix must be free of spaces, colons and slashes; it is "a:b"'),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata must have at most 16 entries; it has 17"),
        (
            {"pinetune__algorithm__name": "a3c"},
            "pinetune.algorithm.name must be one of 'ppo', 'grpo', 'rloo', 'reinforce_plus_plus' or 'dr_grpo'; "
            'it is "a3c"',
        ),
        (
            {"pinetune__algorithm__name": ["grpo"]},
            "pinetune.algorithm.name must be one of 'ppo', 'grpo', 'rloo', 'reinforce_plus_plus' or 'dr_grpo'; "
            'it is ["grpo"]',
        ),
        (
            {"pinetune__algorithm__learning_rate": "1e-5"},
            'pinetune.algorithm.learning_rate must be a number; it is "1e-5"; YAML needs the dot: 1.0e-5',
        ),
        ({"pinetune__warm_up": []}, "pinetune.warm_up must be a table (a JSON object); it is []"),
        (
            {"method__reinforcement__hyperparameters__compute_multiplier": 11},
            "method.reinforcement.hyperparameters.compute_multiplier must be at most 10; it is 11",
        ),
        ({"pinetune__algoritm": {}}, "pinetune.algoritm is not known; did you mean pinetune.algorithm?"),
        ({"kl_coefficient": 1}, "kl_coefficient is not known; did you mean pinetune.algorithm.kl_coefficient?"),
        ({"training_file": None}, "training_file is required"),
        ({"validation_file": None}, "validation_file is required for reinforcement"),
        ({"method__reinforcement": None}, "method.reinforcement is required where method.type is reinforcement"),
        (
            {"method__supervised": {}},
            "method.supervised means nothing where method.type is reinforcement; leave it out",
        ),
        ({"pinetune__nano__width": 100}, "pinetune.nano.width must be a multiple of head_count, 8; it is 100"),
        ({"pinetune__nano__width": 72}, "pinetune.nano.width must be an even multiple of head_count, 8; it is 72"),
        (
            {"model": "org/model", "pinetune__nano": {}},
            'pinetune.nano shapes the model `nano` only; model is "org/model"',
        ),
        (
            {"pinetune__nano__max_tokens": 512},
            "pinetune.sampling.max_tokens must be below pinetune.nano.max_tokens, 512, to leave room for the prompt; "
            "it is 512",
        ),
        (
            {"pinetune__algorithm__name": "rloo"},
            "pinetune.sampling.samples_per_prompt must be at least 2 for rloo, which compares the samples of one "
            "prompt; with compute_multiplier it comes to 1",
        ),
        (
            {"pinetune__sampling": {"temperature": 0, "samples_per_prompt": 4}},
            "pinetune.sampling.temperature must be above 0 where a prompt gets 4 samples: at 0 they would all be "
            "the same",
        ),
        (
            {"pinetune__sampling": {"min_tokens": 21, "max_tokens": 20}},
            "pinetune.sampling.min_tokens is wrong: must be at most max_tokens, 20; it is 21",
        ),
        (
            {"pinetune__sampling": {"min_tokens": 21, "max_tokens": "20"}},
            'pinetune.sampling.max_tokens must be a whole number; it is "20"',
        ),
        (
            {"pinetune__algorithm": {"name": "reinforce_plus_plus", "whiten_advantages": False}},
            "pinetune.algorithm.whiten_advantages must be true for reinforce_plus_plus; it is false",
        ),
        (
            {"pinetune__algorithm__mini_batches": 33},
            "pinetune.algorithm.mini_batches must be at most the completions of a step, 32; it is 33",
        ),
        (
            {"pinetune__engine": {"replicas": 4, "max_replicas": 2}},
            "pinetune.engine.max_replicas must be at least pinetune.engine.replicas, 4; it is 2",
        ),
        ({"pinetune__engine__max_replicas": 65}, "pinetune.engine.max_replicas must be at most 64; it is 65"),
        ({"pinetune__engine__replicas": 65}, "pinetune.engine.replicas must be at most 64; it is 65"),
        ({"pinetune__engine__replicas": "two"}, 'pinetune.engine.replicas must be a whole number; it is "two"'),
        (
            {"pinetune__engine__backlog_seconds": 1e-308},
            "pinetune.engine.backlog_seconds must be at least 0.001; it is 1e-308",
        ),
        (
            {"method__reinforcement__response_format": {"json_schema": "{}", "regex": "a"}},
            "method.reinforcement.response_format takes a json_schema or a regex, not both",
        ),
        (
            {"method__reinforcement__response_format": {"json_schema": "[1]"}},
            "method.reinforcement.response_format.json_schema must be a JSON Schema, an object; it is [1]",
        ),
        (
            {"method__reinforcement__response_format": {"json_schema": '{"type": "object"'}},
            "method.reinforcement.response_format.json_schema is no JSON: Expecting ',' delimiter: line 1 column 18 "
            "(char 17)",
        ),
        (
            {"method__reinforcement__response_format": {"regex": "ä" * 32_769}},
            "method.reinforcement.response_format.regex must have at most 65536 bytes; it has 65538",
        ),
        (
            {"method__reinforcement__response_format": {"regex": "a"}, "pinetune__sampling__stop": ["x"]},
            "pinetune.sampling.stop must be empty where method.reinforcement.response_format is given, whose shape it "
            'would cut; it is ["x"]',
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_fault_names_the_field_the_limit_and_the_value(changes: dict[str, object], sentence: str) -> None:
    refused = refusal_of(order(**changes))
    assert refused.message == sentence
    assert sentence.startswith(refused.metadata["field"])


def test_all_faults_are_in_one_message() -> None:
    refused = refusal_of(order(seed=-1, suffix="a b", pinetune__engine__replicas=0))
    assert [line.split()[0] for line in refused.message.splitlines()] == ["suffix", "seed", "pinetune.engine.replicas"]


def test_faults_beyond_what_a_status_can_carry_are_counted() -> None:
    refused = refusal_of(order(metadata={f"key-{n}": n for n in range(500)}))
    last = refused.message.splitlines()[-1]
    listed = len(refused.message.splitlines()) - 1
    assert last == f"and {500 - listed} more faults"
    assert len(refused.message) < 1500


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "is not JSON"),
        ('{"seed": NaN}', "NaN is not a number in JSON"),
        ('{"seed": 1, "seed": 2}', "the key 'seed' occurs twice"),
        ("[]", "must be a JSON object"),
        ("[" * 100_000, "is not JSON"),
    ],
    ids=["cut off", "nan", "twice", "list", "deep"],
)
def test_what_is_no_json_object_is_refused(text: str, part: str) -> None:
    assert part in refusal_of(text).message


@pytest.mark.parametrize(
    ("form", "part"),
    [
        ({"type": "json_object"}, "type must be one of text, json_schema, regex; it is 'json_object'"),
        ({"type": "regexx", "regex": "a"}, "it is 'regexx'"),
        ({"type": "json_schema"}, "json_schema is required where type is json_schema"),
        ({"type": "regex"}, "regex is required where type is regex"),
        ({"json_schema": {"name": "answer", "strict": True}}, "json_schema.schema is required"),
        (
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": "text"}},
            "json_schema.schema is required",
        ),
    ],
)
def test_a_response_format_that_gives_no_shape_is_refused(form: dict[str, object], part: str) -> None:
    assert part in refusal_of(order(method__reinforcement__response_format=form)).message


@pytest.mark.parametrize(
    "text", ['{"type": NaN}', '{"a": 1, "a": 2}', '{"items":' * 5000 + "{}" + "}" * 5000], ids=["nan", "twice", "deep"]
)
def test_a_schema_whose_text_is_no_json_is_refused(text: str) -> None:
    refused = refusal_of(order(method__reinforcement__response_format={"json_schema": text}))
    assert refused.message.startswith("method.reinforcement.response_format.json_schema is no JSON: ")
    assert len(refused.message) < 300


@pytest.mark.parametrize("form", ["wrapped", "without a name", "flat", "text"])
def test_a_schema_is_read_in_each_form_that_openai_clients_send(form: str) -> None:
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    forms = {
        "wrapped": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}},
        "without a name": {"json_schema": {"strict": True, "schema": schema}},
        "flat": {"type": "json_schema", "name": "answer", "strict": True, "schema": schema},
        "text": {"json_schema": json.dumps(schema, sort_keys=True)},
    }
    spec = parse_spec_json(order(method__reinforcement__response_format=forms[form]))
    assert spec.method.reinforcement is not None
    assert json.loads(spec.method.reinforcement.response_format.json_schema) == schema


@pytest.mark.parametrize(
    "text",
    [
        order(),
        order(model="org/model", metadata={"team": "a"}, pinetune__sampling__stop=["\n\n"]),
        order(pinetune__budget__max_steps=5, pinetune__dataset__refuse_prompt_overlap=False),
        order(method__reinforcement__response_format={"regex": "a+"}, pinetune__warm_up__epochs=0),
        order(SUPERVISED),
    ],
    ids=["nano", "hub", "budget", "regex", "supervised"],
)
def test_an_order_survives_the_way_through_its_message(text: str) -> None:
    spec = parse_spec_json(text)
    message = spec_pb2.JobSpec.FromString(spec_to_message(spec).SerializeToString())
    assert spec_from_message(message) == spec


def test_a_typed_grader_has_to_be_normalised_first() -> None:
    message = spec_to_message(parse_spec_json(order()))
    message.method.reinforcement.grader.grader.name = "typed"
    with pytest.raises(InvalidInput, match=r"method\.reinforcement\.grader must be given as JSON"):
        spec_from_message(message)


def test_an_evaluation_samples_greedily_unless_said_otherwise() -> None:
    message = jobs_pb2.EvaluationOrder(name="base", model="nano", dataset_id="file-1")
    message.grader.json = '{"type": "number"}'
    evaluation = evaluation_order_from_message(message)
    assert (evaluation.sampling.temperature, evaluation.vote_samples) == (0.0, 1)
    assert evaluation_order_from_message(evaluation_order_to_message(evaluation)) == evaluation


def test_an_evaluation_measures_one_sample_an_item() -> None:
    message = jobs_pb2.EvaluationOrder(name="base", model="org/name", dataset_id="file-1")
    message.grader.json = '{"type": "number"}'
    message.sampling.samples_per_prompt = 4
    with pytest.raises(InvalidInput) as caught:
        evaluation_order_from_message(message)
    assert caught.value.message == (
        "sampling.samples_per_prompt must be 1, as an evaluation measures one sample an item; set vote_samples for a "
        "majority vote over more; it is 4"
    )
    assert (caught.value.reason, caught.value.metadata["field"]) == (
        "INVALID_EVALUATION",
        "sampling.samples_per_prompt",
    )


def test_an_evaluation_has_no_steps_to_scale_its_replicas_by() -> None:
    message = jobs_pb2.EvaluationOrder(name="base", model="org/name", dataset_id="file-1")
    message.grader.json = '{"type": "number"}'
    message.engine.replicas = 2
    assert evaluation_order_from_message(message).engine.max_replicas == 2
    message.engine.max_replicas = 4
    with pytest.raises(InvalidInput) as caught:
        evaluation_order_from_message(message)
    assert caught.value.message == (
        "engine.max_replicas must be left out or equal engine.replicas, 2, as an evaluation has no steps to scale by; "
        "it is 4"
    )
    assert caught.value.metadata["field"] == "engine.max_replicas"
