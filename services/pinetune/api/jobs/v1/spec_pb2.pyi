from pinetune.api.generation.v1 import generation_pb2 as _generation_pb2
from pinetune.api.grading.v1 import grading_pb2 as _grading_pb2
from pinetune.api.learning.v1 import learning_pb2 as _learning_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobSpec(_message.Message):
    __slots__ = ("model", "training_file", "validation_file", "method", "suffix", "seed", "metadata", "pinetune")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TRAINING_FILE_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_FILE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    SUFFIX_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PINETUNE_FIELD_NUMBER: _ClassVar[int]
    model: str
    training_file: str
    validation_file: str
    method: Method
    suffix: str
    seed: int
    metadata: _containers.ScalarMap[str, str]
    pinetune: PinetuneSettings
    def __init__(self, model: _Optional[str] = ..., training_file: _Optional[str] = ..., validation_file: _Optional[str] = ..., method: _Optional[_Union[Method, _Mapping]] = ..., suffix: _Optional[str] = ..., seed: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ..., pinetune: _Optional[_Union[PinetuneSettings, _Mapping]] = ...) -> None: ...

class Method(_message.Message):
    __slots__ = ("type", "reinforcement", "supervised")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    REINFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    SUPERVISED_FIELD_NUMBER: _ClassVar[int]
    type: str
    reinforcement: ReinforcementMethod
    supervised: SupervisedMethod
    def __init__(self, type: _Optional[str] = ..., reinforcement: _Optional[_Union[ReinforcementMethod, _Mapping]] = ..., supervised: _Optional[_Union[SupervisedMethod, _Mapping]] = ...) -> None: ...

class ReinforcementMethod(_message.Message):
    __slots__ = ("grader", "response_format", "hyperparameters")
    GRADER_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    HYPERPARAMETERS_FIELD_NUMBER: _ClassVar[int]
    grader: _grading_pb2.GraderSpec
    response_format: _generation_pb2.ResponseFormat
    hyperparameters: Hyperparameters
    def __init__(self, grader: _Optional[_Union[_grading_pb2.GraderSpec, _Mapping]] = ..., response_format: _Optional[_Union[_generation_pb2.ResponseFormat, _Mapping]] = ..., hyperparameters: _Optional[_Union[Hyperparameters, _Mapping]] = ...) -> None: ...

class SupervisedMethod(_message.Message):
    __slots__ = ("hyperparameters", "grader")
    HYPERPARAMETERS_FIELD_NUMBER: _ClassVar[int]
    GRADER_FIELD_NUMBER: _ClassVar[int]
    hyperparameters: Hyperparameters
    grader: _grading_pb2.GraderSpec
    def __init__(self, hyperparameters: _Optional[_Union[Hyperparameters, _Mapping]] = ..., grader: _Optional[_Union[_grading_pb2.GraderSpec, _Mapping]] = ...) -> None: ...

class Hyperparameters(_message.Message):
    __slots__ = ("n_epochs", "batch_size", "learning_rate_multiplier", "eval_interval", "eval_samples", "compute_multiplier", "reasoning_effort")
    N_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    EVAL_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    EVAL_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    REASONING_EFFORT_FIELD_NUMBER: _ClassVar[int]
    n_epochs: int
    batch_size: int
    learning_rate_multiplier: float
    eval_interval: int
    eval_samples: int
    compute_multiplier: float
    reasoning_effort: str
    def __init__(self, n_epochs: _Optional[int] = ..., batch_size: _Optional[int] = ..., learning_rate_multiplier: _Optional[float] = ..., eval_interval: _Optional[int] = ..., eval_samples: _Optional[int] = ..., compute_multiplier: _Optional[float] = ..., reasoning_effort: _Optional[str] = ...) -> None: ...

