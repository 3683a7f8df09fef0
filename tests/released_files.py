"""What released versions wrote, as `tools/release_files.py` keeps it in `tests/released`: put where a test works."""

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from pinetune.jobs.store.database import MIGRATIONS

FOLDER = Path(__file__).resolve().parent / "released"


@dataclass(frozen=True)
class ReleasedDatabase:
    """A database as a version left it, at one revision of the tables."""

    path: Path
    """Its SQL."""

    def __str__(self) -> str:
        return f"{self.path.parent.name}-{self.revision}"

    @property
    def revision(self) -> str:
        """Of the tables."""
        return self.path.stem.removeprefix("database-")

    @property
    def answers(self) -> dict[str, Any]:
        """What the jobs service said then."""
        said: dict[str, Any] = json.loads((self.path.parent / "answers.json").read_text())
        return said

    def place(self, folder: Path, url: str) -> None:
        """Put the rows into the empty database at `url`, and the artifacts into `folder`."""
        shutil.copytree(self.path.parent / "artifacts", folder / "artifacts")
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(str(sa.make_url(url).database))) as database:
                database.executescript(self.path.read_text())
        else:
            self._copy(url)

    def _copy(self, url: str) -> None:
        """Make the tables of the revision in another kind of database, and copy the rows."""
        source, target = sa.create_engine("sqlite://"), sa.create_engine(url)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with source.connect() as reading, target.begin() as writing:
            driver: Any = reading.connection.dbapi_connection
            driver.executescript(self.path.read_text())
            config.attributes["connection"] = writing
            command.upgrade(config, self.revision)
            tables = sa.MetaData()
            tables.reflect(writing)
            for table in tables.sorted_tables:
                if table.name == "alembic_version":
                    continue
                # By the target's types: SQLite has no booleans.
                columns = sa.table(table.name, *(sa.column(one.name, one.type) for one in table.columns))
                rows = [dict(row) for row in reading.execute(sa.select(columns)).mappings()]
                if rows:
                    writing.execute(table.insert(), rows)
                if "number" in table.columns and table.columns["number"].server_default is not None:
                    sequence = f"pg_get_serial_sequence('{table.name}', 'number')"
                    writing.execute(sa.text(f"SELECT setval({sequence}, max(number)) FROM {table.name}"))
        source.dispose()
        target.dispose()


DATABASES = [ReleasedDatabase(path) for path in sorted(FOLDER.glob("*/database-*.sql"))]
