"""Receives a policy in pieces and makes a folder of it, for places without shared storage.

The folder is private, lies in memory where there is room, and is gone after the engine has loaded it, unless the engine
says that it may have to read it again: engines know one way to load a policy. Each tensor is hashed as it arrives, so a
wrong byte ends the stream at that tensor; the manifest is written last, as everywhere.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pinetune.pod.errors import Busy, Conflict, Corrupt, InvalidInput
from pinetune.pod.manifest import ADAPTER_CONFIG_FILE, Manifest, TensorEntry, write_manifest
from pinetune.pod.tensor_files import DTYPES, layout, size_bytes

PREFIX, LOCK_FILE = "pinetune-policy-", "lock"
WEIGHTS_FILES = {"full": "model.safetensors", "lora": "adapter_model.safetensors"}
SHARED_MEMORY = Path("/dev/shm")
SPARE_BYTES = 64 << 20
"""Room left over in the folder for others."""
RETRY_SECONDS = 1.0
SWEEP_SECONDS = 60.0
"""Folders that changed since are left alone."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some bytes of one tensor."""

    name: str
    """The tensor."""
    offset_bytes: int
    """Where in the tensor they begin."""
    data: bytes | memoryview
    """The bytes; they may be others once the next chunk is asked for."""


class Receiver:
    """Takes one streamed policy at a time."""

    def __init__(self, folder: Path | None = None) -> None:
        """Spool below `folder`; below shared memory or, where that has no room, the temporary folder by default."""
        self._folders = [folder] if folder else [SHARED_MEMORY, Path(tempfile.gettempdir())]
        self._taken = threading.Lock()
        self._received: dict[str, ExitStack] = {}
        """Folders that are there, with what deletes them."""
        self._kept: frozenset[str] = frozenset()
        for one in self._folders:
            _sweep(one)

    @contextmanager
    def receive(
        self, manifest: Manifest, held: Mapping[str, str], chunks: Iterable[Chunk], *, bytes_max: int
    ) -> Iterator[Path]:
        """Yield the folder of a policy whose tensors are those of `chunks`, but for those that are `held` by hash.

        Raises Corrupt TENSOR_HASH_MISMATCH, InvalidInput for pieces that are no policy, Conflict TENSORS_NOT_SENT where
        some are neither held nor sent, Busy where another stream is on or there is no room.
        """
        if not self._taken.acquire(blocking=False):
            raise Busy(
                "another policy is being received; repeat the call later",
                reason="STREAM_ACTIVE",
                retry_after_seconds=RETRY_SECONDS,
            )
        try:
            wanted = _wanted(manifest, held)
            size = _checked_size(wanted, bytes_max)
            with ExitStack() as deletion:
                folder = deletion.enter_context(_private_folder(self._folders, size))
                _write(folder, manifest, wanted, chunks)
                yield folder
                if str(folder) in self._kept:
                    self._received[str(folder)] = deletion.pop_all()
        finally:
            self._taken.release()

    def keep(self, folders: Collection[str]) -> None:
        """Keep these folders, which the engine may read again, and delete the others; within `receive`, or at the end.

        What is kept stays until it is not named any more.
        """
        self._kept = frozenset(folders)
        for folder in self._received.keys() - self._kept:
            self._received.pop(folder).close()


class _Spool:
    """The file that tensors are written into, one after the other, each from its first byte to its last."""

    def __init__(self, path: Path, entries: Sequence[TensorEntry]) -> None:
        self._entries = {entry.name: entry for entry in entries}
        first, self._starts, size = layout(entries, {"format": "pt"})
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.truncate(self._descriptor, size)
        os.pwrite(self._descriptor, first, 0)
        self._name, self._done, self._hash = "", 0, hashlib.sha256()
        self.missing = {entry.name for entry in entries if size_bytes(entry.dtype, entry.shape)}
        """Tensors that have not come."""

    def add(self, chunk: Chunk) -> None:
        """Write a chunk; check the tensor's hash with its last one."""
        if chunk.name != self._name:
            self._begin(chunk.name)
        entry = self._entries[chunk.name]
        size = size_bytes(entry.dtype, entry.shape)
        if chunk.offset_bytes != self._done or self._done + len(chunk.data) > size or chunk.name not in self.missing:
            raise InvalidInput(
                f"chunk of {chunk.name!r}: {self._done} of {size} bytes have come, this one brings {len(chunk.data)} "
                f"from {chunk.offset_bytes}; bytes come in order and once",
                reason="CHUNK_OUT_OF_ORDER",
                tensor=chunk.name,
            )
        os.pwrite(self._descriptor, chunk.data, self._starts[chunk.name] + self._done)
        self._hash.update(chunk.data)
        self._done += len(chunk.data)
        if self._done == size:
            self._end(entry)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _begin(self, name: str) -> None:
        self.refuse_half()
        self._name, self._done, self._hash = name, 0, hashlib.sha256()

    def refuse_half(self) -> None:
        """Raise where a tensor has begun and not ended."""
        if self._name in self.missing:
            size = size_bytes(self._entries[self._name].dtype, self._entries[self._name].shape)
            raise InvalidInput(
                f"tensor {self._name!r} ends after {self._done} of {size} bytes; send the policy again",
                reason="TENSOR_CUT",
                tensor=self._name,
            )

    def _end(self, entry: TensorEntry) -> None:
        computed = self._hash.hexdigest()
        if computed != entry.sha256:
            raise Corrupt(
                f"tensor {entry.name!r} arrived with SHA-256 {computed}, the manifest says {entry.sha256}; the old "
                "policy stays",
                reason="TENSOR_HASH_MISMATCH",
                tensor=entry.name,
            )
        self.missing.discard(entry.name)