class PinetuneSettings(_message.Message):
    __slots__ = ("dataset", "warm_up", "sampling", "algorithm", "evaluation", "checkpoints", "budget", "policies", "engine", "nano")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    WARM_UP_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    NANO_FIELD_NUMBER: _ClassVar[int]
    dataset: DatasetSettings
    warm_up: WarmUpSpec
    sampling: SamplingSpec
    algorithm: AlgorithmSpec
    evaluation: EvaluationSpec
    checkpoints: CheckpointSpec
    budget: BudgetSpec
    policies: PolicySpec
    engine: EngineSpec
    nano: _learning_pb2.NanoSettings
    def __init__(self, dataset: _Optional[_Union[DatasetSettings, _Mapping]] = ..., warm_up: _Optional[_Union[WarmUpSpec, _Mapping]] = ..., sampling: _Optional[_Union[SamplingSpec, _Mapping]] = ..., algorithm: _Optional[_Union[AlgorithmSpec, _Mapping]] = ..., evaluation: _Optional[_Union[EvaluationSpec, _Mapping]] = ..., checkpoints: _Optional[_Union[CheckpointSpec, _Mapping]] = ..., budget: _Optional[_Union[BudgetSpec, _Mapping]] = ..., policies: _Optional[_Union[PolicySpec, _Mapping]] = ..., engine: _Optional[_Union[EngineSpec, _Mapping]] = ..., nano: _Optional[_Union[_learning_pb2.NanoSettings, _Mapping]] = ...) -> None: ...

class DatasetSettings(_message.Message):
    __slots__ = ("prompt", "system", "reference", "chain_of_thought", "hidden", "refuse_answer_overlap", "refuse_prompt_overlap")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    CHAIN_OF_THOUGHT_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_FIELD_NUMBER: _ClassVar[int]
    REFUSE_ANSWER_OVERLAP_FIELD_NUMBER: _ClassVar[int]
    REFUSE_PROMPT_OVERLAP_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    system: str
    reference: str
    chain_of_thought: str
    hidden: _containers.RepeatedScalarFieldContainer[str]
    refuse_answer_overlap: bool
    refuse_prompt_overlap: bool
    def __init__(self, prompt: _Optional[str] = ..., system: _Optional[str] = ..., reference: _Optional[str] = ..., chain_of_thought: _Optional[str] = ..., hidden: _Optional[_Iterable[str]] = ..., refuse_answer_overlap: bool = ..., refuse_prompt_overlap: bool = ...) -> None: ...

class WarmUpSpec(_message.Message):
    __slots__ = ("epochs", "batch_size", "learning_rate", "warm_up_ratio", "schedule", "weight_decay", "max_gradient_norm", "beta2")
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    WARM_UP_RATIO_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_DECAY_FIELD_NUMBER: _ClassVar[int]
    MAX_GRADIENT_NORM_FIELD_NUMBER: _ClassVar[int]
    BETA2_FIELD_NUMBER: _ClassVar[int]
    epochs: int
    batch_size: int
    learning_rate: float
    warm_up_ratio: float
    schedule: str
    weight_decay: float
    max_gradient_norm: float
    beta2: float
    def __init__(self, epochs: _Optional[int] = ..., batch_size: _Optional[int] = ..., learning_rate: _Optional[float] = ..., warm_up_ratio: _Optional[float] = ..., schedule: _Optional[str] = ..., weight_decay: _Optional[float] = ..., max_gradient_norm: _Optional[float] = ..., beta2: _Optional[float] = ...) -> None: ...

class SamplingSpec(_message.Message):
    __slots__ = ("samples_per_prompt", "temperature", "top_p", "top_k", "max_tokens", "stop", "min_tokens")
    SAMPLES_PER_PROMPT_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    MIN_TOKENS_FIELD_NUMBER: _ClassVar[int]
    samples_per_prompt: int
    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    stop: _containers.RepeatedScalarFieldContainer[str]
    min_tokens: int
    def __init__(self, samples_per_prompt: _Optional[int] = ..., temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., top_k: _Optional[int] = ..., max_tokens: _Optional[int] = ..., stop: _Optional[_Iterable[str]] = ..., min_tokens: _Optional[int] = ...) -> None: ...

