"""Commits steps, each once and in order, and takes back those that a successor will do again."""

import hashlib

from sqlalchemy.engine import Connection

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.jobs import events, metrics
from pinetune.jobs.moments import timestamp
from pinetune.jobs.store import history
from pinetune.jobs.store.history import CheckpointRow, StepRow
from pinetune.jobs.store.jobs import get_job, update_job
from pinetune.jobs.store.works import Work
from pinetune.pod.errors import Conflict, InvalidInput

PHASES = (wire.JOB_PHASE_WARM_UP, wire.JOB_PHASE_TRAINING)
COLUMN_OF_PHASE: dict[int, str] = {wire.JOB_PHASE_WARM_UP: "warm_up_step", wire.JOB_PHASE_TRAINING: "step"}
NAME_OF_PHASE: dict[int, str] = {wire.JOB_PHASE_WARM_UP: "warm-up step", wire.JOB_PHASE_TRAINING: "step"}


def commit_step(connection: Connection, work: Work, step: wire.Step, *, usage: bytes, moment: int) -> wire.Step | None:
    """Commit a step with its event and the rows of its rollout files; returns it, or None where it was there already.

    Raises Conflict STEP_CONFLICT where another step was committed under its number, and STEP_OUT_OF_ORDER where it is
    not the next one.
    """
    if step.phase not in PHASES:
        raise InvalidInput("step.phase must be warm-up or training", reason="INVALID_STEP", field="step.phase")
    content_hash = _content_hash(step)
    if (former := history.find_step(connection, work.work_id, step.phase, step.number)) is not None:
        if former.content_hash == content_hash:
            return None
        raise Conflict(
            f"{NAME_OF_PHASE[step.phase]} {step.number} of {work.work_id} is committed with another content",
            reason="STEP_CONFLICT",
            step=step.number,
        )
    _check_order(connection, work, step)
    committed = wire.Step()
    committed.CopyFrom(step)
    committed.job_id = work.work_id
    committed.commit_time.CopyFrom(timestamp(moment))
    update_job(connection, work.work_id, **{COLUMN_OF_PHASE[step.phase]: step.number, "usage_message": usage})
    _insert_rollout_files(connection, work.work_id, committed)
    job = get_job(connection, work.work_id)
    planned = job.total_warm_up_steps if step.phase == wire.JOB_PHASE_WARM_UP else job.total_steps
    sentence = events.step_sentence(committed, planned)
    number = events.record(connection, work, sentence, moment=moment, kind=wire.EVENT_TYPE_METRICS, step=committed)
    history.insert_step(
        connection,
        work.work_id,
        phase=step.phase,
        number=step.number,
        commit_time=moment,
        event_number=number,
        content_hash=content_hash,
        total_seconds=step.timing.total_seconds,
        step_message=committed.SerializeToString(),
    )
    return committed


def take_back_steps(connection: Connection, work: Work, *, moment: int, tell: bool) -> CheckpointRow | None:
    """Take back what was committed after the newest checkpoint, and what that used; returns the checkpoint, if any.

    `tell` has an event say so, where this is no first attempt.
    """
    checkpoint = history.newest_state(connection, work.work_id)
    rows = history.list_steps(connection, work.work_id, phase=None, after=0, limit=None)
    beyond = [row for row in rows if checkpoint is None or _is_beyond(row, checkpoint)]
    history.delete_steps(connection, work.work_id, beyond)
    # A policy of a step that is done again may not come out the same, or not come at all; its folder is written anew.
    best = [row for row in history.list_checkpoints(connection, work.work_id) if row.kind == wire.CHECKPOINT_KIND_BEST]
    history.delete_checkpoints(connection, [row for row in best if _is_of_steps(row, beyond)])
    step, warm_up_step = (0, 0) if checkpoint is None else (checkpoint.step, checkpoint.warm_up_step)
    stood = wire.Checkpoint() if checkpoint is None else wire.Checkpoint.FromString(checkpoint.checkpoint_message)
    usage = stood.usage.SerializeToString()
    update_job(connection, work.work_id, step=step, warm_up_step=warm_up_step, usage_message=usage)
    metrics.STEPS_TAKEN_BACK.inc(len(beyond))
    if tell and work.attempt > 1:
        events.record(connection, work, _resumption(work.attempt, checkpoint, beyond), moment=moment)
    return checkpoint


def _is_beyond(row: StepRow, checkpoint: CheckpointRow) -> bool:
    """Return whether a step is later than the checkpoint.

    Step 0 has the number of every checkpoint of the warm-up; there the order of recording says which came first.
    """
    if row.phase == wire.JOB_PHASE_WARM_UP:
        return row.number > checkpoint.warm_up_step
    if row.number == 0 and checkpoint.step == 0:
        return row.event_number > checkpoint.event_number
    return row.number > checkpoint.step


def _is_of_steps(best: CheckpointRow, steps: list[StepRow]) -> bool:
    """Return whether one of the steps is the one whose policy was kept."""
    phase, number = (wire.JOB_PHASE_TRAINING, best.step) if best.step else (wire.JOB_PHASE_WARM_UP, best.warm_up_step)
    return any((row.phase, row.number) == (phase, number) for row in steps)


def _resumption(attempt: int, checkpoint: CheckpointRow | None, beyond: list[StepRow]) -> str:
    if checkpoint is None:
        start = "from the beginning"
    elif checkpoint.step:
        start = f"after step {checkpoint.step}"
    else:
        start = f"after warm-up step {checkpoint.warm_up_step}"
    names = [f"{NAME_OF_PHASE[row.phase]} {row.number}" for row in beyond]
    if not names:
        return f"attempt {attempt} goes on {start}"
    what = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
    return f"attempt {attempt} goes on {start}; {what} {'is' if len(names) == 1 else 'are'} done again"


def _check_order(connection: Connection, work: Work, step: wire.Step) -> None:
    last = history.last_step(connection, work.work_id, step.phase)
    # Training begins with 0, the validation before the first update, where there is one.
    allowed = ((0, 1) if step.phase == wire.JOB_PHASE_TRAINING else (1,)) if last is None else (last + 1,)
    if step.number not in allowed:
        raise Conflict(
            f"the next {NAME_OF_PHASE[step.phase]} of {work.work_id} is {allowed[-1]}, not {step.number}",
            reason="STEP_OUT_OF_ORDER",
            step=step.number,
            expected=allowed[-1],
        )


def _insert_rollout_files(connection: Connection, job_id: str, step: wire.Step) -> None:
    files = (
        (rollout_pb2.ROLLOUT_PURPOSE_TRAINING, step.rollouts_uri, step.rollouts_sha256),
        (rollout_pb2.ROLLOUT_PURPOSE_VALIDATION, step.validation.rollouts_uri, ""),
    )
    for purpose, uri, sha256 in files:
        if uri:
            history.insert_rollout_file(
                connection, job_id, phase=step.phase, step=step.number, purpose=purpose, uri=uri, sha256=sha256
            )


def _content_hash(step: wire.Step) -> str:
    """Return the hash of what the worker says of a step; what the service adds is left out."""
    content = wire.Step()
    content.CopyFrom(step)
    content.ClearField("job_id")
    content.ClearField("commit_time")
    return hashlib.sha256(content.SerializeToString(deterministic=True)).hexdigest()
