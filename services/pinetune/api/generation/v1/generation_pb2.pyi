from pinetune.api.rollout.v1 import rollout_pb2 as _rollout_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BroadcastBackend(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BROADCAST_BACKEND_UNSPECIFIED: _ClassVar[BroadcastBackend]
    BROADCAST_BACKEND_GLOO: _ClassVar[BroadcastBackend]
    BROADCAST_BACKEND_NCCL: _ClassVar[BroadcastBackend]

class PolicyKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POLICY_KIND_UNSPECIFIED: _ClassVar[PolicyKind]
    POLICY_KIND_FULL: _ClassVar[PolicyKind]
    POLICY_KIND_LORA: _ClassVar[PolicyKind]

class InFlightPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IN_FLIGHT_POLICY_UNSPECIFIED: _ClassVar[InFlightPolicy]
    IN_FLIGHT_POLICY_FINISH: _ClassVar[InFlightPolicy]
    IN_FLIGHT_POLICY_CONTINUE: _ClassVar[InFlightPolicy]
    IN_FLIGHT_POLICY_ABORT: _ClassVar[InFlightPolicy]

class SelectionRule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SELECTION_RULE_UNSPECIFIED: _ClassVar[SelectionRule]
    SELECTION_RULE_MAJORITY_VOTE: _ClassVar[SelectionRule]
    SELECTION_RULE_BEST_OF: _ClassVar[SelectionRule]
BROADCAST_BACKEND_UNSPECIFIED: BroadcastBackend
BROADCAST_BACKEND_GLOO: BroadcastBackend
BROADCAST_BACKEND_NCCL: BroadcastBackend
POLICY_KIND_UNSPECIFIED: PolicyKind
POLICY_KIND_FULL: PolicyKind
POLICY_KIND_LORA: PolicyKind
IN_FLIGHT_POLICY_UNSPECIFIED: InFlightPolicy
IN_FLIGHT_POLICY_FINISH: InFlightPolicy
IN_FLIGHT_POLICY_CONTINUE: InFlightPolicy
IN_FLIGHT_POLICY_ABORT: InFlightPolicy
SELECTION_RULE_UNSPECIFIED: SelectionRule
SELECTION_RULE_MAJORITY_VOTE: SelectionRule
SELECTION_RULE_BEST_OF: SelectionRule

class PolicyManifest(_message.Message):
    __slots__ = ("policy_version", "content_hash", "tensors", "kind", "base_content_hash", "create_time", "adapter_config_json")
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    BASE_CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    policy_version: int
    content_hash: str
    tensors: _containers.RepeatedCompositeFieldContainer[TensorEntry]
    kind: PolicyKind
    base_content_hash: str
    create_time: str
    adapter_config_json: str
    def __init__(self, policy_version: _Optional[int] = ..., content_hash: _Optional[str] = ..., tensors: _Optional[_Iterable[_Union[TensorEntry, _Mapping]]] = ..., kind: _Optional[_Union[PolicyKind, str]] = ..., base_content_hash: _Optional[str] = ..., create_time: _Optional[str] = ..., adapter_config_json: _Optional[str] = ...) -> None: ...

class TensorEntry(_message.Message):
    __slots__ = ("name", "dtype", "shape", "sha256", "file")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    sha256: str
    file: str
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., sha256: _Optional[str] = ..., file: _Optional[str] = ...) -> None: ...

class PolicyState(_message.Message):
    __slots__ = ("policy_version", "content_hash", "load_time")
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    LOAD_TIME_FIELD_NUMBER: _ClassVar[int]
    policy_version: int
    content_hash: str
    load_time: str
    def __init__(self, policy_version: _Optional[int] = ..., content_hash: _Optional[str] = ..., load_time: _Optional[str] = ...) -> None: ...

class SamplingParams(_message.Message):
    __slots__ = ("temperature", "top_p", "top_k", "max_tokens", "min_tokens", "stop", "seed")
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MIN_TOKENS_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    min_tokens: int
    stop: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    def __init__(self, temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., top_k: _Optional[int] = ..., max_tokens: _Optional[int] = ..., min_tokens: _Optional[int] = ..., stop: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ...) -> None: ...

class ResponseFormat(_message.Message):
    __slots__ = ("json_schema", "regex")
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    REGEX_FIELD_NUMBER: _ClassVar[int]
    json_schema: str
    regex: str
    def __init__(self, json_schema: _Optional[str] = ..., regex: _Optional[str] = ...) -> None: ...

