"""Defaults of an order that depend on its other fields, written into the table before it is checked.

Nothing here judges: a table of the wrong shape is left as it is, for the models to refuse.
"""

import copy
from collections.abc import Mapping
from typing import Any

NANO_WARM_UP_LEARNING_RATE = 1e-3
NANO_UPDATE_LEARNING_RATE = 1e-4
BFLOAT16_CANARY_GAP = 0.1
N_EPOCHS, N_EPOCHS_MAX = 3, 100_000
EVAL_INTERVAL = 10
WARM_UP_BATCH_SIZE = 48

ALGORITHM_DEFAULTS: Mapping[str, Mapping[str, bool]] = {
    # Shao et al. 2024 (DeepSeekMath, 2402.03300): the group's own deviation is the scale, so the batch's is not.
    "grpo": {"whiten_advantages": False, "length_normalised": True},
    # Liu et al. 2025 (2503.20783): no deviation and no length, both of which bias what is learnt.
    "dr_grpo": {"whiten_advantages": False, "length_normalised": False},
    # Ahmadian et al. 2024 (2402.14740): a completion is one action, its log-probability the sum over its tokens.
    "rloo": {"whiten_advantages": False, "length_normalised": False},
    # Hu et al. 2025 (2501.03262): whitening over the batch is the algorithm.
    "reinforce_plus_plus": {"whiten_advantages": True, "length_normalised": True},
}
"""What the papers of the other algorithms have otherwise than PPO, or have like it for another reason."""


def with_dependent_defaults(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the order in which the defaults that depend on other fields are written out."""
    order = copy.deepcopy(dict(raw))
    if order.get("model") == "nano":
        put(order, "pinetune.warm_up.learning_rate", NANO_WARM_UP_LEARNING_RATE)
        put(order, "pinetune.algorithm.learning_rate", NANO_UPDATE_LEARNING_RATE)
    for name, value in ALGORITHM_DEFAULTS.get(str(given(order, "pinetune.algorithm.name")), {}).items():
        put(order, f"pinetune.algorithm.{name}", value)
    if given(order, "pinetune.engine.dtype") == "bfloat16":
        put(order, "pinetune.policies.max_canary_gap", BFLOAT16_CANARY_GAP)
    if validation_file := given(order, "validation_file"):
        put(order, "pinetune.evaluation.test_file", validation_file)
    kind = given(order, "method.type")
    if kind == "supervised":
        _fill_supervised(order)
    elif kind == "reinforcement" and given(order, "pinetune.budget.max_steps") is not None:
        # The budget alone says when to stop; the items go round as often as that takes.
        put(order, "method.reinforcement.hyperparameters.n_epochs", N_EPOCHS_MAX)
    interval = given(order, f"method.{kind}.hyperparameters.eval_interval")
    put(order, "pinetune.checkpoints.interval", EVAL_INTERVAL if interval is None else interval)
    return order


def _fill_supervised(order: dict[str, Any]) -> None:
    """A supervised job is a warm-up and nothing else: the openai fields and the warm-up's speak of the same passes."""
    put(order, "method.supervised.hyperparameters", {})
    for openai, ours, default in (("n_epochs", "epochs", N_EPOCHS), ("batch_size", "batch_size", WARM_UP_BATCH_SIZE)):
        openai_path, our_path = f"method.supervised.hyperparameters.{openai}", f"pinetune.warm_up.{ours}"
        value = given(order, openai_path)
        if value is None:
            value = given(order, our_path)
        put(order, openai_path, default if value is None else value)
        put(order, our_path, default if value is None else value)


def given(order: Mapping[str, Any], path: str) -> Any:
    """Return the value at the dotted `path`; None where it is left out, null or `auto`."""
    value: Any = order
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return None if value == "auto" and ".hyperparameters." in path else value


def put(order: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at the dotted `path` unless one is given, making the tables on the way."""
    *folders, name = path.split(".")
    table: Any = order
    for folder in folders:
        if table.get(folder) is None:
            table[folder] = {}
        table = table[folder]
        if not isinstance(table, dict):
            return
    if given(order, path) is None:
        table[name] = value
