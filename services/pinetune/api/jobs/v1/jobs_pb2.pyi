import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from pinetune.api.grading.v1 import grading_pb2 as _grading_pb2
from pinetune.api.jobs.v1 import spec_pb2 as _spec_pb2
from pinetune.api.learning.v1 import learning_pb2 as _learning_pb2
from pinetune.api.rollout.v1 import rollout_pb2 as _rollout_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_VALIDATING: _ClassVar[JobState]
    JOB_STATE_QUEUED: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_PAUSED: _ClassVar[JobState]
    JOB_STATE_SUCCEEDED: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]

class JobPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_PHASE_UNSPECIFIED: _ClassVar[JobPhase]
    JOB_PHASE_PREPARING: _ClassVar[JobPhase]
    JOB_PHASE_WARM_UP: _ClassVar[JobPhase]
    JOB_PHASE_TRAINING: _ClassVar[JobPhase]
    JOB_PHASE_COMPARING: _ClassVar[JobPhase]

class EventLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_LEVEL_UNSPECIFIED: _ClassVar[EventLevel]
    EVENT_LEVEL_INFO: _ClassVar[EventLevel]
    EVENT_LEVEL_WARN: _ClassVar[EventLevel]
    EVENT_LEVEL_ERROR: _ClassVar[EventLevel]

class EventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_TYPE_UNSPECIFIED: _ClassVar[EventType]
    EVENT_TYPE_MESSAGE: _ClassVar[EventType]
    EVENT_TYPE_METRICS: _ClassVar[EventType]
    EVENT_TYPE_STATE: _ClassVar[EventType]
    EVENT_TYPE_CHECKPOINT: _ClassVar[EventType]

class CheckpointKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHECKPOINT_KIND_UNSPECIFIED: _ClassVar[CheckpointKind]
    CHECKPOINT_KIND_LATEST: _ClassVar[CheckpointKind]
    CHECKPOINT_KIND_BEST: _ClassVar[CheckpointKind]
    CHECKPOINT_KIND_BASE: _ClassVar[CheckpointKind]
    CHECKPOINT_KIND_WARM_UP: _ClassVar[CheckpointKind]
    CHECKPOINT_KIND_PAUSE: _ClassVar[CheckpointKind]
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_VALIDATING: JobState
JOB_STATE_QUEUED: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_PAUSED: JobState
JOB_STATE_SUCCEEDED: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState
JOB_PHASE_UNSPECIFIED: JobPhase
JOB_PHASE_PREPARING: JobPhase
JOB_PHASE_WARM_UP: JobPhase
JOB_PHASE_TRAINING: JobPhase
JOB_PHASE_COMPARING: JobPhase
EVENT_LEVEL_UNSPECIFIED: EventLevel
EVENT_LEVEL_INFO: EventLevel
EVENT_LEVEL_WARN: EventLevel
EVENT_LEVEL_ERROR: EventLevel
EVENT_TYPE_UNSPECIFIED: EventType
EVENT_TYPE_MESSAGE: EventType
EVENT_TYPE_METRICS: EventType
EVENT_TYPE_STATE: EventType
EVENT_TYPE_CHECKPOINT: EventType
CHECKPOINT_KIND_UNSPECIFIED: CheckpointKind
CHECKPOINT_KIND_LATEST: CheckpointKind
CHECKPOINT_KIND_BEST: CheckpointKind
CHECKPOINT_KIND_BASE: CheckpointKind
CHECKPOINT_KIND_WARM_UP: CheckpointKind
CHECKPOINT_KIND_PAUSE: CheckpointKind

class Dataset(_message.Message):
    __slots__ = ("dataset_id", "filename", "create_time", "size_bytes", "row_count", "sha256", "common_keys", "findings")
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    COMMON_KEYS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    dataset_id: str
    filename: str
    create_time: _timestamp_pb2.Timestamp
    size_bytes: int
    row_count: int
    sha256: str
    common_keys: _containers.RepeatedScalarFieldContainer[str]
    findings: _containers.RepeatedCompositeFieldContainer[DatasetFinding]
    def __init__(self, dataset_id: _Optional[str] = ..., filename: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., size_bytes: _Optional[int] = ..., row_count: _Optional[int] = ..., sha256: _Optional[str] = ..., common_keys: _Optional[_Iterable[str]] = ..., findings: _Optional[_Iterable[_Union[DatasetFinding, _Mapping]]] = ...) -> None: ...

