"""What the learner is opened with, from the order."""

import json

import pytest

from pinetune.client.generation import Message
from pinetune.jobs.dataset import Item
from pinetune.jobs.plan import Plan
from pinetune.jobs.spec import parse_spec_json

GRADER = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "x", "operation": "eq"}


def plan_of(**pinetune: object) -> Plan:
    order = {
        "model": "org/model",
        "training_file": "t",
        "validation_file": "v",
        "method": {"type": "reinforcement", "reinforcement": {"grader": GRADER}},
        "pinetune": pinetune,
    }
    items = [Item("a", 1, (Message("user", "a?"),), (), "{}", "x", "so x")]
    return Plan("ftjob-1", parse_spec_json(json.dumps(order)), "/artifacts", "org/model", items, items, items)


@pytest.mark.parametrize(("dtype", "autocast"), [("float32", False), ("bfloat16", True)])
def test_bfloat16_samplers_mean_passes_in_bfloat16(dtype: str, autocast: bool) -> None:
    compute = plan_of(engine={"dtype": dtype}).open_request(1).compute
    assert (compute.dtype, compute.autocast) == (dtype, autocast)