def _wanted(manifest: Manifest, held: Mapping[str, str]) -> list[TensorEntry]:
    """Return the tensors that have to come. An adapter is no part of the model, so it comes whole."""
    for entry in manifest.tensors:
        if entry.dtype not in DTYPES:
            raise InvalidInput(
                f"manifest.tensors: {entry.name!r} is of dtype {entry.dtype!r}, which is none of {', '.join(DTYPES)}",
                reason="DTYPE_UNKNOWN",
                tensor=entry.name,
            )
    if manifest.kind == "lora":
        return list(manifest.tensors)
    return [entry for entry in manifest.tensors if held.get(entry.name) != entry.sha256]


def _checked_size(wanted: Sequence[TensorEntry], bytes_max: int) -> int:
    size = sum(size_bytes(entry.dtype, entry.shape) for entry in wanted)
    if size > bytes_max:
        raise InvalidInput(
            f"the policy's tensors have {size} bytes; the model takes at most {bytes_max}",
            reason="POLICY_TOO_LARGE",
            limit=bytes_max,
            given=size,
        )
    return size


def _write(folder: Path, manifest: Manifest, wanted: Sequence[TensorEntry], chunks: Iterable[Chunk]) -> None:
    file = WEIGHTS_FILES[manifest.kind]
    names = {entry.name for entry in wanted}
    known = {entry.name for entry in manifest.tensors}
    spool = _Spool(folder / file, wanted)
    try:
        for chunk in chunks:
            if chunk.name not in known:
                raise InvalidInput(
                    f"chunk of {chunk.name!r}, which is not in the manifest", reason="CHUNK_UNKNOWN", tensor=chunk.name
                )
            if chunk.name in names:  # What came to be held since the sender asked is not needed.
                spool.add(chunk)
        spool.refuse_half()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise _no_room(str(folder.parent), str(error)) from error
    finally:
        spool.close()
    if spool.missing:
        raise Conflict(
            f"{len(spool.missing)} of {len(manifest.tensors)} tensors are neither held nor sent, first "
            f"{min(spool.missing)!r}; ask again which are held, and send the others",
            reason="TENSORS_NOT_SENT",
            tensor=min(spool.missing),
            missing=len(spool.missing),
        )
    if manifest.kind == "lora":
        (folder / ADAPTER_CONFIG_FILE).write_text(manifest.adapter_config_json, encoding="utf-8")
    entries = tuple(replace(entry, file=file) for entry in manifest.tensors)
    write_manifest(str(folder), replace(manifest, tensors=entries))


@contextmanager
def _private_folder(folders: Sequence[Path], size: int) -> Iterator[Path]:
    """Yield a new folder below the first of `folders` with room; it is deleted with all in it."""
    free = {one: shutil.disk_usage(one).free for one in folders if one.is_dir() and os.access(one, os.W_OK)}
    below = next((one for one, room in free.items() if room >= size + SPARE_BYTES), None)
    if below is None:
        had = ", ".join(f"{one} has {room}" for one, room in free.items()) or "none of the folders can be written"
        raise _no_room(", ".join(map(str, folders)), f"{size + SPARE_BYTES} bytes are needed, {had}")
    outer = Path(tempfile.mkdtemp(prefix=PREFIX, dir=below))
    try:
        with (outer / LOCK_FILE).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            inner = outer / "policy"
            inner.mkdir()
            yield inner
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def _sweep(below: Path) -> None:
    """Delete what receivers left that were killed; a living one holds its lock."""
    if not below.is_dir():
        return
    for outer in below.glob(f"{PREFIX}*"):
        try:
            if time.time() - outer.stat().st_mtime < SWEEP_SECONDS:  # It may be about to take its lock.
                continue
            with (outer / LOCK_FILE).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(outer, ignore_errors=True)
        except OSError:
            continue  # In use, not ours, or gone meanwhile.


def _no_room(where: str, why: str) -> Busy:
    return Busy(
        f"no room to receive the policy in {where}: {why}; set PINETUNE_GENERATION_SPOOL_DIR to a folder with room",
        reason="SPOOL_FULL",
        retry_after_seconds=RETRY_SECONDS,
    )
