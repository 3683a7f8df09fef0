"""Training jobs as rows: what they have beyond other work."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from pinetune.jobs.states import State
from pinetune.jobs.store.tables import jobs, works
from pinetune.jobs.store.works import NewWork, Work, insert_work, work_of
from pinetune.pod.errors import NotFound


@dataclass(frozen=True)
class Job:
    """A training job."""

    work: Work
    """Its part that evaluations have too."""
    step: int
    """Last committed update step."""
    total_steps: int
    """Update steps planned."""
    warm_up_step: int
    """Last committed warm-up step."""
    total_warm_up_steps: int
    """Warm-up steps planned."""
    model_uri: str
    """Folder of the final model; empty until it succeeded."""
    model_name: str
    """Name of the final model; empty until it succeeded."""
    best_checkpoint_id: str
    """Checkpoint that the final model was taken from."""
    usage_message: bytes
    """What was used: a Usage."""


def insert_job(connection: Connection, new: NewWork) -> None:
    """Add a job."""
    insert_work(connection, new)
    connection.execute(
        jobs.insert().values(
            work_id=new.work_id,
            step=0,
            total_steps=0,
            warm_up_step=0,
            total_warm_up_steps=0,
            model_uri="",
            model_name="",
            best_checkpoint_id="",
            usage_message=b"",
        )
    )


def get_job(connection: Connection, job_id: str, *, for_change: bool = False) -> Job:
    """Return a job, its row locked against other writers where it is read `for_change`; raises NotFound."""
    query = sa.select(works, jobs).join(jobs, jobs.c.work_id == works.c.work_id).where(works.c.work_id == job_id)
    if for_change:
        query = query.with_for_update(of=works)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound(f"there is no job {job_id!r}", reason="JOB_NOT_FOUND", job_id=job_id)
    return _job(row)


def list_jobs(connection: Connection, *, before: int | None, states: Collection[State], limit: int) -> list[Job]:
    """Return jobs newest first, those created before number `before`."""
    query = sa.select(works, jobs).join(jobs, jobs.c.work_id == works.c.work_id)
    if before is not None:
        query = query.where(works.c.number < before)
    if states:
        query = query.where(works.c.state.in_([state.value for state in states]))
    rows = connection.execute(query.order_by(works.c.number.desc()).limit(limit)).mappings()
    return [_job(row) for row in rows]


def update_job(connection: Connection, job_id: str, **values: Any) -> None:
    """Set columns of a job."""
    connection.execute(jobs.update().where(jobs.c.work_id == job_id).values(**values))


def find_job_of_model(connection: Connection, name: str) -> Job | None:
    """Return the job whose final model has this name; None where there is none."""
    query = sa.select(works, jobs).join(jobs, jobs.c.work_id == works.c.work_id).where(jobs.c.model_name == name)
    row = connection.execute(query).mappings().first()
    return None if row is None else _job(row)


def _job(row: RowMapping) -> Job:
    names = [name for name in Job.__dataclass_fields__ if name != "work"]
    return Job(work=work_of(row), **{name: row[jobs.c[name]] for name in names})
