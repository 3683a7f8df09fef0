"""A private PostgreSQL server for tests: in a folder of its own, on a Unix socket, without fsync.

    with PostgresqlServer.started() as server:
        Database(server.make_database())

PostgreSQL refuses to run as root; there it runs as `postgres`, or as `nobody`. A restart in the middle is one call.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

REQUIRE = "PINETUNE_REQUIRE_POSTGRESQL"
"""Where this is 1 a missing server fails the tests that need it, and does not skip them."""
DEBIAN_FOLDERS = "/usr/lib/postgresql/*/bin"
USER = "pinetune"
PATIENCE_SECONDS = 30.0
# So it goes with the tests, however they end.
UNTIL_STDIN_ENDS = '"$@" & cat > /dev/null; kill -QUIT $!; wait'
SETTINGS = {
    # Nobody here outlives a crash of the machine; committing still writes, so that a killed server loses nothing.
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "200",
    # A new database is 8 MB of log.
    "max_wal_size": "96MB",
}


def missing() -> str:
    """Return what is not there and how to get it, empty where a server can be started."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed; run `make setup`"
    if _binaries() is None:
        return "PostgreSQL's programs (initdb, pg_ctl) were not found; run `apt-get install postgresql`"
    return ""


@dataclass
class PostgresqlServer:
    """A running server; `started` makes one."""

    folder: Path
    """Its data and its socket."""
    binaries: Path
    """Where its programs are."""
    user: dict[str, Any]
    """Who runs it, as arguments for a process; empty for who runs the tests."""
    _names: Iterator[int] = field(default_factory=count)
    _process: "subprocess.Popen[bytes] | None" = None

    @classmethod
    @contextmanager
    def started(cls) -> "Iterator[PostgresqlServer]":
        """Start a server, and remove all of it in the end."""
        binaries = _binaries()
        assert binaries is not None, missing()
        # Not pytest's folder: another user must get in, and the path of a socket has at most 107 bytes.
        folder = Path(tempfile.mkdtemp(prefix="pinetune-pg-"))
        server = cls(folder, binaries, _unprivileged(folder))
        try:
            server.run("initdb", "--username", USER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
            server.start()
            yield server
        finally:
            if server._process is not None:
                server.stop()
            shutil.rmtree(folder)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [str(self.binaries / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder), *settings]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", UNTIL_STDIN_ENDS, "sh", *command],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                **self.user,
            )
        give_up = time.monotonic() + PATIENCE_SECONDS
        while self._run("pg_isready", "--quiet").returncode:
            assert time.monotonic() < give_up, (self.folder / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it as a crash does: connections break, and it recovers at its next start."""
        assert self._process is not None
        # What all tests before this one wrote would have to be done again at the next start.
        self.sql("postgres", "CHECKPOINT")
        self._process.communicate(timeout=PATIENCE_SECONDS)
        self._process = None

    def make_database(self, *, settings: str = "") -> str:
        """Make an empty database, with more SQL `settings` where given, and return its URL."""
        name = f"test_{next(self._names)}"
        self.sql("postgres", f"CREATE DATABASE {name} {settings}")
        return self.url(name)

    def url(self, name: str) -> str:
        """Return the URL of a database as PINETUNE_JOBS_DATABASE_URL has it."""
        return f"postgresql+psycopg://{USER}@/{name}?host={self.folder}"

    def sql(self, name: str, statement: str) -> str:
        """Run a statement in a database, with the server's own client; returns what it answers."""
        return self.run("psql", "--no-psqlrc", "--quiet", "-tA", "-v", "ON_ERROR_STOP=1", "-c", statement, name)

    def run(self, program: str, *arguments: str) -> str:
        """Run one of the server's programs and return what it says."""
        done = self._run(program, *arguments)
        assert done.returncode == 0, f"{program} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def _run(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        places = {"PGDATA": str(self.folder / "data"), "PGHOST": str(self.folder), "PGUSER": USER, "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            [str(self.binaries / program), *arguments],
            cwd=self.folder,
            env={"PATH": os.environ.get("PATH", ""), **places},
            capture_output=True,
            text=True,
            check=False,
            **self.user,
        )


def _binaries() -> Path | None:
    """Return the folder of the newest server's programs; None where there is none."""
    on_path = shutil.which("pg_ctl")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/").glob(DEBIAN_FOLDERS.lstrip("/")), key=_version)
    return next((folder for folder in reversed(folders) if (folder / "initdb").is_file()), None)


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.parent.name.split(".") if part.isdigit())


def _unprivileged(folder: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = names.get("postgres") or names["nobody"]
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
