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
    "25P03",  # a transaction that was idle for too long was ended
    "40",  # serialization failure, deadlock
    "53",  # insufficient resources: disk, memory, connections
    "55P03",  # lock not available in time
    "57P",  # shut down, crashed, starting up
    "58",  # system error: input and output
)
"""Beginnings of SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html."""
POSTGRESQL_LASTING_STATES = (
    "53400",  # a limit of the server's configuration
    "57P04",  # the database was dropped
)
"""Those among them that somebody has to mend."""
READ_ONLY_STATE = "25006"
"""Of a write: what was the primary before a failover. Of a read: a statement of ours that writes."""


@contextmanager
def outages_told(*, writes: bool) -> Iterator[None]:
    """Raise Unavailable DATABASE_UNAVAILABLE for a failure that passes; any other goes on as it is.

    What the database said stands in it: while connecting it gives no code, so that what lasts (a changed password, a
    dropped database) is told as what passes.
    """
    try:
        yield
    except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
        if not passes(error, writes=writes):
            raise
        said = said_by(error)
        log.warning("the database failed: %s", said)
        raise Unavailable(
            f"the database does not answer, or cannot do this now ({said}); repeat the call",
            reason="DATABASE_UNAVAILABLE",
            retry_after_seconds=RETRY_SECONDS,
        ) from error


def said_by(error: sa.exc.DBAPIError | sa.exc.TimeoutError) -> str:
    """Return the first line of what the database said, which has no password in it."""
    return next(iter(str(getattr(error, "orig", error)).splitlines()), "")


def passes(error: sa.exc.DBAPIError | sa.exc.TimeoutError, *, writes: bool) -> bool:
    """Return whether the same statement, in a transaction that `writes` or not, may succeed later."""
    if isinstance(error, sa.exc.TimeoutError):
        return True  # All connections of the pool are in use.
    if isinstance(error.orig, sqlite3.Error):
        # The low byte is the code; the others say more precisely what it was.
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in SQLITE_CODES
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        # Without a word from the server: it could not be reached, or the connection broke.
        return isinstance(error, sa.exc.OperationalError) or error.connection_invalidated
    if state == READ_ONLY_STATE:
        return writes
    return str(state).startswith(POSTGRESQL_STATES) and state not in POSTGRESQL_LASTING_STATES
