from pinetune.api.jobs.v1 import jobs_pb2 as _jobs_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WorkerAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKER_ACTION_UNSPECIFIED: _ClassVar[WorkerAction]
    WORKER_ACTION_CONTINUE: _ClassVar[WorkerAction]
    WORKER_ACTION_CANCEL: _ClassVar[WorkerAction]
    WORKER_ACTION_PAUSE: _ClassVar[WorkerAction]
WORKER_ACTION_UNSPECIFIED: WorkerAction
WORKER_ACTION_CONTINUE: WorkerAction
WORKER_ACTION_CANCEL: WorkerAction
WORKER_ACTION_PAUSE: WorkerAction

class Lease(_message.Message):
    __slots__ = ("work_id", "attempt")
    WORK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    work_id: str
    attempt: int
    def __init__(self, work_id: _Optional[str] = ..., attempt: _Optional[int] = ...) -> None: ...

class ClaimWorkRequest(_message.Message):
    __slots__ = ("work_id", "attempt")
    WORK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    work_id: str
    attempt: int
    def __init__(self, work_id: _Optional[str] = ..., attempt: _Optional[int] = ...) -> None: ...

class ClaimWorkResponse(_message.Message):
    __slots__ = ("lease", "job", "evaluation", "checkpoint", "dataset_uris", "artifacts_uri", "model_uri", "kept_checkpoints")
    class DatasetUrisEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    LEASE_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    DATASET_URIS_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_URI_FIELD_NUMBER: _ClassVar[int]
    MODEL_URI_FIELD_NUMBER: _ClassVar[int]
    KEPT_CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    job: _jobs_pb2.Job
    evaluation: _jobs_pb2.Evaluation
    checkpoint: _jobs_pb2.Checkpoint
    dataset_uris: _containers.ScalarMap[str, str]
    artifacts_uri: str
    model_uri: str
    kept_checkpoints: _containers.RepeatedCompositeFieldContainer[_jobs_pb2.Checkpoint]
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ..., job: _Optional[_Union[_jobs_pb2.Job, _Mapping]] = ..., evaluation: _Optional[_Union[_jobs_pb2.Evaluation, _Mapping]] = ..., checkpoint: _Optional[_Union[_jobs_pb2.Checkpoint, _Mapping]] = ..., dataset_uris: _Optional[_Mapping[str, str]] = ..., artifacts_uri: _Optional[str] = ..., model_uri: _Optional[str] = ..., kept_checkpoints: _Optional[_Iterable[_Union[_jobs_pb2.Checkpoint, _Mapping]]] = ...) -> None: ...

class HeartbeatRequest(_message.Message):
    __slots__ = ("lease", "waiting_for", "phase", "total_steps", "total_warm_up_steps", "wanted_replicas")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    WAITING_FOR_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_WARM_UP_STEPS_FIELD_NUMBER: _ClassVar[int]
    WANTED_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    waiting_for: str
    phase: _jobs_pb2.JobPhase
    total_steps: int
    total_warm_up_steps: int
    wanted_replicas: int
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ..., waiting_for: _Optional[str] = ..., phase: _Optional[_Union[_jobs_pb2.JobPhase, str]] = ..., total_steps: _Optional[int] = ..., total_warm_up_steps: _Optional[int] = ..., wanted_replicas: _Optional[int] = ...) -> None: ...

class HeartbeatResponse(_message.Message):
    __slots__ = ("action",)
    ACTION_FIELD_NUMBER: _ClassVar[int]
    action: WorkerAction
    def __init__(self, action: _Optional[_Union[WorkerAction, str]] = ...) -> None: ...

class CommitStepRequest(_message.Message):
    __slots__ = ("lease", "step", "usage")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    step: _jobs_pb2.Step
    usage: _jobs_pb2.Usage
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ..., step: _Optional[_Union[_jobs_pb2.Step, _Mapping]] = ..., usage: _Optional[_Union[_jobs_pb2.Usage, _Mapping]] = ...) -> None: ...

class CommitStepResponse(_message.Message):
    __slots__ = ("action",)
    ACTION_FIELD_NUMBER: _ClassVar[int]
    action: WorkerAction
    def __init__(self, action: _Optional[_Union[WorkerAction, str]] = ...) -> None: ...

class CommitCheckpointRequest(_message.Message):
    __slots__ = ("lease", "checkpoint")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    checkpoint: _jobs_pb2.Checkpoint
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ..., checkpoint: _Optional[_Union[_jobs_pb2.Checkpoint, _Mapping]] = ...) -> None: ...

class CommitCheckpointResponse(_message.Message):
    __slots__ = ("checkpoint", "deletable_uris")
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    DELETABLE_URIS_FIELD_NUMBER: _ClassVar[int]
    checkpoint: _jobs_pb2.Checkpoint
    deletable_uris: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, checkpoint: _Optional[_Union[_jobs_pb2.Checkpoint, _Mapping]] = ..., deletable_uris: _Optional[_Iterable[str]] = ...) -> None: ...

class AppendEventsRequest(_message.Message):
    __slots__ = ("lease", "events", "first_number")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    FIRST_NUMBER_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    events: _containers.RepeatedCompositeFieldContainer[_jobs_pb2.Event]
    first_number: int
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ..., events: _Optional[_Iterable[_Union[_jobs_pb2.Event, _Mapping]]] = ..., first_number: _Optional[int] = ...) -> None: ...

class AppendEventsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CommitEvaluationRequest(_message.Message):
    __slots__ = ("lease", "evaluation")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    evaluation: _jobs_pb2.Evaluation
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ..., evaluation: _Optional[_Union[_jobs_pb2.Evaluation, _Mapping]] = ...) -> None: ...

class CommitEvaluationResponse(_message.Message):
    __slots__ = ("evaluation",)
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    evaluation: _jobs_pb2.Evaluation
    def __init__(self, evaluation: _Optional[_Union[_jobs_pb2.Evaluation, _Mapping]] = ...) -> None: ...

class FinishWorkRequest(_message.Message):
    __slots__ = ("lease", "state", "error", "model_uri", "best_checkpoint_id", "usage")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MODEL_URI_FIELD_NUMBER: _ClassVar[int]
    BEST_CHECKPOINT_ID_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    state: _jobs_pb2.JobState
    error: _jobs_pb2.JobError
    model_uri: str
    best_checkpoint_id: str
    usage: _jobs_pb2.Usage
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ..., state: _Optional[_Union[_jobs_pb2.JobState, str]] = ..., error: _Optional[_Union[_jobs_pb2.JobError, _Mapping]] = ..., model_uri: _Optional[str] = ..., best_checkpoint_id: _Optional[str] = ..., usage: _Optional[_Union[_jobs_pb2.Usage, _Mapping]] = ...) -> None: ...

class FinishWorkResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
