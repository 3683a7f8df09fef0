from pinetune.api.rollout.v1 import rollout_pb2 as _rollout_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StringCheckOperation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STRING_CHECK_OPERATION_UNSPECIFIED: _ClassVar[StringCheckOperation]
    STRING_CHECK_OPERATION_EQ: _ClassVar[StringCheckOperation]
    STRING_CHECK_OPERATION_NE: _ClassVar[StringCheckOperation]
    STRING_CHECK_OPERATION_LIKE: _ClassVar[StringCheckOperation]
    STRING_CHECK_OPERATION_ILIKE: _ClassVar[StringCheckOperation]

class RankCurveKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RANK_CURVE_KIND_UNSPECIFIED: _ClassVar[RankCurveKind]
    RANK_CURVE_KIND_TABLE: _ClassVar[RankCurveKind]
    RANK_CURVE_KIND_RECIPROCAL: _ClassVar[RankCurveKind]
    RANK_CURVE_KIND_LINEAR: _ClassVar[RankCurveKind]
    RANK_CURVE_KIND_DCG: _ClassVar[RankCurveKind]
STRING_CHECK_OPERATION_UNSPECIFIED: StringCheckOperation
STRING_CHECK_OPERATION_EQ: StringCheckOperation
STRING_CHECK_OPERATION_NE: StringCheckOperation
STRING_CHECK_OPERATION_LIKE: StringCheckOperation
STRING_CHECK_OPERATION_ILIKE: StringCheckOperation
RANK_CURVE_KIND_UNSPECIFIED: RankCurveKind
RANK_CURVE_KIND_TABLE: RankCurveKind
RANK_CURVE_KIND_RECIPROCAL: RankCurveKind
RANK_CURVE_KIND_LINEAR: RankCurveKind
RANK_CURVE_KIND_DCG: RankCurveKind

class GraderSpec(_message.Message):
    __slots__ = ("grader", "json")
    GRADER_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    grader: Grader
    json: str
    def __init__(self, grader: _Optional[_Union[Grader, _Mapping]] = ..., json: _Optional[str] = ...) -> None: ...

class Grader(_message.Message):
    __slots__ = ("name", "string_check", "text_similarity", "score_model", "label_model", "python", "multi", "number", "multiple_choice", "ranked_list", "math", "json_fields", "tool_calls", "regex", "shape", "remote")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STRING_CHECK_FIELD_NUMBER: _ClassVar[int]
    TEXT_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    SCORE_MODEL_FIELD_NUMBER: _ClassVar[int]
    LABEL_MODEL_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    MULTI_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    MULTIPLE_CHOICE_FIELD_NUMBER: _ClassVar[int]
    RANKED_LIST_FIELD_NUMBER: _ClassVar[int]
    MATH_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELDS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    REGEX_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    REMOTE_FIELD_NUMBER: _ClassVar[int]
    name: str
    string_check: StringCheckGrader
    text_similarity: TextSimilarityGrader
    score_model: ScoreModelGrader
    label_model: LabelModelGrader
    python: PythonGrader
    multi: MultiGrader
    number: NumberGrader
    multiple_choice: MultipleChoiceGrader
    ranked_list: RankedListGrader
    math: MathGrader
    json_fields: JsonFieldsGrader
    tool_calls: ToolCallsGrader
    regex: RegexGrader
    shape: ShapeGrader
    remote: RemoteGrader
    def __init__(self, name: _Optional[str] = ..., string_check: _Optional[_Union[StringCheckGrader, _Mapping]] = ..., text_similarity: _Optional[_Union[TextSimilarityGrader, _Mapping]] = ..., score_model: _Optional[_Union[ScoreModelGrader, _Mapping]] = ..., label_model: _Optional[_Union[LabelModelGrader, _Mapping]] = ..., python: _Optional[_Union[PythonGrader, _Mapping]] = ..., multi: _Optional[_Union[MultiGrader, _Mapping]] = ..., number: _Optional[_Union[NumberGrader, _Mapping]] = ..., multiple_choice: _Optional[_Union[MultipleChoiceGrader, _Mapping]] = ..., ranked_list: _Optional[_Union[RankedListGrader, _Mapping]] = ..., math: _Optional[_Union[MathGrader, _Mapping]] = ..., json_fields: _Optional[_Union[JsonFieldsGrader, _Mapping]] = ..., tool_calls: _Optional[_Union[ToolCallsGrader, _Mapping]] = ..., regex: _Optional[_Union[RegexGrader, _Mapping]] = ..., shape: _Optional[_Union[ShapeGrader, _Mapping]] = ..., remote: _Optional[_Union[RemoteGrader, _Mapping]] = ...) -> None: ...