class AlgorithmSpec(_message.Message):
    __slots__ = ("name", "learning_rate", "warm_up_ratio", "schedule", "weight_decay", "max_gradient_norm", "gamma", "gae_lambda", "whiten_advantages", "clip_range", "value_clip_range", "value_coefficient", "kl_coefficient", "entropy_coefficient", "ppo_epochs", "mini_batches", "length_normalised", "value_head", "beta2")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    WARM_UP_RATIO_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_DECAY_FIELD_NUMBER: _ClassVar[int]
    MAX_GRADIENT_NORM_FIELD_NUMBER: _ClassVar[int]
    GAMMA_FIELD_NUMBER: _ClassVar[int]
    GAE_LAMBDA_FIELD_NUMBER: _ClassVar[int]
    WHITEN_ADVANTAGES_FIELD_NUMBER: _ClassVar[int]
    CLIP_RANGE_FIELD_NUMBER: _ClassVar[int]
    VALUE_CLIP_RANGE_FIELD_NUMBER: _ClassVar[int]
    VALUE_COEFFICIENT_FIELD_NUMBER: _ClassVar[int]
    KL_COEFFICIENT_FIELD_NUMBER: _ClassVar[int]
    ENTROPY_COEFFICIENT_FIELD_NUMBER: _ClassVar[int]
    PPO_EPOCHS_FIELD_NUMBER: _ClassVar[int]
    MINI_BATCHES_FIELD_NUMBER: _ClassVar[int]
    LENGTH_NORMALISED_FIELD_NUMBER: _ClassVar[int]
    VALUE_HEAD_FIELD_NUMBER: _ClassVar[int]
    BETA2_FIELD_NUMBER: _ClassVar[int]
    name: str
    learning_rate: float
    warm_up_ratio: float
    schedule: str
    weight_decay: float
    max_gradient_norm: float
    gamma: float
    gae_lambda: float
    whiten_advantages: bool
    clip_range: float
    value_clip_range: float
    value_coefficient: float
    kl_coefficient: float
    entropy_coefficient: float
    ppo_epochs: int
    mini_batches: int
    length_normalised: bool
    value_head: str
    beta2: float
    def __init__(self, name: _Optional[str] = ..., learning_rate: _Optional[float] = ..., warm_up_ratio: _Optional[float] = ..., schedule: _Optional[str] = ..., weight_decay: _Optional[float] = ..., max_gradient_norm: _Optional[float] = ..., gamma: _Optional[float] = ..., gae_lambda: _Optional[float] = ..., whiten_advantages: bool = ..., clip_range: _Optional[float] = ..., value_clip_range: _Optional[float] = ..., value_coefficient: _Optional[float] = ..., kl_coefficient: _Optional[float] = ..., entropy_coefficient: _Optional[float] = ..., ppo_epochs: _Optional[int] = ..., mini_batches: _Optional[int] = ..., length_normalised: bool = ..., value_head: _Optional[str] = ..., beta2: _Optional[float] = ...) -> None: ...

class EvaluationSpec(_message.Message):
    __slots__ = ("test_file", "temperature", "vote_samples", "vote_temperature", "final_comparison")
    TEST_FILE_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    VOTE_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    VOTE_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    FINAL_COMPARISON_FIELD_NUMBER: _ClassVar[int]
    test_file: str
    temperature: float
    vote_samples: int
    vote_temperature: float
    final_comparison: bool
    def __init__(self, test_file: _Optional[str] = ..., temperature: _Optional[float] = ..., vote_samples: _Optional[int] = ..., vote_temperature: _Optional[float] = ..., final_comparison: bool = ...) -> None: ...

class CheckpointSpec(_message.Message):
    __slots__ = ("keep_best", "interval")
    KEEP_BEST_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    keep_best: int
    interval: int
    def __init__(self, keep_best: _Optional[int] = ..., interval: _Optional[int] = ...) -> None: ...

