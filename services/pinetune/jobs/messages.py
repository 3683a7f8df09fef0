"""Rows of the store spelt as messages. The last stop before the wire; nothing is decided here."""

from sqlalchemy.engine import Connection

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1.spec_pb2 import JobSpec
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.rollout import Purpose, RewardSource
from pinetune.jobs.moments import timestamp
from pinetune.jobs.rollout_files import Rollout
from pinetune.jobs.rows import Finding
from pinetune.jobs.states import State
from pinetune.jobs.store import history
from pinetune.jobs.store.datasets import Dataset
from pinetune.jobs.store.evaluations import Evaluation
from pinetune.jobs.store.jobs import Job
from pinetune.jobs.store.works import Fault

STATE_TO_WIRE = {
    State.VALIDATING: wire.JOB_STATE_VALIDATING,
    State.QUEUED: wire.JOB_STATE_QUEUED,
    State.RUNNING: wire.JOB_STATE_RUNNING,
    State.PAUSED: wire.JOB_STATE_PAUSED,
    State.SUCCEEDED: wire.JOB_STATE_SUCCEEDED,
    State.FAILED: wire.JOB_STATE_FAILED,
    State.CANCELLED: wire.JOB_STATE_CANCELLED,
}
STATE_FROM_WIRE = {value: state for state, value in STATE_TO_WIRE.items()}
PURPOSE_TO_WIRE = {
    Purpose.TRAINING: rollout_pb2.ROLLOUT_PURPOSE_TRAINING,
    Purpose.VALIDATION: rollout_pb2.ROLLOUT_PURPOSE_VALIDATION,
    Purpose.EVALUATION: rollout_pb2.ROLLOUT_PURPOSE_EVALUATION,
}
REWARD_SOURCE_TO_WIRE = {
    RewardSource.GRADE: rollout_pb2.REWARD_SOURCE_GRADE,
    RewardSource.EXCLUDED: rollout_pb2.REWARD_SOURCE_EXCLUDED,
    RewardSource.PENALTY: rollout_pb2.REWARD_SOURCE_PENALTY,
    RewardSource.ZERO: rollout_pb2.REWARD_SOURCE_ZERO,
}
PACE_STEPS_MIN = 10
"""The time left goes by this many of the last steps, or by the last tenth of those taken, whichever are more."""


def job_message(connection: Connection, job: Job, *, with_order: bool = True) -> wire.Job:
    """Spell a job."""
    work = job.work
    message = wire.Job(
        job_id=work.work_id,
        spec=JobSpec.FromString(work.order_message) if with_order else None,
        state=STATE_TO_WIRE[work.state],
        phase=wire.JobPhase.Name(work.phase),
        create_time=timestamp(work.create_time),
        start_time=None if work.start_time is None else timestamp(work.start_time),
        end_time=None if work.end_time is None else timestamp(work.end_time),
        error=fault_message(work.fault),
        step=job.step,
        total_steps=job.total_steps,
        warm_up_step=job.warm_up_step,
        total_warm_up_steps=job.total_warm_up_steps,
        model_uri=job.model_uri,
        fine_tuned_model=job.model_name,
        usage=wire.Usage.FromString(job.usage_message),
        # What keeps a pod from starting says more than that somebody waits for it.
        waiting_for=work.pending or work.waiting_for,
        attempt=work.attempt,
        best_checkpoint_id=job.best_checkpoint_id,
    )
    seconds_left = _seconds_left(connection, job)
    if seconds_left is not None:
        message.estimated_seconds_left = seconds_left
    return message


def _seconds_left(connection: Connection, job: Job) -> float | None:
    """Return the rest of the phase's steps at the pace of the last ones; None while that tells nothing of the rest."""
    if job.work.state is not State.RUNNING:
        return None
    if job.warm_up_step < job.total_warm_up_steps:
        phase, done, total = wire.JOB_PHASE_WARM_UP, job.warm_up_step, job.total_warm_up_steps
    else:
        phase, done, total = wire.JOB_PHASE_TRAINING, job.step, job.total_steps
    # Ten steps of a small warm-up are a second, too short to tell the pace.
    pace = history.recent_pace(connection, job.work.work_id, phase, count=max(PACE_STEPS_MIN, done // 10))
    return None if pace is None or done >= total else (total - done) * pace


def fault_message(fault: Fault) -> wire.JobError | None:
    """Spell why something failed; None where it did not."""
    if not fault.reason:
        return None
    return wire.JobError(reason=fault.reason, message=fault.message, field=fault.field)


def evaluation_message(evaluation: Evaluation) -> wire.Evaluation:
    """Spell an evaluation."""
    work = evaluation.work
    message = wire.Evaluation.FromString(evaluation.result_message)
    message.evaluation_id = work.work_id
    message.order.ParseFromString(work.order_message)
    message.state = STATE_TO_WIRE[work.state]
    message.create_time.CopyFrom(timestamp(work.create_time))
    if work.end_time is not None:
        message.end_time.CopyFrom(timestamp(work.end_time))
    if (error := fault_message(work.fault)) is not None:
        message.error.CopyFrom(error)
    return message


def dataset_message(dataset: Dataset) -> wire.Dataset:
    """Spell a data set."""
    return wire.Dataset(
        dataset_id=dataset.dataset_id,
        filename=dataset.filename,
        create_time=timestamp(dataset.create_time),
        size_bytes=dataset.size_bytes,
        row_count=dataset.row_count,
        sha256=dataset.sha256,
        common_keys=dataset.common_keys,
        findings=[finding_message(finding) for finding in dataset.findings],
    )


def finding_message(finding: Finding) -> wire.DatasetFinding:
    """Spell a finding."""
    return wire.DatasetFinding(line=finding.line, key=finding.key, message=finding.message)


def rollout_message(rollout: Rollout, *, with_tokens: bool) -> rollout_pb2.Rollout:
    """Spell a rollout; lists leave tokens and log-probabilities out."""
    message = rollout_pb2.Rollout(
        item=rollout_pb2.Item(
            item_id=rollout.item_id,
            messages=[one.to_wire() for one in rollout.messages],
            tools=[tool.to_wire() for tool in rollout.tools],
            fields_json=rollout.fields_json,
        ),
        completion=rollout.completion.to_wire(),
        grade=rollout.grade.to_wire(),
        step=rollout.step,
        reward=rollout.reward,
        purpose=PURPOSE_TO_WIRE[rollout.purpose],
    )
    if rollout.reward_source is not None:
        message.reward_source = REWARD_SOURCE_TO_WIRE[rollout.reward_source]
    if not with_tokens:
        for name in ("prompt_token_ids", "token_ids", "logprobs"):
            message.completion.ClearField(name)
    return message