class StringCheckGrader(_message.Message):
    __slots__ = ("input", "reference", "operation")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    input: str
    reference: str
    operation: StringCheckOperation
    def __init__(self, input: _Optional[str] = ..., reference: _Optional[str] = ..., operation: _Optional[_Union[StringCheckOperation, str]] = ...) -> None: ...

class TextSimilarityGrader(_message.Message):
    __slots__ = ("input", "reference", "evaluation_metric", "pass_threshold")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_METRIC_FIELD_NUMBER: _ClassVar[int]
    PASS_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    input: str
    reference: str
    evaluation_metric: str
    pass_threshold: float
    def __init__(self, input: _Optional[str] = ..., reference: _Optional[str] = ..., evaluation_metric: _Optional[str] = ..., pass_threshold: _Optional[float] = ...) -> None: ...

class JudgeMessage(_message.Message):
    __slots__ = ("role", "content")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    role: str
    content: str
    def __init__(self, role: _Optional[str] = ..., content: _Optional[str] = ...) -> None: ...

class JudgeSampling(_message.Message):
    __slots__ = ("seed", "top_p", "temperature", "max_completions_tokens", "reasoning_effort")
    SEED_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    MAX_COMPLETIONS_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_EFFORT_FIELD_NUMBER: _ClassVar[int]
    seed: int
    top_p: float
    temperature: float
    max_completions_tokens: int
    reasoning_effort: str
    def __init__(self, seed: _Optional[int] = ..., top_p: _Optional[float] = ..., temperature: _Optional[float] = ..., max_completions_tokens: _Optional[int] = ..., reasoning_effort: _Optional[str] = ...) -> None: ...

class ScoreModelGrader(_message.Message):
    __slots__ = ("model", "input", "range", "sampling_params", "pass_threshold")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_PARAMS_FIELD_NUMBER: _ClassVar[int]
    PASS_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    model: str
    input: _containers.RepeatedCompositeFieldContainer[JudgeMessage]
    range: _containers.RepeatedScalarFieldContainer[float]
    sampling_params: JudgeSampling
    pass_threshold: float
    def __init__(self, model: _Optional[str] = ..., input: _Optional[_Iterable[_Union[JudgeMessage, _Mapping]]] = ..., range: _Optional[_Iterable[float]] = ..., sampling_params: _Optional[_Union[JudgeSampling, _Mapping]] = ..., pass_threshold: _Optional[float] = ...) -> None: ...

class LabelModelGrader(_message.Message):
    __slots__ = ("model", "input", "labels", "passing_labels", "sampling_params")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PASSING_LABELS_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_PARAMS_FIELD_NUMBER: _ClassVar[int]
    model: str
    input: _containers.RepeatedCompositeFieldContainer[JudgeMessage]
    labels: _containers.RepeatedScalarFieldContainer[str]
    passing_labels: _containers.RepeatedScalarFieldContainer[str]
    sampling_params: JudgeSampling
    def __init__(self, model: _Optional[str] = ..., input: _Optional[_Iterable[_Union[JudgeMessage, _Mapping]]] = ..., labels: _Optional[_Iterable[str]] = ..., passing_labels: _Optional[_Iterable[str]] = ..., sampling_params: _Optional[_Union[JudgeSampling, _Mapping]] = ...) -> None: ...

class PythonGrader(_message.Message):
    __slots__ = ("source", "image_tag", "pass_threshold")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_TAG_FIELD_NUMBER: _ClassVar[int]
    PASS_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    source: str
    image_tag: str
    pass_threshold: float
    def __init__(self, source: _Optional[str] = ..., image_tag: _Optional[str] = ..., pass_threshold: _Optional[float] = ...) -> None: ...

class MultiGrader(_message.Message):
    __slots__ = ("graders", "calculate_output", "gate", "shadow")
    class GradersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Grader
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Grader, _Mapping]] = ...) -> None: ...
    GRADERS_FIELD_NUMBER: _ClassVar[int]
    CALCULATE_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    GATE_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    graders: _containers.MessageMap[str, Grader]
    calculate_output: str
    gate: str
    shadow: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, graders: _Optional[_Mapping[str, Grader]] = ..., calculate_output: _Optional[str] = ..., gate: _Optional[str] = ..., shadow: _Optional[_Iterable[str]] = ...) -> None: ...

