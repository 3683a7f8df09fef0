"""The two spellings of an order, JSON in the openai API's form and messages, read into the same models.

The grader's typed spelling is not read here: only the grading service knows it. The jobs service has it normalised
to JSON first (ValidateGrader).
"""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message
from pydantic import ValidationError

from pinetune.api.grading.v1.grading_pb2 import GraderSpec
from pinetune.api.jobs.v1 import jobs_pb2, spec_pb2
from pinetune.client import strict_json
from pinetune.jobs.spec.faults import Fault, faults_of, refusal
from pinetune.jobs.spec.order import EvaluationOrder, JobSpec
from pinetune.jobs.spec.settings import DatasetSettings, SpecModel
from pinetune.pod.errors import InvalidInput

M = TypeVar("M", bound=SpecModel)


def parse_spec_json(text: str) -> JobSpec:
    """Read an order from JSON text; raises InvalidInput INVALID_SPEC with a line for each fault."""
    return validated(JobSpec, parse_json(text, "the order"))


def spec_from_message(message: spec_pb2.JobSpec) -> JobSpec:
    """Read an order from its message; raises InvalidInput INVALID_SPEC with a line for each fault."""
    return validated(JobSpec, _table(message))


def spec_to_message(spec: JobSpec) -> spec_pb2.JobSpec:
    """Spell an order as a message, every default written out."""
    message = spec_pb2.JobSpec()
    _fill(message, spec)
    if not spec.is_nano:
        message.pinetune.ClearField("nano")
    return message


def evaluation_order_from_message(message: jobs_pb2.EvaluationOrder) -> EvaluationOrder:
    """Read what to measure from its message; raises InvalidInput INVALID_EVALUATION with a line for each fault."""
    return validated(EvaluationOrder, _table(message), reason="INVALID_EVALUATION")


def evaluation_order_to_message(order: EvaluationOrder) -> jobs_pb2.EvaluationOrder:
    """Spell what to measure as a message, every default written out."""
    message = jobs_pb2.EvaluationOrder()
    _fill(message, order)
    return message


def dataset_settings_from_message(message: spec_pb2.DatasetSettings) -> DatasetSettings:
    """Read how rows become prompts; raises InvalidInput INVALID_SPEC with a line for each fault."""
    return validated(DatasetSettings, _table(message))


def grader_json_of(message: GraderSpec, path: str) -> str:
    """Return the grader's JSON; raises InvalidInput where it is spelt otherwise or not at all."""
    if message.WhichOneof("spelling") != "json":
        raise refusal([Fault(path, "must be given as JSON here; a typed grader has to be normalised first")])
    return message.json


def validated(kind: type[M], table: object, *, reason: str = "INVALID_SPEC") -> M:
    """Return the model that the table spells; raises InvalidInput with a line for each fault."""
    if not isinstance(table, Mapping):
        raise refusal([Fault("", f"the order must be a JSON object; it is a {type(table).__name__}")], reason=reason)
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        raise refusal(list(faults_of(error, kind)), reason=reason) from None


def parse_json(text: str, what: str) -> object:
    """Parse JSON as the standard has it: no NaN, no key twice; raises InvalidInput INVALID_SPEC that says where."""
    try:
        return strict_json.parse(text)
    except strict_json.UnfitError as error:
        raise InvalidInput(f"{what}: {error}", reason="INVALID_SPEC", field=error.path) from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{what} is not JSON: {error}", reason="INVALID_SPEC", field="") from None


def _table(message: Message, prefix: str = "") -> dict[str, Any]:
    """Return the fields that the message sets, as the table that its JSON spelling would be."""
    table: dict[str, Any] = {}
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            table[field.name] = dict(value)
        elif isinstance(value, GraderSpec):
            table[field.name] = parse_json(grader_json_of(value, path), path)
        elif isinstance(value, Message):
            table[field.name] = _table(value, f"{path}.")
        else:
            table[field.name] = value if isinstance(value, (str, bytes, int, float)) else list(value)
    return table


def _fill(message: Message, model: SpecModel) -> None:
    """Write every concrete field of the model into the message."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        field = message.DESCRIPTOR.fields_by_name[name]
        if value is None or (value == "" and field.containing_oneof is not None):
            continue
        if isinstance(value, SpecModel):
            target = getattr(message, name)
            target.SetInParent()
            _fill(target, value)
        elif field.message_type is GraderSpec.DESCRIPTOR:
            getattr(message, name).json = json.dumps(value, sort_keys=True, ensure_ascii=False)
        elif isinstance(value, dict):
            getattr(message, name).update(value)
        elif isinstance(value, tuple):
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)
