"""What a user orders, checked and concrete: unknown keys refused, every fault named with its field, limit and value."""

from pinetune.jobs.spec.faults import Fault, refusal
from pinetune.jobs.spec.order import (
    NANO,
    EvaluationOrder,
    Hyperparameters,
    JobSpec,
    Method,
    ReinforcementMethod,
    ResponseFormat,
    SupervisedMethod,
)
from pinetune.jobs.spec.settings import (
    AlgorithmSpec,
    BudgetSpec,
    CheckpointSpec,
    DatasetSettings,
    EngineSpec,
    EvaluationSpec,
    NanoSettings,
    PinetuneSettings,
    PolicySpec,
    SamplingSpec,
    WarmUpSpec,
)
from pinetune.jobs.spec.spelling import (
    dataset_settings_from_message,
    evaluation_order_from_message,
    evaluation_order_to_message,
    parse_spec_json,
    spec_from_message,
    spec_to_message,
)

__all__ = [
    "NANO",
    "AlgorithmSpec",
    "BudgetSpec",
    "CheckpointSpec",
    "DatasetSettings",
    "EngineSpec",
    "EvaluationOrder",
    "EvaluationSpec",
    "Fault",
    "Hyperparameters",
    "JobSpec",
    "Method",
    "NanoSettings",
    "PinetuneSettings",
    "PolicySpec",
    "ReinforcementMethod",
    "ResponseFormat",
    "SamplingSpec",
    "SupervisedMethod",
    "WarmUpSpec",
    "dataset_settings_from_message",
    "evaluation_order_from_message",
    "evaluation_order_to_message",
    "parse_spec_json",
    "refusal",
    "spec_from_message",
    "spec_to_message",
]