class AnswerLocation(_message.Message):
    __slots__ = ("marker", "marker_required")
    MARKER_FIELD_NUMBER: _ClassVar[int]
    MARKER_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    marker: str
    marker_required: bool
    def __init__(self, marker: _Optional[str] = ..., marker_required: bool = ...) -> None: ...

class NumberGrader(_message.Message):
    __slots__ = ("input", "reference", "location", "absolute_tolerance", "relative_tolerance", "partial_score", "percent_as_fraction", "expression")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    ABSOLUTE_TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    RELATIVE_TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_SCORE_FIELD_NUMBER: _ClassVar[int]
    PERCENT_AS_FRACTION_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    input: str
    reference: str
    location: AnswerLocation
    absolute_tolerance: float
    relative_tolerance: float
    partial_score: float
    percent_as_fraction: bool
    expression: bool
    def __init__(self, input: _Optional[str] = ..., reference: _Optional[str] = ..., location: _Optional[_Union[AnswerLocation, _Mapping]] = ..., absolute_tolerance: _Optional[float] = ..., relative_tolerance: _Optional[float] = ..., partial_score: _Optional[float] = ..., percent_as_fraction: bool = ..., expression: bool = ...) -> None: ...

class MultipleChoiceGrader(_message.Message):
    __slots__ = ("input", "reference", "choices", "location", "partial_score")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_SCORE_FIELD_NUMBER: _ClassVar[int]
    input: str
    reference: str
    choices: _containers.RepeatedScalarFieldContainer[str]
    location: AnswerLocation
    partial_score: float
    def __init__(self, input: _Optional[str] = ..., reference: _Optional[str] = ..., choices: _Optional[_Iterable[str]] = ..., location: _Optional[_Union[AnswerLocation, _Mapping]] = ..., partial_score: _Optional[float] = ...) -> None: ...

class RankedListGrader(_message.Message):
    __slots__ = ("input", "reference", "location", "curve", "max_rank", "case_sensitive", "aliases", "partial_score")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    CURVE_FIELD_NUMBER: _ClassVar[int]
    MAX_RANK_FIELD_NUMBER: _ClassVar[int]
    CASE_SENSITIVE_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_SCORE_FIELD_NUMBER: _ClassVar[int]
    input: str
    reference: str
    location: AnswerLocation
    curve: RankCurve
    max_rank: int
    case_sensitive: bool
    aliases: str
    partial_score: float
    def __init__(self, input: _Optional[str] = ..., reference: _Optional[str] = ..., location: _Optional[_Union[AnswerLocation, _Mapping]] = ..., curve: _Optional[_Union[RankCurve, _Mapping]] = ..., max_rank: _Optional[int] = ..., case_sensitive: bool = ..., aliases: _Optional[str] = ..., partial_score: _Optional[float] = ...) -> None: ...

class RankCurve(_message.Message):
    __slots__ = ("kind", "table", "zero_rank")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    ZERO_RANK_FIELD_NUMBER: _ClassVar[int]
    kind: RankCurveKind
    table: _containers.RepeatedScalarFieldContainer[float]
    zero_rank: int
    def __init__(self, kind: _Optional[_Union[RankCurveKind, str]] = ..., table: _Optional[_Iterable[float]] = ..., zero_rank: _Optional[int] = ...) -> None: ...

class MathGrader(_message.Message):
    __slots__ = ("input", "reference", "location", "partial_score")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_SCORE_FIELD_NUMBER: _ClassVar[int]
    input: str
    reference: str
    location: AnswerLocation
    partial_score: float
    def __init__(self, input: _Optional[str] = ..., reference: _Optional[str] = ..., location: _Optional[_Union[AnswerLocation, _Mapping]] = ..., partial_score: _Optional[float] = ...) -> None: ...

class JsonFieldsGrader(_message.Message):
    __slots__ = ("input", "reference", "schema_json", "weights")
    class WeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    INPUT_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_JSON_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    input: str
    reference: str
    schema_json: str
    weights: _containers.ScalarMap[str, float]
    def __init__(self, input: _Optional[str] = ..., reference: _Optional[str] = ..., schema_json: _Optional[str] = ..., weights: _Optional[_Mapping[str, float]] = ...) -> None: ...

