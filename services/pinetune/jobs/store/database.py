"""The database behind the jobs service: SQLite on one machine, PostgreSQL on a cluster.

The service is the only writer. In SQLite a writing transaction takes the write lock at its beginning: one that reads
first and writes later could not be told to wait, only to fail. In PostgreSQL writers wait for the rows that they lock
(`get_work`, `get_job(for_change=True)`, …): whoever decides by a row and then writes must have locked it.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.pool import ConnectionPoolEntry

from pinetune.jobs import metrics
from pinetune.jobs.store.outages import outages_told, passes, said_by
from pinetune.pod.errors import InvalidInput

# It says at every start which dialect it found; that it upgraded is in the tables.
logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)
log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
BUSY_TIMEOUT_MS = 30_000
"""How long a writer waits for another."""
IDLE_TIMEOUT_MS = 60_000
"""After how long PostgreSQL ends the transaction of a jobs service that is gone, and frees the rows it locked."""
POOL_SIZE, POOL_OVERFLOW = 10, 20
"""Connections to PostgreSQL that are kept, and that are opened beyond them; a server allows 100 by default."""
START_PATIENCE_SECONDS, START_PAUSE_SECONDS = 60.0, 1.0
"""How long a service that starts waits for a database that starts too, and the pause between two tries."""
MIGRATION_LOCK = 0x70696E65
"""Key of PostgreSQL's advisory lock under which one service at a time brings the tables up to date."""
WRITES = "pinetune_writes"
_SIZE = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    "postgresql": "SELECT pg_database_size(current_database())",
}
"""How each kind of database is asked for its size."""
_LIBPQ = {
    "application_name": "pinetune-jobs",
    "client_encoding": "utf8",
    # A host that is gone says nothing: without these, calls would wait for it for hours.
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""How PostgreSQL is connected to, where the URL does not say it."""


class Database:
    """One open database. Its transactions may be used from any thread."""

    def __init__(self, url: str, *, patience_seconds: float = START_PATIENCE_SECONDS) -> None:
        """Open the database and bring its tables up to date; waits so long for one that is away.

        Raises InvalidInput where the URL or the database is unusable.
        """
        self._engine = self._reading = _engine(url)
        # SQLite has one writer at a time; waiting here is fair and cheap, waiting there is polling.
        self._writing = threading.Lock() if self._engine.dialect.name == "sqlite" else None
        if self._writing is None:
            self._reading = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        try:
            _migrate_once_it_is_there(self._engine, _named(url), time.monotonic() + patience_seconds)
        except InvalidInput:
            self.close()
            raise

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that may write; commits at the end, rolls back on an exception.

        Raises Unavailable DATABASE_UNAVAILABLE where the database is away or cannot do it now.
        """
        with metrics.DATABASE_WRITE_TIME.time(), outages_told(writes=True):
            if self._writing is None:
                with self._engine.begin() as connection:
                    yield connection
                return
            connection = self._engine.connect().execution_options(**{WRITES: True})
            with self._writing, connection, connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that sees one state of the database; raises Unavailable as `write`."""
        with outages_told(writes=False), self._reading.begin() as connection:
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
        parsed = make_url(url)
        if parsed.get_backend_name() not in _SIZE:
            raise sa.exc.ArgumentError(f"{parsed.get_backend_name()} is not supported")
        engine = _sqlite_engine(parsed) if parsed.get_backend_name() == "sqlite" else _postgresql_engine(parsed)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise InvalidInput(
            f"PINETUNE_JOBS_DATABASE_URL: {error}; write sqlite:////folder/jobs.sqlite or postgresql+psycopg://host/name",
            reason="INVALID_SETTINGS",
        ) from error
    sa.event.listen(engine, "handle_error", lambda _: metrics.DATABASE_ERRORS.inc())
    return engine


def _sqlite_engine(url: URL) -> Engine:
    engine = sa.create_engine(url, pool_size=32, max_overflow=64)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql_engine(url: URL) -> Engine:
    engine = sa.create_engine(
        url.update_query_dict({name: value for name, value in _LIBPQ.items() if name not in url.query}),
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        # After a restart of the server every connection of the pool is dead.
        pool_pre_ping=True,
        # Whatever the server's default is: what a statement sees after it waited for a row has to be what is there now.
        isolation_level="READ COMMITTED",
    )
    sa.event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _prepare_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    # The driver's own BEGIN comes too late, before the first write; `_begin_sqlite` sends it instead.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITES) else "BEGIN")


def _prepare_postgresql(connection: Any, _: ConnectionPoolEntry) -> None:
    # Not among the arguments of the connection: poolers in between refuse those.
    connection.autocommit = True
    connection.execute(f"SET lock_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute(f"SET idle_in_transaction_session_timeout = {IDLE_TIMEOUT_MS}")
    connection.autocommit = False


def _named(url: str) -> str:
    """Return the URL as it was given, for people: without passwords."""
    return make_url(url).difference_update_query(("password", "sslpassword")).render_as_string(hide_password=True)


def _migrate_once_it_is_there(engine: Engine, name: str, give_up: float) -> None:
    told = False
    while True:
        try:
            return _migrate(engine, name)
        except sa.exc.DBAPIError as error:
            if not passes(error, writes=True) or time.monotonic() >= give_up:
                raise InvalidInput(
                    f"PINETUNE_JOBS_DATABASE_URL: {name} cannot be opened: {error.orig}", reason="DATABASE_UNUSABLE"
                ) from error
            if not told:
                log.warning("the database %s cannot be opened yet: %s", name, said_by(error))
                told = True
        time.sleep(START_PAUSE_SECONDS)


def _migrate(engine: Engine, name: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with engine.connect().execution_options(**{WRITES: True}) as connection, connection.begin():
            if engine.dialect.name == "postgresql":
                _prepare_migration(connection, name)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise InvalidInput(
            f"{name} was written by a newer release of pinetune ({error}); use that one",
            reason="DATABASE_TOO_NEW",
        ) from error


def _prepare_migration(connection: Connection, name: str) -> None:
    """Wait for another service that migrates; raises InvalidInput where the database cannot hold every text."""
    encoding = connection.scalar(sa.text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise InvalidInput(
            f"PINETUNE_JOBS_DATABASE_URL: {name} has the encoding {encoding}; it must be UTF8: "
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
            reason="DATABASE_ENCODING",
        )
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