class BudgetSpec(_message.Message):
    __slots__ = ("max_steps", "max_seconds", "max_compute_flops")
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    MAX_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MAX_COMPUTE_FLOPS_FIELD_NUMBER: _ClassVar[int]
    max_steps: int
    max_seconds: float
    max_compute_flops: float
    def __init__(self, max_steps: _Optional[int] = ..., max_seconds: _Optional[float] = ..., max_compute_flops: _Optional[float] = ...) -> None: ...

class PolicySpec(_message.Message):
    __slots__ = ("ungraded", "penalty", "max_ungraded_share", "max_staleness", "max_canary_gap", "max_restarts", "grader_test")
    UNGRADED_FIELD_NUMBER: _ClassVar[int]
    PENALTY_FIELD_NUMBER: _ClassVar[int]
    MAX_UNGRADED_SHARE_FIELD_NUMBER: _ClassVar[int]
    MAX_STALENESS_FIELD_NUMBER: _ClassVar[int]
    MAX_CANARY_GAP_FIELD_NUMBER: _ClassVar[int]
    MAX_RESTARTS_FIELD_NUMBER: _ClassVar[int]
    GRADER_TEST_FIELD_NUMBER: _ClassVar[int]
    ungraded: str
    penalty: float
    max_ungraded_share: float
    max_staleness: int
    max_canary_gap: float
    max_restarts: int
    grader_test: GraderTestSpec
    def __init__(self, ungraded: _Optional[str] = ..., penalty: _Optional[float] = ..., max_ungraded_share: _Optional[float] = ..., max_staleness: _Optional[int] = ..., max_canary_gap: _Optional[float] = ..., max_restarts: _Optional[int] = ..., grader_test: _Optional[_Union[GraderTestSpec, _Mapping]] = ...) -> None: ...

class GraderTestSpec(_message.Message):
    __slots__ = ("file", "min_agreement", "repeats", "tolerance", "max_seconds")
    FILE_FIELD_NUMBER: _ClassVar[int]
    MIN_AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    REPEATS_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    MAX_SECONDS_FIELD_NUMBER: _ClassVar[int]
    file: str
    min_agreement: float
    repeats: int
    tolerance: float
    max_seconds: float
    def __init__(self, file: _Optional[str] = ..., min_agreement: _Optional[float] = ..., repeats: _Optional[int] = ..., tolerance: _Optional[float] = ..., max_seconds: _Optional[float] = ...) -> None: ...

class EngineSpec(_message.Message):
    __slots__ = ("name", "device", "dtype", "replicas", "max_tokens_per_pass", "threads", "weights", "tensor_parallel_size", "memory_fraction", "kv_cache_memory_bytes", "max_model_tokens", "parts_format", "max_replicas", "backlog_seconds", "prefix_caching")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_PER_PASS_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    TENSOR_PARALLEL_SIZE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FRACTION_FIELD_NUMBER: _ClassVar[int]
    KV_CACHE_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_MODEL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FORMAT_FIELD_NUMBER: _ClassVar[int]
    MAX_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_CACHING_FIELD_NUMBER: _ClassVar[int]
    name: str
    device: str
    dtype: str
    replicas: int
    max_tokens_per_pass: int
    threads: int
    weights: str
    tensor_parallel_size: int
    memory_fraction: float
    kv_cache_memory_bytes: int
    max_model_tokens: int
    parts_format: str
    max_replicas: int
    backlog_seconds: float
    prefix_caching: bool
    def __init__(self, name: _Optional[str] = ..., device: _Optional[str] = ..., dtype: _Optional[str] = ..., replicas: _Optional[int] = ..., max_tokens_per_pass: _Optional[int] = ..., threads: _Optional[int] = ..., weights: _Optional[str] = ..., tensor_parallel_size: _Optional[int] = ..., memory_fraction: _Optional[float] = ..., kv_cache_memory_bytes: _Optional[int] = ..., max_model_tokens: _Optional[int] = ..., parts_format: _Optional[str] = ..., max_replicas: _Optional[int] = ..., backlog_seconds: _Optional[float] = ..., prefix_caching: bool = ...) -> None: ...
