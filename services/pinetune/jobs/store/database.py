"""The database behind the jobs service: SQLite on one machine, PostgreSQL on a cluster.

The service is the only writer. In SQLite a writing transaction takes the write lock at its beginning: one that reads
first and writes later could not be told to wait, only to fail.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.pool import ConnectionPoolEntry

from pinetune.jobs import metrics
from pinetune.pod.errors import InvalidInput

# It says at every start which dialect it found; that it upgraded is in the tables.
logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
BUSY_TIMEOUT_MS = 30_000
WRITES = "pinetune_writes"
_SIZE = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    "postgresql": "SELECT pg_database_size(current_database())",
}
"""How each kind of database is asked for its size."""


class Database:
    """One open database. Its transactions may be used from any thread."""

    def __init__(self, url: str) -> None:
        """Open the database and bring its tables up to date; InvalidInput where the URL or the database is unusable."""
        self._engine = _engine(url)
        # SQLite has one writer at a time; waiting here is fair and cheap, waiting there is polling.
        self._writing = threading.Lock() if self._engine.dialect.name == "sqlite" else None
        _migrate(self._engine)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that may write; commits at the end, rolls back on an exception."""
        with metrics.DATABASE_WRITE_TIME.time():
            if self._writing is None:
                with self._engine.begin() as connection:
                    yield connection
                return
            connection = self._engine.connect().execution_options(**{WRITES: True})
            with self._writing, connection, connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that sees one state of the database."""
        with self._engine.begin() as connection:
            yield connection

    def size_bytes(self) -> int:
        """Return how much room the database takes, without what its log still holds."""
        with self.read() as connection:
            return int(connection.scalar(sa.text(_SIZE[self._engine.dialect.name])) or 0)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _engine(url: str) -> Engine:
    try:
        engine = sa.create_engine(
            make_url(url), pool_size=32, max_overflow=64, pool_pre_ping=not url.startswith("sqlite")
        )
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise InvalidInput(
            f"PINETUNE_JOBS_DATABASE_URL: {error}; write sqlite:////folder/jobs.sqlite or postgresql+psycopg://host/name",
            reason="INVALID_SETTINGS",
        ) from error
    sa.event.listen(engine, "handle_error", lambda _: metrics.DATABASE_ERRORS.inc())
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    # The driver's own BEGIN comes too late, before the first write; `_begin_sqlite` sends it instead.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITES) else "BEGIN")


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with engine.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except sa.exc.OperationalError as error:
        raise InvalidInput(
            f"PINETUNE_JOBS_DATABASE_URL: {engine.url} cannot be opened: {error.orig}", reason="DATABASE_UNUSABLE"
        ) from error
    except CommandError as error:
        raise InvalidInput(
            f"{engine.url} was written by a newer release of pinetune ({error}); use that one",
            reason="DATABASE_TOO_NEW",
        ) from error
