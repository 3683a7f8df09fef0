from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_SYSTEM: _ClassVar[Role]
    ROLE_DEVELOPER: _ClassVar[Role]
    ROLE_USER: _ClassVar[Role]
    ROLE_ASSISTANT: _ClassVar[Role]
    ROLE_TOOL: _ClassVar[Role]

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_REASON_UNSPECIFIED: _ClassVar[FinishReason]
    FINISH_REASON_STOP: _ClassVar[FinishReason]
    FINISH_REASON_LENGTH: _ClassVar[FinishReason]
    FINISH_REASON_CANCELLED: _ClassVar[FinishReason]

class GradeErrorClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GRADE_ERROR_CLASS_UNSPECIFIED: _ClassVar[GradeErrorClass]
    GRADE_ERROR_CLASS_INVALID_VARIABLE: _ClassVar[GradeErrorClass]
    GRADE_ERROR_CLASS_INVALID_REFERENCE: _ClassVar[GradeErrorClass]
    GRADE_ERROR_CLASS_FORMULA: _ClassVar[GradeErrorClass]
    GRADE_ERROR_CLASS_SAMPLE_PARSE: _ClassVar[GradeErrorClass]
    GRADE_ERROR_CLASS_TRUNCATED: _ClassVar[GradeErrorClass]
    GRADE_ERROR_CLASS_DEADLINE: _ClassVar[GradeErrorClass]
    GRADE_ERROR_CLASS_PYTHON_SERVER: _ClassVar[GradeErrorClass]
    GRADE_ERROR_CLASS_PYTHON_RUNTIME: _ClassVar[GradeErrorClass]
    GRADE_ERROR_CLASS_MODEL_SERVER: _ClassVar[GradeErrorClass]
    GRADE_ERROR_CLASS_MODEL_REFUSAL: _ClassVar[GradeErrorClass]
    GRADE_ERROR_CLASS_MODEL_PARSE: _ClassVar[GradeErrorClass]
    GRADE_ERROR_CLASS_REMOTE: _ClassVar[GradeErrorClass]
    GRADE_ERROR_CLASS_TOO_LARGE: _ClassVar[GradeErrorClass]
    GRADE_ERROR_CLASS_OTHER: _ClassVar[GradeErrorClass]

class RewardSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REWARD_SOURCE_UNSPECIFIED: _ClassVar[RewardSource]
    REWARD_SOURCE_GRADE: _ClassVar[RewardSource]
    REWARD_SOURCE_EXCLUDED: _ClassVar[RewardSource]
    REWARD_SOURCE_PENALTY: _ClassVar[RewardSource]
    REWARD_SOURCE_ZERO: _ClassVar[RewardSource]

class RolloutPurpose(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLLOUT_PURPOSE_UNSPECIFIED: _ClassVar[RolloutPurpose]
    ROLLOUT_PURPOSE_TRAINING: _ClassVar[RolloutPurpose]
    ROLLOUT_PURPOSE_VALIDATION: _ClassVar[RolloutPurpose]
    ROLLOUT_PURPOSE_EVALUATION: _ClassVar[RolloutPurpose]
ROLE_UNSPECIFIED: Role
ROLE_SYSTEM: Role
ROLE_DEVELOPER: Role
ROLE_USER: Role
ROLE_ASSISTANT: Role
ROLE_TOOL: Role
FINISH_REASON_UNSPECIFIED: FinishReason
FINISH_REASON_STOP: FinishReason
FINISH_REASON_LENGTH: FinishReason
FINISH_REASON_CANCELLED: FinishReason
GRADE_ERROR_CLASS_UNSPECIFIED: GradeErrorClass
GRADE_ERROR_CLASS_INVALID_VARIABLE: GradeErrorClass
GRADE_ERROR_CLASS_INVALID_REFERENCE: GradeErrorClass
GRADE_ERROR_CLASS_FORMULA: GradeErrorClass
GRADE_ERROR_CLASS_SAMPLE_PARSE: GradeErrorClass
GRADE_ERROR_CLASS_TRUNCATED: GradeErrorClass
GRADE_ERROR_CLASS_DEADLINE: GradeErrorClass
GRADE_ERROR_CLASS_PYTHON_SERVER: GradeErrorClass
GRADE_ERROR_CLASS_PYTHON_RUNTIME: GradeErrorClass
GRADE_ERROR_CLASS_MODEL_SERVER: GradeErrorClass
GRADE_ERROR_CLASS_MODEL_REFUSAL: GradeErrorClass
GRADE_ERROR_CLASS_MODEL_PARSE: GradeErrorClass
GRADE_ERROR_CLASS_REMOTE: GradeErrorClass
GRADE_ERROR_CLASS_TOO_LARGE: GradeErrorClass
GRADE_ERROR_CLASS_OTHER: GradeErrorClass
REWARD_SOURCE_UNSPECIFIED: RewardSource
REWARD_SOURCE_GRADE: RewardSource
REWARD_SOURCE_EXCLUDED: RewardSource
REWARD_SOURCE_PENALTY: RewardSource
REWARD_SOURCE_ZERO: RewardSource
ROLLOUT_PURPOSE_UNSPECIFIED: RolloutPurpose
ROLLOUT_PURPOSE_TRAINING: RolloutPurpose
ROLLOUT_PURPOSE_VALIDATION: RolloutPurpose
ROLLOUT_PURPOSE_EVALUATION: RolloutPurpose

class Item(_message.Message):
    __slots__ = ("item_id", "messages", "tools", "fields_json")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    FIELDS_JSON_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    tools: _containers.RepeatedCompositeFieldContainer[Tool]
    fields_json: str
    def __init__(self, item_id: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., tools: _Optional[_Iterable[_Union[Tool, _Mapping]]] = ..., fields_json: _Optional[str] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    REASONING_CONTENT_FIELD_NUMBER: _ClassVar[int]
    role: Role
    content: str
    name: str
    tool_calls: _containers.RepeatedCompositeFieldContainer[ToolCall]
    tool_call_id: str
    reasoning_content: str
    def __init__(self, role: _Optional[_Union[Role, str]] = ..., content: _Optional[str] = ..., name: _Optional[str] = ..., tool_calls: _Optional[_Iterable[_Union[ToolCall, _Mapping]]] = ..., tool_call_id: _Optional[str] = ..., reasoning_content: _Optional[str] = ...) -> None: ...

class Tool(_message.Message):
    __slots__ = ("name", "description", "parameters_json")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_JSON_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    parameters_json: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., parameters_json: _Optional[str] = ...) -> None: ...

class ToolCall(_message.Message):
    __slots__ = ("id", "name", "arguments_json")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_JSON_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    arguments_json: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., arguments_json: _Optional[str] = ...) -> None: ...

