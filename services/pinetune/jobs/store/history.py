"""What a job leaves behind, in order: events, steps, the rollout files of steps, checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from pinetune.jobs.store.tables import checkpoints, events, rollout_files, steps, works


@dataclass(frozen=True)
class EventRow:
    """Something that happened to a job."""

    number: int
    """1, 2, … within the job; never given twice, also not after a step was taken back."""
    event_message: bytes
    """The Event."""
    job_message: bytes
    """The Job right after it, without its order."""


@dataclass(frozen=True)
class StepRow:
    """A committed step."""

    phase: int
    """JobPhase."""
    number: int
    """Within the phase."""
    event_number: int
    """Its event, hence its place in the order of commits."""
    content_hash: str
    """SHA-256 of what the worker sent."""
    step_message: bytes
    """The Step."""


@dataclass(frozen=True)
class RolloutFile:
    """A file of rollouts."""

    number: int
    """Order of writing."""
    phase: int
    """JobPhase of the step."""
    step: int
    """The step that made it, or after which it was made."""
    purpose: int
    """RolloutPurpose."""
    uri: str
    """Where it is."""


@dataclass(frozen=True)
class CheckpointRow:
    """A policy or a state that is kept."""

    number: int
    """Order of recording."""
    checkpoint_id: str
    """`ftckpt-…`."""
    work_id: str
    """The job."""
    kind: int
    """CheckpointKind."""
    step: int
    """Update step after which it was taken."""
    warm_up_step: int
    """Warm-up step after which it was taken."""
    event_number: int
    """The job's newest event when it was recorded."""
    policy_uri: str
    """Folder of the policy; empty for none."""
    state_uri: str
    """Folder to go on from; empty for none."""
    reward: float | None
    """Validation reward."""
    checkpoint_message: bytes
    """The Checkpoint."""


def next_event_number(connection: Connection, job_id: str) -> int:
    """Take the job's next event number."""
    query = works.update().where(works.c.work_id == job_id).values(last_event_number=works.c.last_event_number + 1)
    return int(connection.execute(query.returning(works.c.last_event_number)).scalar_one())


def insert_event(
    connection: Connection,
    job_id: str,
    number: int,
    *,
    event_message: bytes,
    job_message: bytes,
    step: tuple[int, int] | None = None,
) -> None:
    """Add an event; `step` is the (phase, number) of the step whose metrics it carries."""
    phase, step_number = step or (None, None)
    connection.execute(
        events.insert().values(
            work_id=job_id,
            number=number,
            step_phase=phase,
            step_number=step_number,
            event_message=event_message,
            job_message=job_message,
        )
    )


def list_events(connection: Connection, job_id: str, *, after: int, limit: int) -> list[EventRow]:
    """Return a job's events oldest first, those after number `after`."""
    query = sa.select(events).where(events.c.work_id == job_id, events.c.number > after)
    rows = connection.execute(query.order_by(events.c.number).limit(limit)).mappings()
    return [EventRow(row["number"], row["event_message"], row["job_message"]) for row in rows]


def find_step(connection: Connection, job_id: str, phase: int, number: int) -> StepRow | None:
    """Return a committed step; None where there is none."""
    query = _steps_of(job_id).where(steps.c.phase == phase, steps.c.number == number)
    row = connection.execute(query).mappings().first()
    return None if row is None else _step(row)


def insert_step(
    connection: Connection,
    job_id: str,
    *,
    phase: int,
    number: int,
    commit_time: int,
    event_number: int,
    content_hash: str,
    total_seconds: float,
    step_message: bytes,
) -> None:
    """Add a step."""
    connection.execute(
        steps.insert().values(
            work_id=job_id,
            phase=phase,
            number=number,
            commit_time=commit_time,
            event_number=event_number,
            content_hash=content_hash,
            total_seconds=total_seconds,
            step_message=step_message,
        )
    )


def list_steps(
    connection: Connection, job_id: str, *, phase: int | None, after: int, limit: int | None
) -> list[StepRow]:
    """Return a job's steps in the order of their commits, those after event `after`, of one phase or of all."""
    query = _steps_of(job_id).where(steps.c.event_number > after)
    if phase is not None:
        query = query.where(steps.c.phase == phase)
    return [_step(row) for row in connection.execute(query.order_by(steps.c.event_number).limit(limit)).mappings()]


def recent_pace(connection: Connection, job_id: str, phase: int, *, count: int) -> float | None:
    """Return the mean seconds of the last `count` steps of a phase, step 0 left out; None where there is none."""
    query = (
        sa.select(steps.c.total_seconds)
        .where(steps.c.work_id == job_id, steps.c.phase == phase, steps.c.number > 0)
        .order_by(steps.c.number.desc())
        .limit(count)
    )
    seconds = list(connection.execute(query).scalars())
    return sum(seconds) / len(seconds) if seconds else None


def last_step(connection: Connection, job_id: str, phase: int) -> int | None:
    """Return the number of the newest step of a phase; None where there is none."""
    query = sa.select(sa.func.max(steps.c.number)).where(steps.c.work_id == job_id, steps.c.phase == phase)
    number = connection.execute(query).scalar()
    return None if number is None else int(number)