class DatasetFinding(_message.Message):
    __slots__ = ("line", "key", "message")
    LINE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    line: int
    key: str
    message: str
    def __init__(self, line: _Optional[int] = ..., key: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class CreateDatasetRequest(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: DatasetHeader
    chunk: bytes
    def __init__(self, header: _Optional[_Union[DatasetHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class DatasetHeader(_message.Message):
    __slots__ = ("filename", "size_bytes")
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    filename: str
    size_bytes: int
    def __init__(self, filename: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class GetDatasetRequest(_message.Message):
    __slots__ = ("dataset_id",)
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    dataset_id: str
    def __init__(self, dataset_id: _Optional[str] = ...) -> None: ...

class ListDatasetsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDatasetsResponse(_message.Message):
    __slots__ = ("datasets", "next_page_token")
    DATASETS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    datasets: _containers.RepeatedCompositeFieldContainer[Dataset]
    next_page_token: str
    def __init__(self, datasets: _Optional[_Iterable[_Union[Dataset, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteDatasetRequest(_message.Message):
    __slots__ = ("dataset_id",)
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    dataset_id: str
    def __init__(self, dataset_id: _Optional[str] = ...) -> None: ...

class DeleteDatasetResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckDatasetsRequest(_message.Message):
    __slots__ = ("training_file", "validation_file", "dataset")
    TRAINING_FILE_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_FILE_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    training_file: str
    validation_file: str
    dataset: _spec_pb2.DatasetSettings
    def __init__(self, training_file: _Optional[str] = ..., validation_file: _Optional[str] = ..., dataset: _Optional[_Union[_spec_pb2.DatasetSettings, _Mapping]] = ...) -> None: ...

class CheckDatasetsResponse(_message.Message):
    __slots__ = ("shared_prompt_count", "shared_answer_count", "validation_answer_count", "shared_answers", "findings")
    SHARED_PROMPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHARED_ANSWER_COUNT_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_ANSWER_COUNT_FIELD_NUMBER: _ClassVar[int]
    SHARED_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    shared_prompt_count: int
    shared_answer_count: int
    validation_answer_count: int
    shared_answers: _containers.RepeatedScalarFieldContainer[str]
    findings: _containers.RepeatedCompositeFieldContainer[DatasetFinding]
    def __init__(self, shared_prompt_count: _Optional[int] = ..., shared_answer_count: _Optional[int] = ..., validation_answer_count: _Optional[int] = ..., shared_answers: _Optional[_Iterable[str]] = ..., findings: _Optional[_Iterable[_Union[DatasetFinding, _Mapping]]] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("job_id", "spec", "state", "phase", "create_time", "start_time", "end_time", "error", "step", "total_steps", "warm_up_step", "total_warm_up_steps", "estimated_seconds_left", "model_uri", "fine_tuned_model", "usage", "waiting_for", "attempt", "best_checkpoint_id")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TOTAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    WARM_UP_STEP_FIELD_NUMBER: _ClassVar[int]
    TOTAL_WARM_UP_STEPS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_SECONDS_LEFT_FIELD_NUMBER: _ClassVar[int]
    MODEL_URI_FIELD_NUMBER: _ClassVar[int]
    FINE_TUNED_MODEL_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    BEST_CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    spec: _spec_pb2.JobSpec
    state: JobState
    phase: JobPhase
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    error: JobError
    step: int
    total_steps: int
    warm_up_step: int
    total_warm_up_steps: int
    estimated_seconds_left: float
    model_uri: str
    fine_tuned_model: str
    usage: Usage
    waiting_for: str
    attempt: int
    best_checkpoint_id: str
    def __init__(self, job_id: _Optional[str] = ..., spec: _Optional[_Union[_spec_pb2.JobSpec, _Mapping]] = ..., state: _Optional[_Union[JobState, str]] = ..., phase: _Optional[_Union[JobPhase, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[_Union[JobError, _Mapping]] = ..., step: _Optional[int] = ..., total_steps: _Optional[int] = ..., warm_up_step: _Optional[int] = ..., total_warm_up_steps: _Optional[int] = ..., estimated_seconds_left: _Optional[float] = ..., model_uri: _Optional[str] = ..., fine_tuned_model: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., waiting_for: _Optional[str] = ..., attempt: _Optional[int] = ..., best_checkpoint_id: _Optional[str] = ...) -> None: ...

class JobError(_message.Message):
    __slots__ = ("reason", "message", "field")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    field: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., field: _Optional[str] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("seconds", "sampled_token_count", "trained_token_count", "compute_flops", "judge_token_count")
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    SAMPLED_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRAINED_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_FLOPS_FIELD_NUMBER: _ClassVar[int]
    JUDGE_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    seconds: float
    sampled_token_count: int
    trained_token_count: int
    compute_flops: float
    judge_token_count: int
    def __init__(self, seconds: _Optional[float] = ..., sampled_token_count: _Optional[int] = ..., trained_token_count: _Optional[int] = ..., compute_flops: _Optional[float] = ..., judge_token_count: _Optional[int] = ...) -> None: ...

class CreateJobRequest(_message.Message):
    __slots__ = ("spec", "spec_json", "request_id")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    SPEC_JSON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    spec: _spec_pb2.JobSpec
    spec_json: str
    request_id: str
    def __init__(self, spec: _Optional[_Union[_spec_pb2.JobSpec, _Mapping]] = ..., spec_json: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "states")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[JobState]
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[JobState, str]]] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    next_page_token: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class PauseJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class ResumeJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("job_id", "resume_token")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    resume_token: str
    def __init__(self, job_id: _Optional[str] = ..., resume_token: _Optional[str] = ...) -> None: ...

class WatchJobResponse(_message.Message):
    __slots__ = ("event", "job", "resume_token")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    event: Event
    job: Job
    resume_token: str
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ..., job: _Optional[_Union[Job, _Mapping]] = ..., resume_token: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("event_id", "job_id", "create_time", "level", "type", "message", "step")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    job_id: str
    create_time: _timestamp_pb2.Timestamp
    level: EventLevel
    type: EventType
    message: str
    step: Step
    def __init__(self, event_id: _Optional[str] = ..., job_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., level: _Optional[_Union[EventLevel, str]] = ..., type: _Optional[_Union[EventType, str]] = ..., message: _Optional[str] = ..., step: _Optional[_Union[Step, _Mapping]] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("job_id", "number", "phase", "commit_time", "policy_version", "warm_up", "update", "training_grades", "train_reward_mean", "train_part_means", "validation", "timing", "truncated_share", "completion_tokens_mean", "rollouts_uri", "rollouts_sha256", "canary_gap", "sampled_tokens_per_second")
    class TrainPartMeansEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    COMMIT_TIME_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    WARM_UP_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    TRAINING_GRADES_FIELD_NUMBER: _ClassVar[int]
    TRAIN_REWARD_MEAN_FIELD_NUMBER: _ClassVar[int]
    TRAIN_PART_MEANS_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_SHARE_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_MEAN_FIELD_NUMBER: _ClassVar[int]
    ROLLOUTS_URI_FIELD_NUMBER: _ClassVar[int]
    ROLLOUTS_SHA256_FIELD_NUMBER: _ClassVar[int]
    CANARY_GAP_FIELD_NUMBER: _ClassVar[int]
    SAMPLED_TOKENS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    number: int
    phase: JobPhase
    commit_time: _timestamp_pb2.Timestamp
    policy_version: int
    warm_up: _learning_pb2.WarmUpMetrics
    update: _learning_pb2.UpdateMetrics
    training_grades: GradeCounts
    train_reward_mean: float
    train_part_means: _containers.ScalarMap[str, float]
    validation: ValidationResult
    timing: StepTiming
    truncated_share: float
    completion_tokens_mean: float
    rollouts_uri: str
    rollouts_sha256: str
    canary_gap: float
    sampled_tokens_per_second: float
    def __init__(self, job_id: _Optional[str] = ..., number: _Optional[int] = ..., phase: _Optional[_Union[JobPhase, str]] = ..., commit_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., policy_version: _Optional[int] = ..., warm_up: _Optional[_Union[_learning_pb2.WarmUpMetrics, _Mapping]] = ..., update: _Optional[_Union[_learning_pb2.UpdateMetrics, _Mapping]] = ..., training_grades: _Optional[_Union[GradeCounts, _Mapping]] = ..., train_reward_mean: _Optional[float] = ..., train_part_means: _Optional[_Mapping[str, float]] = ..., validation: _Optional[_Union[ValidationResult, _Mapping]] = ..., timing: _Optional[_Union[StepTiming, _Mapping]] = ..., truncated_share: _Optional[float] = ..., completion_tokens_mean: _Optional[float] = ..., rollouts_uri: _Optional[str] = ..., rollouts_sha256: _Optional[str] = ..., canary_gap: _Optional[float] = ..., sampled_tokens_per_second: _Optional[float] = ...) -> None: ...

class GradeCounts(_message.Message):
    __slots__ = ("sampled_count", "graded_count", "ungraded_count", "penalised_count", "common_errors")
    class CommonErrorsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SAMPLED_COUNT_FIELD_NUMBER: _ClassVar[int]
    GRADED_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNGRADED_COUNT_FIELD_NUMBER: _ClassVar[int]
    PENALISED_COUNT_FIELD_NUMBER: _ClassVar[int]
    COMMON_ERRORS_FIELD_NUMBER: _ClassVar[int]
    sampled_count: int
    graded_count: int
    ungraded_count: int
    penalised_count: int
    common_errors: _containers.ScalarMap[str, int]
    def __init__(self, sampled_count: _Optional[int] = ..., graded_count: _Optional[int] = ..., ungraded_count: _Optional[int] = ..., penalised_count: _Optional[int] = ..., common_errors: _Optional[_Mapping[str, int]] = ...) -> None: ...

class StepTiming(_message.Message):
    __slots__ = ("sampling_seconds", "grading_seconds", "learning_seconds", "weights_seconds", "validation_seconds", "total_seconds")
    SAMPLING_SECONDS_FIELD_NUMBER: _ClassVar[int]
    GRADING_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LEARNING_SECONDS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_SECONDS_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    sampling_seconds: float
    grading_seconds: float
    learning_seconds: float
    weights_seconds: float
    validation_seconds: float
    total_seconds: float
    def __init__(self, sampling_seconds: _Optional[float] = ..., grading_seconds: _Optional[float] = ..., learning_seconds: _Optional[float] = ..., weights_seconds: _Optional[float] = ..., validation_seconds: _Optional[float] = ..., total_seconds: _Optional[float] = ...) -> None: ...

class ValidationResult(_message.Message):
    __slots__ = ("reward_mean", "reward_low", "reward_high", "grades", "statistics", "rollouts_uri")
    REWARD_MEAN_FIELD_NUMBER: _ClassVar[int]
    REWARD_LOW_FIELD_NUMBER: _ClassVar[int]
    REWARD_HIGH_FIELD_NUMBER: _ClassVar[int]
    GRADES_FIELD_NUMBER: _ClassVar[int]
    STATISTICS_FIELD_NUMBER: _ClassVar[int]
    ROLLOUTS_URI_FIELD_NUMBER: _ClassVar[int]
    reward_mean: float
    reward_low: float
    reward_high: float
    grades: GradeCounts
    statistics: _containers.RepeatedCompositeFieldContainer[Statistic]
    rollouts_uri: str
    def __init__(self, reward_mean: _Optional[float] = ..., reward_low: _Optional[float] = ..., reward_high: _Optional[float] = ..., grades: _Optional[_Union[GradeCounts, _Mapping]] = ..., statistics: _Optional[_Iterable[_Union[Statistic, _Mapping]]] = ..., rollouts_uri: _Optional[str] = ...) -> None: ...

class Statistic(_message.Message):
    __slots__ = ("name", "value", "low", "high", "count")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    low: float
    high: float
    count: int
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., count: _Optional[int] = ...) -> None: ...

class ListEventsRequest(_message.Message):
    __slots__ = ("job_id", "page_size", "page_token")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    page_size: int
    page_token: str
    def __init__(self, job_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListStepsRequest(_message.Message):
    __slots__ = ("job_id", "page_size", "page_token", "phase")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    page_size: int
    page_token: str
    phase: JobPhase
    def __init__(self, job_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., phase: _Optional[_Union[JobPhase, str]] = ...) -> None: ...

class ListStepsResponse(_message.Message):
    __slots__ = ("steps", "next_page_token")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    next_page_token: str
    def __init__(self, steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("checkpoint_id", "job_id", "step_number", "kind", "create_time", "policy_uri", "state_uri", "policy_version", "content_hash", "validation", "fine_tuned_model_checkpoint", "warm_up_step_number", "usage")
    CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_NUMBER_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    POLICY_URI_FIELD_NUMBER: _ClassVar[int]
    STATE_URI_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_FIELD_NUMBER: _ClassVar[int]
    FINE_TUNED_MODEL_CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    WARM_UP_STEP_NUMBER_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    checkpoint_id: str
    job_id: str
    step_number: int
    kind: CheckpointKind
    create_time: _timestamp_pb2.Timestamp
    policy_uri: str
    state_uri: str
    policy_version: int
    content_hash: str
    validation: ValidationResult
    fine_tuned_model_checkpoint: str
    warm_up_step_number: int
    usage: Usage
    def __init__(self, checkpoint_id: _Optional[str] = ..., job_id: _Optional[str] = ..., step_number: _Optional[int] = ..., kind: _Optional[_Union[CheckpointKind, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., policy_uri: _Optional[str] = ..., state_uri: _Optional[str] = ..., policy_version: _Optional[int] = ..., content_hash: _Optional[str] = ..., validation: _Optional[_Union[ValidationResult, _Mapping]] = ..., fine_tuned_model_checkpoint: _Optional[str] = ..., warm_up_step_number: _Optional[int] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ...) -> None: ...

class ListCheckpointsRequest(_message.Message):
    __slots__ = ("job_id", "page_size", "page_token")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    page_size: int
    page_token: str
    def __init__(self, job_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCheckpointsResponse(_message.Message):
    __slots__ = ("checkpoints", "next_page_token")
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    checkpoints: _containers.RepeatedCompositeFieldContainer[Checkpoint]
    next_page_token: str
    def __init__(self, checkpoints: _Optional[_Iterable[_Union[Checkpoint, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListRolloutsRequest(_message.Message):
    __slots__ = ("job_id", "evaluation_id", "step", "purpose", "page_size", "page_token")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    evaluation_id: str
    step: int
    purpose: _rollout_pb2.RolloutPurpose
    page_size: int
    page_token: str
    def __init__(self, job_id: _Optional[str] = ..., evaluation_id: _Optional[str] = ..., step: _Optional[int] = ..., purpose: _Optional[_Union[_rollout_pb2.RolloutPurpose, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRolloutsResponse(_message.Message):
    __slots__ = ("rollouts", "next_page_token")
    ROLLOUTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rollouts: _containers.RepeatedCompositeFieldContainer[_rollout_pb2.Rollout]
    next_page_token: str
    def __init__(self, rollouts: _Optional[_Iterable[_Union[_rollout_pb2.Rollout, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetRolloutRequest(_message.Message):
    __slots__ = ("job_id", "evaluation_id", "completion_id")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_ID_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    evaluation_id: str
    completion_id: str
    def __init__(self, job_id: _Optional[str] = ..., evaluation_id: _Optional[str] = ..., completion_id: _Optional[str] = ...) -> None: ...

class Evaluation(_message.Message):
    __slots__ = ("evaluation_id", "order", "state", "error", "create_time", "end_time", "statistics", "grades", "rollouts_uri", "content_hash")
    EVALUATION_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    STATISTICS_FIELD_NUMBER: _ClassVar[int]
    GRADES_FIELD_NUMBER: _ClassVar[int]
    ROLLOUTS_URI_FIELD_NUMBER: _ClassVar[int]
    CONTENT_HASH_FIELD_NUMBER: _ClassVar[int]
    evaluation_id: str
    order: EvaluationOrder
    state: JobState
    error: JobError
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    statistics: _containers.RepeatedCompositeFieldContainer[Statistic]
    grades: GradeCounts
    rollouts_uri: str
    content_hash: str
    def __init__(self, evaluation_id: _Optional[str] = ..., order: _Optional[_Union[EvaluationOrder, _Mapping]] = ..., state: _Optional[_Union[JobState, str]] = ..., error: _Optional[_Union[JobError, _Mapping]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., statistics: _Optional[_Iterable[_Union[Statistic, _Mapping]]] = ..., grades: _Optional[_Union[GradeCounts, _Mapping]] = ..., rollouts_uri: _Optional[str] = ..., content_hash: _Optional[str] = ...) -> None: ...

class EvaluationOrder(_message.Message):
    __slots__ = ("name", "model", "dataset_id", "grader", "dataset", "sampling", "vote_samples", "vote_temperature", "seed", "job_id", "engine")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    GRADER_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    VOTE_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    VOTE_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: str
    dataset_id: str
    grader: _grading_pb2.GraderSpec
    dataset: _spec_pb2.DatasetSettings
    sampling: _spec_pb2.SamplingSpec
    vote_samples: int
    vote_temperature: float
    seed: int
    job_id: str
    engine: _spec_pb2.EngineSpec
    def __init__(self, name: _Optional[str] = ..., model: _Optional[str] = ..., dataset_id: _Optional[str] = ..., grader: _Optional[_Union[_grading_pb2.GraderSpec, _Mapping]] = ..., dataset: _Optional[_Union[_spec_pb2.DatasetSettings, _Mapping]] = ..., sampling: _Optional[_Union[_spec_pb2.SamplingSpec, _Mapping]] = ..., vote_samples: _Optional[int] = ..., vote_temperature: _Optional[float] = ..., seed: _Optional[int] = ..., job_id: _Optional[str] = ..., engine: _Optional[_Union[_spec_pb2.EngineSpec, _Mapping]] = ...) -> None: ...

class CreateEvaluationRequest(_message.Message):
    __slots__ = ("order", "request_id")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    order: EvaluationOrder
    request_id: str
    def __init__(self, order: _Optional[_Union[EvaluationOrder, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class GetEvaluationRequest(_message.Message):
    __slots__ = ("evaluation_id",)
    EVALUATION_ID_FIELD_NUMBER: _ClassVar[int]
    evaluation_id: str
    def __init__(self, evaluation_id: _Optional[str] = ...) -> None: ...

class ListEvaluationsRequest(_message.Message):
    __slots__ = ("job_id", "page_size", "page_token")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    page_size: int
    page_token: str
    def __init__(self, job_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEvaluationsResponse(_message.Message):
    __slots__ = ("evaluations", "next_page_token")
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    evaluations: _containers.RepeatedCompositeFieldContainer[Evaluation]
    next_page_token: str
    def __init__(self, evaluations: _Optional[_Iterable[_Union[Evaluation, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CompareEvaluationsRequest(_message.Message):
    __slots__ = ("evaluation_ids",)
    EVALUATION_IDS_FIELD_NUMBER: _ClassVar[int]
    evaluation_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, evaluation_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ("evaluations", "differences")
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    evaluations: _containers.RepeatedCompositeFieldContainer[Evaluation]
    differences: _containers.RepeatedCompositeFieldContainer[Difference]
    def __init__(self, evaluations: _Optional[_Iterable[_Union[Evaluation, _Mapping]]] = ..., differences: _Optional[_Iterable[_Union[Difference, _Mapping]]] = ...) -> None: ...

class Difference(_message.Message):
    __slots__ = ("evaluation_id", "baseline_id", "statistic", "better_count", "worse_count")
    EVALUATION_ID_FIELD_NUMBER: _ClassVar[int]
    BASELINE_ID_FIELD_NUMBER: _ClassVar[int]
    STATISTIC_FIELD_NUMBER: _ClassVar[int]
    BETTER_COUNT_FIELD_NUMBER: _ClassVar[int]
    WORSE_COUNT_FIELD_NUMBER: _ClassVar[int]
    evaluation_id: str
    baseline_id: str
    statistic: Statistic
    better_count: int
    worse_count: int
    def __init__(self, evaluation_id: _Optional[str] = ..., baseline_id: _Optional[str] = ..., statistic: _Optional[_Union[Statistic, _Mapping]] = ..., better_count: _Optional[int] = ..., worse_count: _Optional[int] = ...) -> None: ...