class Prompt(_message.Message):
    __slots__ = ("prompt_id", "messages", "tools", "token_ids")
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    prompt_id: str
    messages: _containers.RepeatedCompositeFieldContainer[_rollout_pb2.Message]
    tools: _containers.RepeatedCompositeFieldContainer[_rollout_pb2.Tool]
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, prompt_id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_rollout_pb2.Message, _Mapping]]] = ..., tools: _Optional[_Iterable[_Union[_rollout_pb2.Tool, _Mapping]]] = ..., token_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class Example(_message.Message):
    __slots__ = ("messages", "tools", "answer")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_rollout_pb2.Message]
    tools: _containers.RepeatedCompositeFieldContainer[_rollout_pb2.Tool]
    answer: str
    def __init__(self, messages: _Optional[_Iterable[_Union[_rollout_pb2.Message, _Mapping]]] = ..., tools: _Optional[_Iterable[_Union[_rollout_pb2.Tool, _Mapping]]] = ..., answer: _Optional[str] = ...) -> None: ...

class TokenizeRequest(_message.Message):
    __slots__ = ("examples", "response_format")
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    examples: _containers.RepeatedCompositeFieldContainer[Example]
    response_format: ResponseFormat
    def __init__(self, examples: _Optional[_Iterable[_Union[Example, _Mapping]]] = ..., response_format: _Optional[_Union[ResponseFormat, _Mapping]] = ...) -> None: ...

class TokenizedExample(_message.Message):
    __slots__ = ("prompt_token_ids", "answer_token_ids")
    PROMPT_TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    prompt_token_ids: _containers.RepeatedScalarFieldContainer[int]
    answer_token_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, prompt_token_ids: _Optional[_Iterable[int]] = ..., answer_token_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class TokenizeResponse(_message.Message):
    __slots__ = ("examples",)
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    examples: _containers.RepeatedCompositeFieldContainer[TokenizedExample]
    def __init__(self, examples: _Optional[_Iterable[_Union[TokenizedExample, _Mapping]]] = ...) -> None: ...

class GenerateRequest(_message.Message):
    __slots__ = ("prompts", "sample_count", "sampling", "response_format", "min_policy_version", "selection")
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    MIN_POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    prompts: _containers.RepeatedCompositeFieldContainer[Prompt]
    sample_count: int
    sampling: SamplingParams
    response_format: ResponseFormat
    min_policy_version: int
    selection: Selection
    def __init__(self, prompts: _Optional[_Iterable[_Union[Prompt, _Mapping]]] = ..., sample_count: _Optional[int] = ..., sampling: _Optional[_Union[SamplingParams, _Mapping]] = ..., response_format: _Optional[_Union[ResponseFormat, _Mapping]] = ..., min_policy_version: _Optional[int] = ..., selection: _Optional[_Union[Selection, _Mapping]] = ...) -> None: ...

class Selection(_message.Message):
    __slots__ = ("rule", "grader_json")
    RULE_FIELD_NUMBER: _ClassVar[int]
    GRADER_JSON_FIELD_NUMBER: _ClassVar[int]
    rule: SelectionRule
    grader_json: str
    def __init__(self, rule: _Optional[_Union[SelectionRule, str]] = ..., grader_json: _Optional[str] = ...) -> None: ...

