"""Evaluations as rows: those with a worker of their own, and those that a job's worker made."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from pinetune.jobs.store.tables import evaluations, works
from pinetune.jobs.store.works import NewWork, Work, insert_work, work_of
from pinetune.pod.errors import NotFound


@dataclass(frozen=True)
class Evaluation:
    """A measurement."""

    work: Work
    """Its part that jobs have too."""
    job_id: str
    """The job it belongs to; empty for none."""
    name: str
    """Its name in tables."""
    committed_by: str | None
    """The job whose worker measured it; None for one with a worker of its own."""
    result_message: bytes
    """What was measured: an Evaluation with statistics, grades, rollouts and content hash."""


def insert_evaluation(
    connection: Connection,
    new: NewWork,
    *,
    job_id: str,
    name: str,
    committed_by: str | None = None,
    result_message: bytes = b"",
) -> None:
    """Add an evaluation."""
    insert_work(connection, new)
    connection.execute(
        evaluations.insert().values(
            work_id=new.work_id, job_id=job_id, name=name, committed_by=committed_by, result_message=result_message
        )
    )


def get_evaluation(connection: Connection, evaluation_id: str) -> Evaluation:
    """Return an evaluation; raises NotFound."""
    row = connection.execute(_evaluations().where(works.c.work_id == evaluation_id)).mappings().first()
    if row is None:
        raise NotFound(
            f"there is no evaluation {evaluation_id!r}", reason="EVALUATION_NOT_FOUND", evaluation_id=evaluation_id
        )
    return _evaluation(row)


def find_job_evaluation(connection: Connection, job_id: str, name: str) -> Evaluation | None:
    """Return what a job's own worker measured under this name; None where there is nothing yet."""
    query = _evaluations().where(evaluations.c.committed_by == job_id, evaluations.c.name == name)
    row = connection.execute(query).mappings().first()
    return None if row is None else _evaluation(row)


def list_evaluations(connection: Connection, *, before: int | None, job_id: str, limit: int) -> list[Evaluation]:
    """Return evaluations newest first, those created before number `before`, of one job or of all."""
    query = _evaluations()
    if before is not None:
        query = query.where(works.c.number < before)
    if job_id:
        query = query.where(evaluations.c.job_id == job_id)
    rows = connection.execute(query.order_by(works.c.number.desc()).limit(limit)).mappings()
    return [_evaluation(row) for row in rows]


def update_evaluation(connection: Connection, evaluation_id: str, **values: Any) -> None:
    """Set columns of an evaluation."""
    connection.execute(evaluations.update().where(evaluations.c.work_id == evaluation_id).values(**values))


def _evaluations() -> sa.Select[Any]:
    return sa.select(works, evaluations).join(evaluations, evaluations.c.work_id == works.c.work_id)


def _evaluation(row: RowMapping) -> Evaluation:
    names = [name for name in Evaluation.__dataclass_fields__ if name != "work"]
    return Evaluation(work=work_of(row), **{name: row[evaluations.c[name]] for name in names})
