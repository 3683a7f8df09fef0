from pinetune.api.generation.v1 import generation_pb2 as _generation_pb2
from pinetune.api.rollout.v1 import rollout_pb2 as _rollout_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Schedule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCHEDULE_UNSPECIFIED: _ClassVar[Schedule]
    SCHEDULE_CONSTANT: _ClassVar[Schedule]
    SCHEDULE_LINEAR: _ClassVar[Schedule]
    SCHEDULE_COSINE: _ClassVar[Schedule]

class ValueHeadStart(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VALUE_HEAD_START_UNSPECIFIED: _ClassVar[ValueHeadStart]
    VALUE_HEAD_START_FITTED: _ClassVar[ValueHeadStart]
    VALUE_HEAD_START_ZERO: _ClassVar[ValueHeadStart]
    VALUE_HEAD_START_RANDOM: _ClassVar[ValueHeadStart]

class AdvantageEstimator(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ADVANTAGE_ESTIMATOR_UNSPECIFIED: _ClassVar[AdvantageEstimator]
    ADVANTAGE_ESTIMATOR_GAE: _ClassVar[AdvantageEstimator]
    ADVANTAGE_ESTIMATOR_GRPO: _ClassVar[AdvantageEstimator]
    ADVANTAGE_ESTIMATOR_RLOO: _ClassVar[AdvantageEstimator]
    ADVANTAGE_ESTIMATOR_REINFORCE_PLUS_PLUS: _ClassVar[AdvantageEstimator]
    ADVANTAGE_ESTIMATOR_DR_GRPO: _ClassVar[AdvantageEstimator]
SCHEDULE_UNSPECIFIED: Schedule
SCHEDULE_CONSTANT: Schedule
SCHEDULE_LINEAR: Schedule
SCHEDULE_COSINE: Schedule
VALUE_HEAD_START_UNSPECIFIED: ValueHeadStart
VALUE_HEAD_START_FITTED: ValueHeadStart
VALUE_HEAD_START_ZERO: ValueHeadStart
VALUE_HEAD_START_RANDOM: ValueHeadStart
ADVANTAGE_ESTIMATOR_UNSPECIFIED: AdvantageEstimator
ADVANTAGE_ESTIMATOR_GAE: AdvantageEstimator
ADVANTAGE_ESTIMATOR_GRPO: AdvantageEstimator
ADVANTAGE_ESTIMATOR_RLOO: AdvantageEstimator
ADVANTAGE_ESTIMATOR_REINFORCE_PLUS_PLUS: AdvantageEstimator
ADVANTAGE_ESTIMATOR_DR_GRPO: AdvantageEstimator

class NanoSettings(_message.Message):
    __slots__ = ("layer_count", "width", "head_count", "vocabulary_size", "max_tokens")
    LAYER_COUNT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEAD_COUNT_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    layer_count: int
    width: int
    head_count: int
    vocabulary_size: int
    max_tokens: int
    def __init__(self, layer_count: _Optional[int] = ..., width: _Optional[int] = ..., head_count: _Optional[int] = ..., vocabulary_size: _Optional[int] = ..., max_tokens: _Optional[int] = ...) -> None: ...

class MakeNanoModelRequest(_message.Message):
    __slots__ = ("settings", "corpus_uri", "model_uri", "seed")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    CORPUS_URI_FIELD_NUMBER: _ClassVar[int]
    MODEL_URI_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    settings: NanoSettings
    corpus_uri: str
    model_uri: str
    seed: int
    def __init__(self, settings: _Optional[_Union[NanoSettings, _Mapping]] = ..., corpus_uri: _Optional[str] = ..., model_uri: _Optional[str] = ..., seed: _Optional[int] = ...) -> None: ...

class MakeNanoModelResponse(_message.Message):
    __slots__ = ("parameter_count", "vocabulary_size")
    PARAMETER_COUNT_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_SIZE_FIELD_NUMBER: _ClassVar[int]
    parameter_count: int
    vocabulary_size: int
    def __init__(self, parameter_count: _Optional[int] = ..., vocabulary_size: _Optional[int] = ...) -> None: ...

class OptimizerSettings(_message.Message):
    __slots__ = ("learning_rate", "warm_up_ratio", "schedule", "weight_decay", "epsilon", "beta1", "beta2", "max_gradient_norm")
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    WARM_UP_RATIO_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_DECAY_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    BETA1_FIELD_NUMBER: _ClassVar[int]
    BETA2_FIELD_NUMBER: _ClassVar[int]
    MAX_GRADIENT_NORM_FIELD_NUMBER: _ClassVar[int]
    learning_rate: float
    warm_up_ratio: float
    schedule: Schedule
    weight_decay: float
    epsilon: float
    beta1: float
    beta2: float
    max_gradient_norm: float
    def __init__(self, learning_rate: _Optional[float] = ..., warm_up_ratio: _Optional[float] = ..., schedule: _Optional[_Union[Schedule, str]] = ..., weight_decay: _Optional[float] = ..., epsilon: _Optional[float] = ..., beta1: _Optional[float] = ..., beta2: _Optional[float] = ..., max_gradient_norm: _Optional[float] = ...) -> None: ...

class WarmUpSettings(_message.Message):
    __slots__ = ("optimizer", "step_count")
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    STEP_COUNT_FIELD_NUMBER: _ClassVar[int]
    optimizer: OptimizerSettings
    step_count: int
    def __init__(self, optimizer: _Optional[_Union[OptimizerSettings, _Mapping]] = ..., step_count: _Optional[int] = ...) -> None: ...

class UpdateSettings(_message.Message):
    __slots__ = ("optimizer", "step_count", "advantage_estimator", "gamma", "gae_lambda", "whiten_advantages", "clip_range", "value_clip_range", "value_coefficient", "kl_coefficient", "entropy_coefficient", "epoch_count", "mini_batch_count", "length_normalised", "max_staleness", "value_head_start")
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    STEP_COUNT_FIELD_NUMBER: _ClassVar[int]
    ADVANTAGE_ESTIMATOR_FIELD_NUMBER: _ClassVar[int]
    GAMMA_FIELD_NUMBER: _ClassVar[int]
    GAE_LAMBDA_FIELD_NUMBER: _ClassVar[int]
    WHITEN_ADVANTAGES_FIELD_NUMBER: _ClassVar[int]
    CLIP_RANGE_FIELD_NUMBER: _ClassVar[int]
    VALUE_CLIP_RANGE_FIELD_NUMBER: _ClassVar[int]
    VALUE_COEFFICIENT_FIELD_NUMBER: _ClassVar[int]
    KL_COEFFICIENT_FIELD_NUMBER: _ClassVar[int]
    ENTROPY_COEFFICIENT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_COUNT_FIELD_NUMBER: _ClassVar[int]
    MINI_BATCH_COUNT_FIELD_NUMBER: _ClassVar[int]
    LENGTH_NORMALISED_FIELD_NUMBER: _ClassVar[int]
    MAX_STALENESS_FIELD_NUMBER: _ClassVar[int]
    VALUE_HEAD_START_FIELD_NUMBER: _ClassVar[int]
    optimizer: OptimizerSettings
    step_count: int
    advantage_estimator: AdvantageEstimator
    gamma: float
    gae_lambda: float
    whiten_advantages: bool
    clip_range: float
    value_clip_range: float
    value_coefficient: float
    kl_coefficient: float
    entropy_coefficient: float
    epoch_count: int
    mini_batch_count: int
    length_normalised: bool
    max_staleness: int
    value_head_start: ValueHeadStart
    def __init__(self, optimizer: _Optional[_Union[OptimizerSettings, _Mapping]] = ..., step_count: _Optional[int] = ..., advantage_estimator: _Optional[_Union[AdvantageEstimator, str]] = ..., gamma: _Optional[float] = ..., gae_lambda: _Optional[float] = ..., whiten_advantages: bool = ..., clip_range: _Optional[float] = ..., value_clip_range: _Optional[float] = ..., value_coefficient: _Optional[float] = ..., kl_coefficient: _Optional[float] = ..., entropy_coefficient: _Optional[float] = ..., epoch_count: _Optional[int] = ..., mini_batch_count: _Optional[int] = ..., length_normalised: bool = ..., max_staleness: _Optional[int] = ..., value_head_start: _Optional[_Union[ValueHeadStart, str]] = ...) -> None: ...

class ComputeSettings(_message.Message):
    __slots__ = ("device", "dtype", "autocast", "max_tokens_per_pass", "gradient_checkpointing")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    AUTOCAST_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_PER_PASS_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_CHECKPOINTING_FIELD_NUMBER: _ClassVar[int]
    device: str
    dtype: str
    autocast: bool
    max_tokens_per_pass: int
    gradient_checkpointing: bool
    def __init__(self, device: _Optional[str] = ..., dtype: _Optional[str] = ..., autocast: bool = ..., max_tokens_per_pass: _Optional[int] = ..., gradient_checkpointing: bool = ...) -> None: ...

class OpenRequest(_message.Message):
    __slots__ = ("job_id", "model_uri", "warm_up", "update", "compute", "seed")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_URI_FIELD_NUMBER: _ClassVar[int]
    WARM_UP_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    model_uri: str
    warm_up: WarmUpSettings
    update: UpdateSettings
    compute: ComputeSettings
    seed: int
    def __init__(self, job_id: _Optional[str] = ..., model_uri: _Optional[str] = ..., warm_up: _Optional[_Union[WarmUpSettings, _Mapping]] = ..., update: _Optional[_Union[UpdateSettings, _Mapping]] = ..., compute: _Optional[_Union[ComputeSettings, _Mapping]] = ..., seed: _Optional[int] = ...) -> None: ...

class OpenResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: LearnerState
    def __init__(self, state: _Optional[_Union[LearnerState, _Mapping]] = ...) -> None: ...

class LearnerState(_message.Message):
    __slots__ = ("job_id", "policy_version", "warm_up_step", "update_step", "reference_frozen", "parameter_count", "device", "weights_changed")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    WARM_UP_STEP_FIELD_NUMBER: _ClassVar[int]
    UPDATE_STEP_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FROZEN_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_COUNT_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_CHANGED_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    policy_version: int
    warm_up_step: int
    update_step: int
    reference_frozen: bool
    parameter_count: int
    device: str
    weights_changed: bool
    def __init__(self, job_id: _Optional[str] = ..., policy_version: _Optional[int] = ..., warm_up_step: _Optional[int] = ..., update_step: _Optional[int] = ..., reference_frozen: bool = ..., parameter_count: _Optional[int] = ..., device: _Optional[str] = ..., weights_changed: bool = ...) -> None: ...

class WarmUpRequest(_message.Message):
    __slots__ = ("step", "sequences")
    STEP_FIELD_NUMBER: _ClassVar[int]
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    step: int
    sequences: _containers.RepeatedCompositeFieldContainer[_generation_pb2.TokenSequence]
    def __init__(self, step: _Optional[int] = ..., sequences: _Optional[_Iterable[_Union[_generation_pb2.TokenSequence, _Mapping]]] = ...) -> None: ...

class WarmUpResponse(_message.Message):
    __slots__ = ("metrics", "state")
    METRICS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    metrics: WarmUpMetrics
    state: LearnerState
    def __init__(self, metrics: _Optional[_Union[WarmUpMetrics, _Mapping]] = ..., state: _Optional[_Union[LearnerState, _Mapping]] = ...) -> None: ...

class WarmUpMetrics(_message.Message):
    __slots__ = ("loss", "token_accuracy", "gradient_norm", "learning_rate", "answer_token_count", "token_count", "seconds")
    LOSS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ACCURACY_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_NORM_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    loss: float
    token_accuracy: float
    gradient_norm: float
    learning_rate: float
    answer_token_count: int
    token_count: int
    seconds: float
    def __init__(self, loss: _Optional[float] = ..., token_accuracy: _Optional[float] = ..., gradient_norm: _Optional[float] = ..., learning_rate: _Optional[float] = ..., answer_token_count: _Optional[int] = ..., token_count: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class FreezeReferenceRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FreezeReferenceResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: LearnerState
    def __init__(self, state: _Optional[_Union[LearnerState, _Mapping]] = ...) -> None: ...

class Trajectory(_message.Message):
    __slots__ = ("completion_id", "group_id", "prompt_token_ids", "token_ids", "logprobs", "policy_spans", "reward", "finish_reason", "traceparent")
    COMPLETION_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    POLICY_SPANS_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    completion_id: str
    group_id: str
    prompt_token_ids: _containers.RepeatedScalarFieldContainer[int]
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    logprobs: _containers.RepeatedScalarFieldContainer[float]
    policy_spans: _containers.RepeatedCompositeFieldContainer[_rollout_pb2.PolicySpan]
    reward: float
    finish_reason: _rollout_pb2.FinishReason
    traceparent: str
    def __init__(self, completion_id: _Optional[str] = ..., group_id: _Optional[str] = ..., prompt_token_ids: _Optional[_Iterable[int]] = ..., token_ids: _Optional[_Iterable[int]] = ..., logprobs: _Optional[_Iterable[float]] = ..., policy_spans: _Optional[_Iterable[_Union[_rollout_pb2.PolicySpan, _Mapping]]] = ..., reward: _Optional[float] = ..., finish_reason: _Optional[_Union[_rollout_pb2.FinishReason, str]] = ..., traceparent: _Optional[str] = ...) -> None: ...

class UpdateRequest(_message.Message):
    __slots__ = ("step", "trajectories")
    STEP_FIELD_NUMBER: _ClassVar[int]
    TRAJECTORIES_FIELD_NUMBER: _ClassVar[int]
    step: int
    trajectories: _containers.RepeatedCompositeFieldContainer[Trajectory]
    def __init__(self, step: _Optional[int] = ..., trajectories: _Optional[_Iterable[_Union[Trajectory, _Mapping]]] = ...) -> None: ...

class UpdateResponse(_message.Message):
    __slots__ = ("metrics", "state")
    METRICS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    metrics: UpdateMetrics
    state: LearnerState
    def __init__(self, metrics: _Optional[_Union[UpdateMetrics, _Mapping]] = ..., state: _Optional[_Union[LearnerState, _Mapping]] = ...) -> None: ...

class UpdateMetrics(_message.Message):
    __slots__ = ("reward_mean", "reward_deviation", "kl_to_reference", "policy_loss", "value_loss", "explained_variance", "entropy", "clip_fraction", "approximate_kl", "gradient_norm", "learning_rate", "sampler_gap_mean", "sampler_gap_p99", "sampler_gap_max", "effective_sample_share", "dropped_token_count", "completion_token_count", "token_count", "zero_variance_group_share", "seconds", "sampler_gap_p50", "sampler_gap_p95", "effective_sequence_share", "bounded_token_count")
    REWARD_MEAN_FIELD_NUMBER: _ClassVar[int]
    REWARD_DEVIATION_FIELD_NUMBER: _ClassVar[int]
    KL_TO_REFERENCE_FIELD_NUMBER: _ClassVar[int]
    POLICY_LOSS_FIELD_NUMBER: _ClassVar[int]
    VALUE_LOSS_FIELD_NUMBER: _ClassVar[int]
    EXPLAINED_VARIANCE_FIELD_NUMBER: _ClassVar[int]
    ENTROPY_FIELD_NUMBER: _ClassVar[int]
    CLIP_FRACTION_FIELD_NUMBER: _ClassVar[int]
    APPROXIMATE_KL_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_NORM_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    SAMPLER_GAP_MEAN_FIELD_NUMBER: _ClassVar[int]
    SAMPLER_GAP_P99_FIELD_NUMBER: _ClassVar[int]
    SAMPLER_GAP_MAX_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_SAMPLE_SHARE_FIELD_NUMBER: _ClassVar[int]
    DROPPED_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    ZERO_VARIANCE_GROUP_SHARE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    SAMPLER_GAP_P50_FIELD_NUMBER: _ClassVar[int]
    SAMPLER_GAP_P95_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_SEQUENCE_SHARE_FIELD_NUMBER: _ClassVar[int]
    BOUNDED_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    reward_mean: float
    reward_deviation: float
    kl_to_reference: float
    policy_loss: float
    value_loss: float
    explained_variance: float
    entropy: float
    clip_fraction: float
    approximate_kl: float
    gradient_norm: float
    learning_rate: float
    sampler_gap_mean: float
    sampler_gap_p99: float
    sampler_gap_max: float
    effective_sample_share: float
    dropped_token_count: int
    completion_token_count: int
    token_count: int
    zero_variance_group_share: float
    seconds: float
    sampler_gap_p50: float
    sampler_gap_p95: float
    effective_sequence_share: float
    bounded_token_count: int
    def __init__(self, reward_mean: _Optional[float] = ..., reward_deviation: _Optional[float] = ..., kl_to_reference: _Optional[float] = ..., policy_loss: _Optional[float] = ..., value_loss: _Optional[float] = ..., explained_variance: _Optional[float] = ..., entropy: _Optional[float] = ..., clip_fraction: _Optional[float] = ..., approximate_kl: _Optional[float] = ..., gradient_norm: _Optional[float] = ..., learning_rate: _Optional[float] = ..., sampler_gap_mean: _Optional[float] = ..., sampler_gap_p99: _Optional[float] = ..., sampler_gap_max: _Optional[float] = ..., effective_sample_share: _Optional[float] = ..., dropped_token_count: _Optional[int] = ..., completion_token_count: _Optional[int] = ..., token_count: _Optional[int] = ..., zero_variance_group_share: _Optional[float] = ..., seconds: _Optional[float] = ..., sampler_gap_p50: _Optional[float] = ..., sampler_gap_p95: _Optional[float] = ..., effective_sequence_share: _Optional[float] = ..., bounded_token_count: _Optional[int] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("sequences",)
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    sequences: _containers.RepeatedCompositeFieldContainer[_generation_pb2.TokenSequence]
    def __init__(self, sequences: _Optional[_Iterable[_Union[_generation_pb2.TokenSequence, _Mapping]]] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("sequences", "policy_version")
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    sequences: _containers.RepeatedCompositeFieldContainer[_generation_pb2.TokenLogprobs]
    policy_version: int
    def __init__(self, sequences: _Optional[_Iterable[_Union[_generation_pb2.TokenLogprobs, _Mapping]]] = ..., policy_version: _Optional[int] = ...) -> None: ...

class SavePolicyRequest(_message.Message):
    __slots__ = ("policy_uri", "policy_version")
    POLICY_URI_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    policy_uri: str
    policy_version: int
    def __init__(self, policy_uri: _Optional[str] = ..., policy_version: _Optional[int] = ...) -> None: ...

class SavePolicyResponse(_message.Message):
    __slots__ = ("manifest", "seconds")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    manifest: _generation_pb2.PolicyManifest
    seconds: float
    def __init__(self, manifest: _Optional[_Union[_generation_pb2.PolicyManifest, _Mapping]] = ..., seconds: _Optional[float] = ...) -> None: ...

class PushPolicyRequest(_message.Message):
    __slots__ = ("addresses", "policy_version", "policy_uri", "broadcast")
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_URI_FIELD_NUMBER: _ClassVar[int]
    BROADCAST_FIELD_NUMBER: _ClassVar[int]
    addresses: _containers.RepeatedScalarFieldContainer[str]
    policy_version: int
    policy_uri: str
    broadcast: bool
    def __init__(self, addresses: _Optional[_Iterable[str]] = ..., policy_version: _Optional[int] = ..., policy_uri: _Optional[str] = ..., broadcast: bool = ...) -> None: ...

class PushPolicyResponse(_message.Message):
    __slots__ = ("content_hash", "services", "seconds")
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    content_hash: str
    services: _containers.RepeatedCompositeFieldContainer[PushedPolicy]
    seconds: float
    def __init__(self, content_hash: _Optional[str] = ..., services: _Optional[_Iterable[_Union[PushedPolicy, _Mapping]]] = ..., seconds: _Optional[float] = ...) -> None: ...

class PushedPolicy(_message.Message):
    __slots__ = ("address", "policy", "sent_bytes", "sent_tensor_count")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_TENSOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    address: str
    policy: _generation_pb2.PolicyState
    sent_bytes: int
    sent_tensor_count: int
    def __init__(self, address: _Optional[str] = ..., policy: _Optional[_Union[_generation_pb2.PolicyState, _Mapping]] = ..., sent_bytes: _Optional[int] = ..., sent_tensor_count: _Optional[int] = ...) -> None: ...

class SaveCheckpointRequest(_message.Message):
    __slots__ = ("checkpoint_uri", "data_position_json")
    CHECKPOINT_URI_FIELD_NUMBER: _ClassVar[int]
    DATA_POSITION_JSON_FIELD_NUMBER: _ClassVar[int]
    checkpoint_uri: str
    data_position_json: str
    def __init__(self, checkpoint_uri: _Optional[str] = ..., data_position_json: _Optional[str] = ...) -> None: ...

class SaveCheckpointResponse(_message.Message):
    __slots__ = ("content_hash", "size_bytes", "seconds")
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    content_hash: str
    size_bytes: int
    seconds: float
    def __init__(self, content_hash: _Optional[str] = ..., size_bytes: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class RestoreCheckpointRequest(_message.Message):
    __slots__ = ("checkpoint_uri",)
    CHECKPOINT_URI_FIELD_NUMBER: _ClassVar[int]
    checkpoint_uri: str
    def __init__(self, checkpoint_uri: _Optional[str] = ...) -> None: ...

class RestoreCheckpointResponse(_message.Message):
    __slots__ = ("state", "data_position_json")
    STATE_FIELD_NUMBER: _ClassVar[int]
    DATA_POSITION_JSON_FIELD_NUMBER: _ClassVar[int]
    state: LearnerState
    data_position_json: str
    def __init__(self, state: _Optional[_Union[LearnerState, _Mapping]] = ..., data_position_json: _Optional[str] = ...) -> None: ...

class DescribeLearnerRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeLearnerResponse(_message.Message):
    __slots__ = ("state", "torch_version", "world_size")
    STATE_FIELD_NUMBER: _ClassVar[int]
    TORCH_VERSION_FIELD_NUMBER: _ClassVar[int]
    WORLD_SIZE_FIELD_NUMBER: _ClassVar[int]
    state: LearnerState
    torch_version: str
    world_size: int
    def __init__(self, state: _Optional[_Union[LearnerState, _Mapping]] = ..., torch_version: _Optional[str] = ..., world_size: _Optional[int] = ...) -> None: ...