class PromptCompletions(_message.Message):
    __slots__ = ("prompt_id", "completions", "prompt_token_ids", "selection_weights", "selected_index")
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    COMPLETIONS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    SELECTION_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    SELECTED_INDEX_FIELD_NUMBER: _ClassVar[int]
    prompt_id: str
    completions: _containers.RepeatedCompositeFieldContainer[_rollout_pb2.Completion]
    prompt_token_ids: _containers.RepeatedScalarFieldContainer[int]
    selection_weights: _containers.RepeatedScalarFieldContainer[float]
    selected_index: int
    def __init__(self, prompt_id: _Optional[str] = ..., completions: _Optional[_Iterable[_Union[_rollout_pb2.Completion, _Mapping]]] = ..., prompt_token_ids: _Optional[_Iterable[int]] = ..., selection_weights: _Optional[_Iterable[float]] = ..., selected_index: _Optional[int] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("prompts", "policy", "generation_seconds")
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    GENERATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    prompts: _containers.RepeatedCompositeFieldContainer[PromptCompletions]
    policy: PolicyState
    generation_seconds: float
    def __init__(self, prompts: _Optional[_Iterable[_Union[PromptCompletions, _Mapping]]] = ..., policy: _Optional[_Union[PolicyState, _Mapping]] = ..., generation_seconds: _Optional[float] = ...) -> None: ...

class StreamGenerateRequest(_message.Message):
    __slots__ = ("prompt", "sampling", "response_format", "min_policy_version")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    MIN_POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    prompt: Prompt
    sampling: SamplingParams
    response_format: ResponseFormat
    min_policy_version: int
    def __init__(self, prompt: _Optional[_Union[Prompt, _Mapping]] = ..., sampling: _Optional[_Union[SamplingParams, _Mapping]] = ..., response_format: _Optional[_Union[ResponseFormat, _Mapping]] = ..., min_policy_version: _Optional[int] = ...) -> None: ...

class StreamGenerateResponse(_message.Message):
    __slots__ = ("text_delta", "reasoning_delta", "token_ids", "logprobs", "policy_version", "finish_reason", "completion", "content_delta", "tool_calls")
    TEXT_DELTA_FIELD_NUMBER: _ClassVar[int]
    REASONING_DELTA_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    CONTENT_DELTA_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    text_delta: str
    reasoning_delta: str
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    logprobs: _containers.RepeatedScalarFieldContainer[float]
    policy_version: int
    finish_reason: _rollout_pb2.FinishReason
    completion: _rollout_pb2.Completion
    content_delta: str
    tool_calls: _containers.RepeatedCompositeFieldContainer[_rollout_pb2.ToolCall]
    def __init__(self, text_delta: _Optional[str] = ..., reasoning_delta: _Optional[str] = ..., token_ids: _Optional[_Iterable[int]] = ..., logprobs: _Optional[_Iterable[float]] = ..., policy_version: _Optional[int] = ..., finish_reason: _Optional[_Union[_rollout_pb2.FinishReason, str]] = ..., completion: _Optional[_Union[_rollout_pb2.Completion, _Mapping]] = ..., content_delta: _Optional[str] = ..., tool_calls: _Optional[_Iterable[_Union[_rollout_pb2.ToolCall, _Mapping]]] = ...) -> None: ...

class TokenSequence(_message.Message):
    __slots__ = ("prompt_token_ids", "token_ids")
    PROMPT_TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    prompt_token_ids: _containers.RepeatedScalarFieldContainer[int]
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, prompt_token_ids: _Optional[_Iterable[int]] = ..., token_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("sequences",)
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    sequences: _containers.RepeatedCompositeFieldContainer[TokenSequence]
    def __init__(self, sequences: _Optional[_Iterable[_Union[TokenSequence, _Mapping]]] = ...) -> None: ...

class TokenLogprobs(_message.Message):
    __slots__ = ("logprobs",)
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    logprobs: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, logprobs: _Optional[_Iterable[float]] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("sequences", "policy")
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    sequences: _containers.RepeatedCompositeFieldContainer[TokenLogprobs]
    policy: PolicyState
    def __init__(self, sequences: _Optional[_Iterable[_Union[TokenLogprobs, _Mapping]]] = ..., policy: _Optional[_Union[PolicyState, _Mapping]] = ...) -> None: ...

class LoadPolicyRequest(_message.Message):
    __slots__ = ("policy_uri", "policy_version", "content_hash", "in_flight")
    POLICY_URI_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    policy_uri: str
    policy_version: int
    content_hash: str
    in_flight: InFlightPolicy
    def __init__(self, policy_uri: _Optional[str] = ..., policy_version: _Optional[int] = ..., content_hash: _Optional[str] = ..., in_flight: _Optional[_Union[InFlightPolicy, str]] = ...) -> None: ...

class LoadPolicyResponse(_message.Message):
    __slots__ = ("policy", "load_seconds", "changed_tensor_count")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    LOAD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_TENSOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    policy: PolicyState
    load_seconds: float
    changed_tensor_count: int
    def __init__(self, policy: _Optional[_Union[PolicyState, _Mapping]] = ..., load_seconds: _Optional[float] = ..., changed_tensor_count: _Optional[int] = ...) -> None: ...

class StreamPolicyRequest(_message.Message):
    __slots__ = ("manifest", "chunk", "in_flight")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    manifest: PolicyManifest
    chunk: TensorChunk
    in_flight: InFlightPolicy
    def __init__(self, manifest: _Optional[_Union[PolicyManifest, _Mapping]] = ..., chunk: _Optional[_Union[TensorChunk, _Mapping]] = ..., in_flight: _Optional[_Union[InFlightPolicy, str]] = ...) -> None: ...

class TensorChunk(_message.Message):
    __slots__ = ("name", "offset_bytes", "data")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OFFSET_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    name: str
    offset_bytes: int
    data: bytes
    def __init__(self, name: _Optional[str] = ..., offset_bytes: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class StreamPolicyResponse(_message.Message):
    __slots__ = ("policy", "load_seconds", "changed_tensor_count")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    LOAD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_TENSOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    policy: PolicyState
    load_seconds: float
    changed_tensor_count: int
    def __init__(self, policy: _Optional[_Union[PolicyState, _Mapping]] = ..., load_seconds: _Optional[float] = ..., changed_tensor_count: _Optional[int] = ...) -> None: ...

class ReceivePolicyRequest(_message.Message):
    __slots__ = ("manifest", "in_flight", "tensor_names", "chunk_bytes", "group")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    TENSOR_NAMES_FIELD_NUMBER: _ClassVar[int]
    CHUNK_BYTES_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    manifest: PolicyManifest
    in_flight: InFlightPolicy
    tensor_names: _containers.RepeatedScalarFieldContainer[str]
    chunk_bytes: int
    group: BroadcastGroup
    def __init__(self, manifest: _Optional[_Union[PolicyManifest, _Mapping]] = ..., in_flight: _Optional[_Union[InFlightPolicy, str]] = ..., tensor_names: _Optional[_Iterable[str]] = ..., chunk_bytes: _Optional[int] = ..., group: _Optional[_Union[BroadcastGroup, _Mapping]] = ...) -> None: ...

class BroadcastGroup(_message.Message):
    __slots__ = ("port", "rank", "size", "backend", "timeout_seconds")
    PORT_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    port: int
    rank: int
    size: int
    backend: BroadcastBackend
    timeout_seconds: float
    def __init__(self, port: _Optional[int] = ..., rank: _Optional[int] = ..., size: _Optional[int] = ..., backend: _Optional[_Union[BroadcastBackend, str]] = ..., timeout_seconds: _Optional[float] = ...) -> None: ...

class ReceivePolicyResponse(_message.Message):
    __slots__ = ("policy", "load_seconds", "changed_tensor_count")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    LOAD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_TENSOR_COUNT_FIELD_NUMBER: _ClassVar[int]
    policy: PolicyState
    load_seconds: float
    changed_tensor_count: int
    def __init__(self, policy: _Optional[_Union[PolicyState, _Mapping]] = ..., load_seconds: _Optional[float] = ..., changed_tensor_count: _Optional[int] = ...) -> None: ...

class DescribePolicyRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribePolicyResponse(_message.Message):
    __slots__ = ("policy", "tensor_sha256")
    class TensorSha256Entry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    POLICY_FIELD_NUMBER: _ClassVar[int]
    TENSOR_SHA256_FIELD_NUMBER: _ClassVar[int]
    policy: PolicyState
    tensor_sha256: _containers.ScalarMap[str, str]
    def __init__(self, policy: _Optional[_Union[PolicyState, _Mapping]] = ..., tensor_sha256: _Optional[_Mapping[str, str]] = ...) -> None: ...

class DescribeEngineRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeEngineResponse(_message.Message):
    __slots__ = ("engine", "engine_version", "model", "parameter_count", "vocabulary_size", "max_model_tokens", "dtype", "device", "policy", "running_count", "waiting_count", "kv_cache_usage", "end_of_turn_token_id", "parts_format")
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_COUNT_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_MODEL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    RUNNING_COUNT_FIELD_NUMBER: _ClassVar[int]
    WAITING_COUNT_FIELD_NUMBER: _ClassVar[int]
    KV_CACHE_USAGE_FIELD_NUMBER: _ClassVar[int]
    END_OF_TURN_TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    PARTS_FORMAT_FIELD_NUMBER: _ClassVar[int]
    engine: str
    engine_version: str
    model: str
    parameter_count: int
    vocabulary_size: int
    max_model_tokens: int
    dtype: str
    device: str
    policy: PolicyState
    running_count: int
    waiting_count: int
    kv_cache_usage: float
    end_of_turn_token_id: int
    parts_format: str
    def __init__(self, engine: _Optional[str] = ..., engine_version: _Optional[str] = ..., model: _Optional[str] = ..., parameter_count: _Optional[int] = ..., vocabulary_size: _Optional[int] = ..., max_model_tokens: _Optional[int] = ..., dtype: _Optional[str] = ..., device: _Optional[str] = ..., policy: _Optional[_Union[PolicyState, _Mapping]] = ..., running_count: _Optional[int] = ..., waiting_count: _Optional[int] = ..., kv_cache_usage: _Optional[float] = ..., end_of_turn_token_id: _Optional[int] = ..., parts_format: _Optional[str] = ...) -> None: ...