class ToolCallsGrader(_message.Message):
    __slots__ = ("input", "reference", "any_order")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    ANY_ORDER_FIELD_NUMBER: _ClassVar[int]
    input: str
    reference: str
    any_order: bool
    def __init__(self, input: _Optional[str] = ..., reference: _Optional[str] = ..., any_order: bool = ...) -> None: ...

class RegexGrader(_message.Message):
    __slots__ = ("input", "pattern", "reference")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    input: str
    pattern: str
    reference: str
    def __init__(self, input: _Optional[str] = ..., pattern: _Optional[str] = ..., reference: _Optional[str] = ...) -> None: ...

class ShapeGrader(_message.Message):
    __slots__ = ("input", "min_characters", "max_characters", "slope_characters", "required_pattern")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    MIN_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    MAX_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    SLOPE_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_PATTERN_FIELD_NUMBER: _ClassVar[int]
    input: str
    min_characters: int
    max_characters: int
    slope_characters: int
    required_pattern: str
    def __init__(self, input: _Optional[str] = ..., min_characters: _Optional[int] = ..., max_characters: _Optional[int] = ..., slope_characters: _Optional[int] = ..., required_pattern: _Optional[str] = ...) -> None: ...

class RemoteGrader(_message.Message):
    __slots__ = ("endpoint", "timeout_seconds", "settings_json")
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_JSON_FIELD_NUMBER: _ClassVar[int]
    endpoint: str
    timeout_seconds: float
    settings_json: str
    def __init__(self, endpoint: _Optional[str] = ..., timeout_seconds: _Optional[float] = ..., settings_json: _Optional[str] = ...) -> None: ...

class GradeRequest(_message.Message):
    __slots__ = ("grader", "items_json", "output_texts", "item_indexes", "samples_json", "finish_reasons", "fresh_answers")
    GRADER_FIELD_NUMBER: _ClassVar[int]
    ITEMS_JSON_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TEXTS_FIELD_NUMBER: _ClassVar[int]
    ITEM_INDEXES_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_JSON_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASONS_FIELD_NUMBER: _ClassVar[int]
    FRESH_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    grader: GraderSpec
    items_json: _containers.RepeatedScalarFieldContainer[str]
    output_texts: _containers.RepeatedScalarFieldContainer[str]
    item_indexes: _containers.RepeatedScalarFieldContainer[int]
    samples_json: _containers.RepeatedScalarFieldContainer[str]
    finish_reasons: _containers.RepeatedScalarFieldContainer[_rollout_pb2.FinishReason]
    fresh_answers: bool
    def __init__(self, grader: _Optional[_Union[GraderSpec, _Mapping]] = ..., items_json: _Optional[_Iterable[str]] = ..., output_texts: _Optional[_Iterable[str]] = ..., item_indexes: _Optional[_Iterable[int]] = ..., samples_json: _Optional[_Iterable[str]] = ..., finish_reasons: _Optional[_Iterable[_Union[_rollout_pb2.FinishReason, str]]] = ..., fresh_answers: bool = ...) -> None: ...

class GradeResponse(_message.Message):
    __slots__ = ("grades", "grading_seconds", "judge_tokens")
    class JudgeTokensEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    GRADES_FIELD_NUMBER: _ClassVar[int]
    GRADING_SECONDS_FIELD_NUMBER: _ClassVar[int]
    JUDGE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    grades: _containers.RepeatedCompositeFieldContainer[_rollout_pb2.Grade]
    grading_seconds: float
    judge_tokens: _containers.ScalarMap[str, int]
    def __init__(self, grades: _Optional[_Iterable[_Union[_rollout_pb2.Grade, _Mapping]]] = ..., grading_seconds: _Optional[float] = ..., judge_tokens: _Optional[_Mapping[str, int]] = ...) -> None: ...

class ValidateGraderRequest(_message.Message):
    __slots__ = ("grader", "item_keys")
    GRADER_FIELD_NUMBER: _ClassVar[int]
    ITEM_KEYS_FIELD_NUMBER: _ClassVar[int]
    grader: GraderSpec
    item_keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, grader: _Optional[_Union[GraderSpec, _Mapping]] = ..., item_keys: _Optional[_Iterable[str]] = ...) -> None: ...

class ValidateGraderResponse(_message.Message):
    __slots__ = ("grader", "json", "fingerprint")
    GRADER_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    grader: Grader
    json: str
    fingerprint: str
    def __init__(self, grader: _Optional[_Union[Grader, _Mapping]] = ..., json: _Optional[str] = ..., fingerprint: _Optional[str] = ...) -> None: ...