class Completion(_message.Message):
    __slots__ = ("completion_id", "index", "text", "prompt_token_ids", "token_ids", "logprobs", "finish_reason", "policy_spans", "reasoning_content", "tool_calls", "output_json", "content", "parts_format")
    COMPLETION_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    POLICY_SPANS_FIELD_NUMBER: _ClassVar[int]
    REASONING_CONTENT_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_JSON_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    PARTS_FORMAT_FIELD_NUMBER: _ClassVar[int]
    completion_id: str
    index: int
    text: str
    prompt_token_ids: _containers.RepeatedScalarFieldContainer[int]
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    logprobs: _containers.RepeatedScalarFieldContainer[float]
    finish_reason: FinishReason
    policy_spans: _containers.RepeatedCompositeFieldContainer[PolicySpan]
    reasoning_content: str
    tool_calls: _containers.RepeatedCompositeFieldContainer[ToolCall]
    output_json: str
    content: str
    parts_format: str
    def __init__(self, completion_id: _Optional[str] = ..., index: _Optional[int] = ..., text: _Optional[str] = ..., prompt_token_ids: _Optional[_Iterable[int]] = ..., token_ids: _Optional[_Iterable[int]] = ..., logprobs: _Optional[_Iterable[float]] = ..., finish_reason: _Optional[_Union[FinishReason, str]] = ..., policy_spans: _Optional[_Iterable[_Union[PolicySpan, _Mapping]]] = ..., reasoning_content: _Optional[str] = ..., tool_calls: _Optional[_Iterable[_Union[ToolCall, _Mapping]]] = ..., output_json: _Optional[str] = ..., content: _Optional[str] = ..., parts_format: _Optional[str] = ...) -> None: ...

class PolicySpan(_message.Message):
    __slots__ = ("policy_version", "token_count")
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    policy_version: int
    token_count: int
    def __init__(self, policy_version: _Optional[int] = ..., token_count: _Optional[int] = ...) -> None: ...

class Grade(_message.Message):
    __slots__ = ("score", "error", "part_scores", "part_errors", "extracted_answer", "matched_rank", "listed_count", "grader_fingerprint")
    class PartScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class PartErrorsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: GradeError
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[GradeError, _Mapping]] = ...) -> None: ...
    SCORE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PART_SCORES_FIELD_NUMBER: _ClassVar[int]
    PART_ERRORS_FIELD_NUMBER: _ClassVar[int]
    EXTRACTED_ANSWER_FIELD_NUMBER: _ClassVar[int]
    MATCHED_RANK_FIELD_NUMBER: _ClassVar[int]
    LISTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    GRADER_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    score: float
    error: GradeError
    part_scores: _containers.ScalarMap[str, float]
    part_errors: _containers.MessageMap[str, GradeError]
    extracted_answer: str
    matched_rank: int
    listed_count: int
    grader_fingerprint: str
    def __init__(self, score: _Optional[float] = ..., error: _Optional[_Union[GradeError, _Mapping]] = ..., part_scores: _Optional[_Mapping[str, float]] = ..., part_errors: _Optional[_Mapping[str, GradeError]] = ..., extracted_answer: _Optional[str] = ..., matched_rank: _Optional[int] = ..., listed_count: _Optional[int] = ..., grader_fingerprint: _Optional[str] = ...) -> None: ...

class GradeError(_message.Message):
    __slots__ = ("error_class", "retryable", "detail", "part")
    ERROR_CLASS_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    error_class: GradeErrorClass
    retryable: bool
    detail: str
    part: str
    def __init__(self, error_class: _Optional[_Union[GradeErrorClass, str]] = ..., retryable: bool = ..., detail: _Optional[str] = ..., part: _Optional[str] = ...) -> None: ...

class Rollout(_message.Message):
    __slots__ = ("item", "completion", "grade", "step", "reward", "reward_source", "purpose")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    GRADE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    REWARD_SOURCE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    item: Item
    completion: Completion
    grade: Grade
    step: int
    reward: float
    reward_source: RewardSource
    purpose: RolloutPurpose
    def __init__(self, item: _Optional[_Union[Item, _Mapping]] = ..., completion: _Optional[_Union[Completion, _Mapping]] = ..., grade: _Optional[_Union[Grade, _Mapping]] = ..., step: _Optional[int] = ..., reward: _Optional[float] = ..., reward_source: _Optional[_Union[RewardSource, str]] = ..., purpose: _Optional[_Union[RolloutPurpose, str]] = ...) -> None: ...
