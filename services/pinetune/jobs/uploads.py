"""Takes a data set in: bytes from the stream to the artifacts, checked before anyone can use them."""

import hashlib
import secrets
import tempfile
from collections.abc import Iterator
from typing import IO, BinaryIO, cast

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.jobs.dataset import check_upload
from pinetune.jobs.moments import now
from pinetune.jobs.rows import FILE_BYTES_MAX
from pinetune.jobs.store.datasets import NewDataset
from pinetune.pod.errors import InvalidInput
from pinetune.pod.storage import make_parents, open_address

CHUNK_BYTES_MAX = 1 << 20
ENDINGS = (".jsonl.gz", ".jsonl")
FILENAME_CHARACTERS_MAX = 255
MEMORY_BYTES_MAX = 8 << 20
"""Uploads up to this size never touch the disk before they are accepted."""


def take_in(pieces: Iterator[wire.CreateDatasetRequest], *, artifacts_uri: str) -> NewDataset:
    """Read an upload, check it and write it to the artifacts; raises InvalidInput that says what is wrong."""
    header = _header(pieces)
    with tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES_MAX) as file:
        size, sha256 = _receive(pieces, file)
        if header.size_bytes and header.size_bytes != size:
            raise InvalidInput(
                f"header.size_bytes promised {header.size_bytes} bytes and {size} came; upload the file again",
                reason="SIZE_MISMATCH",
                field="header.size_bytes",
            )
        file.seek(0)
        summary = check_upload(cast(BinaryIO, file))
        dataset_id = f"file-{secrets.token_hex(10)}"
        ending = next(ending for ending in ENDINGS if header.filename.endswith(ending))
        uri = f"{artifacts_uri}/datasets/{dataset_id}{ending}"
        file.seek(0)
        _write(file, uri)
    return NewDataset(
        dataset_id=dataset_id,
        filename=header.filename,
        uri=uri,
        create_time=now(),
        size_bytes=size,
        row_count=summary.row_count,
        sha256=sha256,
        common_keys=summary.common_keys,
        findings=summary.findings,
    )


def _header(pieces: Iterator[wire.CreateDatasetRequest]) -> wire.DatasetHeader:
    first = next(pieces, None)
    if first is None or first.WhichOneof("piece") != "header":
        raise InvalidInput("the first message of an upload is its header", reason="INVALID_UPLOAD", field="header")
    filename = first.header.filename
    if not filename.endswith(ENDINGS) or len(filename) > FILENAME_CHARACTERS_MAX:
        raise InvalidInput(
            f"header.filename must end in {' or '.join(ENDINGS)} and have at most {FILENAME_CHARACTERS_MAX} "
            f"characters; it is {filename[:80]!r}",
            reason="INVALID_UPLOAD",
            field="header.filename",
        )
    return first.header


def _receive(pieces: Iterator[wire.CreateDatasetRequest], file: IO[bytes]) -> tuple[int, str]:
    """Write the chunks to `file`; returns their size and hash."""
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        if piece.WhichOneof("piece") != "chunk":
            raise InvalidInput("an upload has one header, then chunks", reason="INVALID_UPLOAD", field="header")
        size += len(piece.chunk)
        if len(piece.chunk) > CHUNK_BYTES_MAX:
            raise InvalidInput(
                f"a chunk has at most {CHUNK_BYTES_MAX:,} bytes; this one has {len(piece.chunk):,}",
                reason="INVALID_UPLOAD",
                field="chunk",
            )
        if size > FILE_BYTES_MAX:
            raise InvalidInput(f"a data set has at most {FILE_BYTES_MAX:,} bytes", reason="INVALID_DATASET")
        digest.update(piece.chunk)
        file.write(piece.chunk)
    return size, digest.hexdigest()


def _write(file: IO[bytes], uri: str) -> None:
    filesystem, path = open_address(uri)
    make_parents(filesystem, path)
    with filesystem.open(path, "wb") as target:
        while block := file.read(CHUNK_BYTES_MAX):
            target.write(block)
