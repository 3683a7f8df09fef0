"""Attempts: which worker holds which work, and when it was last heard of."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from pinetune.jobs.store.tables import attempts
from pinetune.jobs.store.works import Work, update_work


@dataclass(frozen=True)
class Attempt:
    """One worker of some work."""

    attempt: int
    """1, 2, …"""
    launch_time: int
    """When it was started."""
    heartbeat_time: int
    """When it was last heard of, or started."""
    claim_time: int | None
    """When it took the work; None before."""


def begin_attempt(connection: Connection, work: Work, *, now: int, is_restart: bool = False) -> int:
    """Number the next worker and give it the lease; returns the attempt. All earlier ones are stale from here on."""
    attempt = work.attempt + 1
    connection.execute(
        attempts.insert().values(work_id=work.work_id, attempt=attempt, launch_time=now, heartbeat_time=now, ending="")
    )
    update_work(
        connection, work.work_id, attempt=attempt, restart_count=work.restart_count + is_restart, waiting_for=""
    )
    return attempt


def touch_attempt(connection: Connection, work_id: str, attempt: int, *, now: int) -> None:
    """Note that the worker was heard of."""
    connection.execute(
        attempts.update().where(attempts.c.work_id == work_id, attempts.c.attempt == attempt).values(heartbeat_time=now)
    )


def claim_attempt(connection: Connection, work_id: str, attempt: int, *, now: int) -> bool:
    """Note that the worker took its work; False where it had already, and did not hear the answer."""
    claimed = connection.execute(
        attempts.update()
        .where(attempts.c.work_id == work_id, attempts.c.attempt == attempt, attempts.c.claim_time.is_(None))
        .values(claim_time=now)
    )
    return claimed.rowcount == 1


def told_events(connection: Connection, work_id: str, attempt: int) -> int:
    """Return how many events the worker has told, by its own count."""
    query = sa.select(attempts.c.told_events).where(attempts.c.work_id == work_id, attempts.c.attempt == attempt)
    return int(connection.execute(query).scalar_one())


def note_told_events(connection: Connection, work_id: str, attempt: int, count: int) -> None:
    """Note how many events the worker has told."""
    connection.execute(
        attempts.update().where(attempts.c.work_id == work_id, attempts.c.attempt == attempt).values(told_events=count)
    )


def end_attempt(connection: Connection, work_id: str, attempt: int, *, now: int, ending: str) -> None:
    """Note how a worker ended."""
    connection.execute(
        attempts.update()
        .where(attempts.c.work_id == work_id, attempts.c.attempt == attempt, attempts.c.end_time.is_(None))
        .values(end_time=now, ending=ending)
    )


def current_attempt(connection: Connection, work: Work) -> Attempt:
    """Return the newest worker of work that was started at least once."""
    query = sa.select(attempts).where(attempts.c.work_id == work.work_id, attempts.c.attempt == work.attempt)
    row = connection.execute(query).mappings().one()
    return Attempt(row["attempt"], row["launch_time"], row["heartbeat_time"], row["claim_time"])
