"""Data sets as rows; their bytes are among the artifacts."""

import enum
import json
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from pinetune.jobs.rows import Finding
from pinetune.jobs.store.tables import datasets
from pinetune.pod.errors import NotFound


class Hold(enum.Enum):
    """What a transaction keeps others from doing to a data set."""

    FROM_DELETION = enum.auto()
    """It may be used by others too, but not be deleted."""
    FROM_USE = enum.auto()
    """Nobody may begin to use it."""


@dataclass(frozen=True)
class NewDataset:
    """A checked upload."""

    dataset_id: str
    """`file-…`."""
    filename: str
    """The uploaded file's name."""
    uri: str
    """Where its bytes are."""
    create_time: int
    """In microseconds."""
    size_bytes: int
    """Size of the file as uploaded."""
    row_count: int
    """Number of rows."""
    sha256: str
    """Of the file as uploaded."""
    common_keys: tuple[str, ...]
    """Keys that every row has."""
    findings: tuple[Finding, ...]
    """What is odd but allowed."""


@dataclass(frozen=True)
class Dataset(NewDataset):
    """A data set in the database."""

    number: int
    """Order of upload."""


def insert_dataset(connection: Connection, new: NewDataset) -> None:
    """Add a data set."""
    connection.execute(
        datasets.insert().values(
            dataset_id=new.dataset_id,
            filename=new.filename,
            uri=new.uri,
            create_time=new.create_time,
            size_bytes=new.size_bytes,
            row_count=new.row_count,
            sha256=new.sha256,
            common_keys=json.dumps(new.common_keys),
            findings=json.dumps([[finding.line, finding.key, finding.message] for finding in new.findings]),
        )
    )


def find_dataset(connection: Connection, dataset_id: str, *, hold: Hold | None = None) -> Dataset | None:
    """Return a data set; None where there is none. `hold` says what nobody else may do before the transaction ends."""
    query = sa.select(datasets).where(datasets.c.dataset_id == dataset_id)
    if hold is not None:
        query = query.with_for_update(read=hold is Hold.FROM_DELETION)
    row = connection.execute(query).mappings().first()
    return None if row is None else _dataset(row)


def get_dataset(
    connection: Connection, dataset_id: str, *, field: str = "dataset_id", hold: Hold | None = None
) -> Dataset:
    """Return a data set, held as `find_dataset` does; raises NotFound that names the `field` it was asked by."""
    dataset = find_dataset(connection, dataset_id, hold=hold)
    if dataset is None:
        raise NotFound(
            f"{field}: there is no data set {dataset_id!r}; upload it first",
            reason="DATASET_NOT_FOUND",
            dataset_id=dataset_id,
            field=field,
        )
    return dataset


def list_datasets(connection: Connection, *, before: int | None, limit: int) -> list[Dataset]:
    """Return data sets newest first, those uploaded before number `before`."""
    query = sa.select(datasets).order_by(datasets.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(datasets.c.number < before)
    return [_dataset(row) for row in connection.execute(query).mappings()]


def delete_dataset(connection: Connection, dataset_id: str) -> None:
    """Take a data set out; its bytes are the caller's to delete."""
    connection.execute(datasets.delete().where(datasets.c.dataset_id == dataset_id))


def _dataset(row: RowMapping) -> Dataset:
    parsed = {
        "common_keys": tuple(json.loads(row["common_keys"])),
        "findings": tuple(Finding(*parts) for parts in json.loads(row["findings"])),
    }
    return Dataset(**{**row, **parsed})
