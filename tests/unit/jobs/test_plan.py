"""What the learner is opened with, from the order."""

import json

import pytest

from pinetune.client.prompts import Message
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


@pytest.mark.parametrize(
    ("name", "whitened", "length_normalised"),
    [
        ("ppo", True, True),
        # DeepSeekMath: the group's mean and deviation, each answer's tokens averaged first.
        ("grpo", False, True),
        # Dr. GRPO: neither deviation nor length.
        ("dr_grpo", False, False),
        # RLOO: the whole answer is one action, and its log-probability the sum over its tokens.
        ("rloo", False, False),
        # REINFORCE++: advantages over the batch's deviation.
        ("reinforce_plus_plus", True, True),
    ],
)
def test_each_algorithm_has_the_defaults_of_its_paper(name: str, whitened: bool, length_normalised: bool) -> None:
    update = plan_of(algorithm={"name": name}, sampling={"samples_per_prompt": 2}).open_request(1).update
    assert (update.whiten_advantages, update.length_normalised) == (whitened, length_normalised)


@pytest.mark.parametrize("chosen", [True, False])
@pytest.mark.parametrize("name", ["ppo", "grpo", "dr_grpo", "rloo", "reinforce_plus_plus"])
def test_what_the_order_says_wins_over_the_paper(name: str, chosen: bool) -> None:
    # REINFORCE++ is whitening: an order for one without the other is refused.
    whitened = chosen or name == "reinforce_plus_plus"
    said = {"name": name, "whiten_advantages": whitened, "length_normalised": chosen}
    update = plan_of(algorithm=said, sampling={"samples_per_prompt": 2}).open_request(1).update
    assert (update.whiten_advantages, update.length_normalised) == (whitened, chosen)
