"""Tells failures of a database that pass by themselves: it is away, starts, is full, or a lock took too long.

The caller hears of them as Unavailable, and repeats the call. Where the connection broke while a transaction was being
committed nobody knows whether it took effect; what workers commit is taken up once, and orders have a request id.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from pinetune.pod.errors import Unavailable

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
SQLITE_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
POSTGRESQL_STATES = (
    "08",  # connection exception
    "25006",  # read-only: what was the primary before a failover
    "25P03",  # a transaction that was idle for too long was ended
    "40",  # serialization failure, deadlock
    "53",  # insufficient resources: disk, memory, connections
    "55P03",  # lock not available in time
    "57P",  # shut down, crashed, starting up
    "58",  # system error: input and output
)
"""Beginnings of SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html."""


@contextmanager
def outages_told() -> Iterator[None]:
    """Raise Unavailable DATABASE_UNAVAILABLE for a failure that passes; any other goes on as it is."""
    try:
        yield
    except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
        if not passes(error):
            raise
        log.warning("the database failed: %s", getattr(error, "orig", error))
        raise Unavailable(
            "the database does not answer, or cannot do this now; repeat the call",
            reason="DATABASE_UNAVAILABLE",
            retry_after_seconds=RETRY_SECONDS,
        ) from error


def passes(error: sa.exc.DBAPIError | sa.exc.TimeoutError) -> bool:
    """Return whether the same statement may succeed later."""
    if isinstance(error, sa.exc.TimeoutError):
        return True  # All connections of the pool are in use.
    if isinstance(error.orig, sqlite3.Error):
        # The low byte is the code; the others say more precisely what it was.
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in SQLITE_CODES
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        # Without a word from the server: it could not be reached, or the connection broke.
        return isinstance(error, sa.exc.OperationalError) or error.connection_invalidated
    return str(state).startswith(POSTGRESQL_STATES)
