"""A job's story: every event with its number, its sentence, and the job as it was right after it."""

import logging

from sqlalchemy.engine import Connection

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.jobs import metrics
from pinetune.jobs.messages import job_message
from pinetune.jobs.moments import timestamp
from pinetune.jobs.store import history
from pinetune.jobs.store.jobs import get_job
from pinetune.jobs.store.works import JOB, Work

log = logging.getLogger(__name__)

TEXT_CHARACTERS_MAX = 4000
LOG_LEVELS = {wire.EVENT_LEVEL_WARN: logging.WARNING, wire.EVENT_LEVEL_ERROR: logging.ERROR}


def record(
    connection: Connection,
    work: Work,
    message: str,
    *,
    moment: int,
    level: wire.EventLevel = wire.EVENT_LEVEL_INFO,
    kind: wire.EventType = wire.EVENT_TYPE_MESSAGE,
    step: wire.Step | None = None,
) -> int:
    """Add an event to a job's story, after everything it tells of is written; returns its number.

    An evaluation has no story; what happens to it is logged only, and the number is 0.
    """
    log.log(LOG_LEVELS.get(level, logging.INFO), message, extra={"work_id": work.work_id})
    if work.kind != JOB:
        return 0
    number = history.next_event_number(connection, work.work_id)
    event = wire.Event(
        event_id=event_id(work.work_id, number),
        job_id=work.work_id,
        create_time=timestamp(moment),
        level=level,
        type=kind,
        message=message[:TEXT_CHARACTERS_MAX],
        step=step,
    )
    job = job_message(connection, get_job(connection, work.work_id), with_order=False)
    history.insert_event(
        connection,
        work.work_id,
        number,
        event_message=event.SerializeToString(),
        job_message=job.SerializeToString(),
        step=None if step is None else (step.phase, step.number),
    )
    metrics.EVENTS.labels(wire.EventLevel.Name(level).removeprefix("EVENT_LEVEL_").lower()).inc()
    return number


def event_id(job_id: str, number: int) -> str:
    """Return the id of a job's event; ids of one job sort as its events do."""
    return f"ftevent-{job_id.removeprefix('ftjob-')}-{number:08d}"


def step_sentence(step: wire.Step, planned: int) -> str:
    """Return a committed step in one sentence."""
    name = "warm-up step" if step.phase == wire.JOB_PHASE_WARM_UP else "step"
    parts = [f"{name} {step.number}" + (f" of {planned}" if planned else "")]
    if step.HasField("warm_up"):
        parts.append(f"loss {step.warm_up.loss:.4g}")
    if step.HasField("train_reward_mean"):
        parts.append(f"training reward {step.train_reward_mean:.4g}")
    if step.training_grades.ungraded_count:
        parts.append(f"{step.training_grades.ungraded_count} of {step.training_grades.sampled_count} ungraded")
    if step.HasField("validation"):
        result = step.validation
        parts.append(
            f"validation reward {result.reward_mean:.4g} ({result.reward_low:.4g} to {result.reward_high:.4g})"
        )
    return ", ".join(parts)