def delete_steps(connection: Connection, job_id: str, rows: Sequence[StepRow]) -> None:
    """Take steps back: they, their events and their rollout files' rows."""
    for row in rows:
        of_step = (steps.c.work_id == job_id, steps.c.phase == row.phase, steps.c.number == row.number)
        connection.execute(steps.delete().where(*of_step))
        connection.execute(
            events.delete().where(
                events.c.work_id == job_id, events.c.step_phase == row.phase, events.c.step_number == row.number
            )
        )
        connection.execute(
            rollout_files.delete().where(
                rollout_files.c.work_id == job_id,
                rollout_files.c.phase == row.phase,
                rollout_files.c.step == row.number,
            )
        )


def insert_rollout_file(
    connection: Connection, work_id: str, *, phase: int, step: int, purpose: int, uri: str, sha256: str
) -> None:
    """Add the row of a file of rollouts."""
    connection.execute(
        rollout_files.insert().values(work_id=work_id, phase=phase, step=step, purpose=purpose, uri=uri, sha256=sha256)
    )


def replace_rollout_file(connection: Connection, work_id: str, *, purpose: int, uri: str) -> None:
    """Make `uri` the only file of rollouts of an evaluation; none where it is empty."""
    connection.execute(rollout_files.delete().where(rollout_files.c.work_id == work_id))
    if uri:
        insert_rollout_file(connection, work_id, phase=0, step=0, purpose=purpose, uri=uri, sha256="")


def list_rollout_files(
    connection: Connection, work_id: str, *, step: int | None = None, purpose: int | None = None
) -> list[RolloutFile]:
    """Return files of rollouts in the order of writing, of one step and purpose or of all."""
    query = sa.select(rollout_files).where(rollout_files.c.work_id == work_id)
    if step is not None:
        query = query.where(rollout_files.c.step == step)
    if purpose is not None:
        query = query.where(rollout_files.c.purpose == purpose)
    rows = connection.execute(query.order_by(rollout_files.c.number)).mappings()
    return [RolloutFile(row["number"], row["phase"], row["step"], row["purpose"], row["uri"]) for row in rows]


def put_checkpoint(connection: Connection, values: dict[str, Any]) -> None:
    """Add a checkpoint, replacing the one of the same job, kind and step."""
    same = [checkpoints.c[name] == values[name] for name in ("work_id", "kind", "step", "warm_up_step")]
    connection.execute(checkpoints.delete().where(*same))
    connection.execute(checkpoints.insert().values(**values))


def find_checkpoint(
    connection: Connection, job_id: str, *, kind: int, step: int, warm_up_step: int
) -> CheckpointRow | None:
    """Return the checkpoint of this kind and step; None where there is none."""
    query = sa.select(checkpoints).where(
        checkpoints.c.work_id == job_id,
        checkpoints.c.kind == kind,
        checkpoints.c.step == step,
        checkpoints.c.warm_up_step == warm_up_step,
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else _checkpoint(row)


def find_checkpoint_of_name(connection: Connection, name: str) -> CheckpointRow | None:
    """Return the checkpoint with this id or model name that holds a policy; None where there is none."""
    named = sa.or_(checkpoints.c.checkpoint_id == name, checkpoints.c.model_name == name)
    query = sa.select(checkpoints).where(named).order_by(checkpoints.c.policy_uri.desc(), checkpoints.c.number.desc())
    row = connection.execute(query).mappings().first()
    return None if row is None else _checkpoint(row)


def list_checkpoints(
    connection: Connection, job_id: str, *, before: int | None = None, limit: int | None = None
) -> list[CheckpointRow]:
    """Return a job's checkpoints newest first, those recorded before number `before`."""
    query = sa.select(checkpoints).where(checkpoints.c.work_id == job_id)
    if before is not None:
        query = query.where(checkpoints.c.number < before)
    return [
        _checkpoint(row)
        for row in connection.execute(query.order_by(checkpoints.c.number.desc()).limit(limit)).mappings()
    ]


def newest_state(connection: Connection, job_id: str) -> CheckpointRow | None:
    """Return the checkpoint to go on from; None where there is none."""
    query = sa.select(checkpoints).where(checkpoints.c.work_id == job_id, checkpoints.c.resumable)
    row = connection.execute(query.order_by(checkpoints.c.number.desc()).limit(1)).mappings().first()
    return None if row is None else _checkpoint(row)


def delete_checkpoints(connection: Connection, rows: Sequence[CheckpointRow]) -> None:
    """Take checkpoints out; their folders are the worker's to delete."""
    numbers = [row.number for row in rows]
    connection.execute(checkpoints.delete().where(checkpoints.c.number.in_(numbers)))


def _steps_of(job_id: str) -> sa.Select[Any]:
    return sa.select(steps).where(steps.c.work_id == job_id)


def _step(row: RowMapping) -> StepRow:
    return StepRow(**{name: row[name] for name in StepRow.__dataclass_fields__})


def _checkpoint(row: RowMapping) -> CheckpointRow:
    return CheckpointRow(**{name: row[name] for name in CheckpointRow.__dataclass_fields__})
