"""Receives a policy in pieces and makes a folder of it, for places without shared storage.

The folder is private, lies in memory where there is room, and is gone after the engine has loaded it, unless the engine
says that it may have to read it again: engines know one way to load a policy. Each tensor is hashed as it arrives, so a
wrong byte ends the stream at that tensor; the manifest is written last, as everywhere.

One policy is received at a time, the one whose call came last, unless it is older than the one on its way: a sender
may be frozen, and who makes its call again takes over. What the earlier call had sent is discarded, and should it wake
up it is refused. The load of a policy that has come whole is over before the next one is received.
"""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pinetune.generation.latest_turn import LatestTurn, Turn
from pinetune.generation.spool_folder import default_folders, no_room, private_folder, sweep
from pinetune.pod.errors import Cancelled, Conflict, Corrupt, InvalidInput
from pinetune.pod.manifest import ADAPTER_CONFIG_FILE, Manifest, TensorEntry, write_manifest
from pinetune.pod.tensor_files import DTYPES, layout, size_bytes

WEIGHTS_FILES = {"full": "model.safetensors", "lora": "adapter_model.safetensors"}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some bytes of one tensor."""

    name: str
    """The tensor."""
    offset_bytes: int
    """Where in the tensor they begin."""
    data: bytes | memoryview
    """The bytes; they may be others once the next chunk is asked for."""


@dataclass(frozen=True)
class Arrived:
    """A policy that has come whole."""

    folder: Path
    """Where it is, until the end of `receive` or as long as it is kept."""
    replaced: Callable[[], bool]
    """Whether a later call waits to bring another one, so that this one need not be loaded any more."""


class Receiver:
    """Takes one streamed policy at a time, the latest."""

    def __init__(self, folder: Path | None = None) -> None:
        """Spool below `folder`; below shared memory or, where that has no room, the temporary folder by default."""
        self._folders = [folder] if folder else default_folders()
        self._latest = LatestTurn()
        self._lock = threading.Lock()
        self._received: dict[str, ExitStack] = {}
        """Folders that are there, with what deletes them."""
        self._kept: frozenset[str] = frozenset()
        for one in self._folders:
            sweep(one)

    @contextmanager
    def receive(
        self,
        manifest: Manifest,
        held: Callable[[], Mapping[str, str]],
        chunks: Iterable[Chunk],
        *,
        bytes_max: int,
        waits: Callable[[], bool] = lambda: True,
    ) -> Iterator[Arrived]:
        """Yield the policy whose tensors are those of `chunks`, but for those that are `held` by hash, to be loaded.

        `held` is asked once no other policy is being loaded. Raises Corrupt TENSOR_HASH_MISMATCH, InvalidInput for
        pieces that are no policy, Conflict TENSORS_NOT_SENT where some are neither held nor sent, Conflict
        STREAM_REPLACED where a later call takes over, Conflict STREAM_OUTDATED where a newer policy is on its way, Busy
        where there is no room, Cancelled once `waits` says False.
        """
        with self._latest.take(manifest.policy_version, waits) as turn:
            wanted = _wanted(manifest, held())
            size = _checked_size(wanted, bytes_max)
            with turn.working():
                folder = turn.discards.enter_context(private_folder(self._folders, size))
                spool = _Spool(folder / WEIGHTS_FILES[manifest.kind], wanted)
                turn.discards.callback(spool.close)
            try:
                _write(spool, manifest, wanted, chunks, turn)
                with turn.working():
                    _complete(spool, folder, manifest)
                    turn.commit()
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                raise no_room(str(folder.parent), str(error)) from error
            try:
                yield Arrived(folder, lambda: turn.replaced)
            except Cancelled:
                turn.refuse_replaced()
                raise
            finally:
                # Also where the caller has left: his policy may be held all the same.
                with self._lock:
                    if str(folder) in self._kept:
                        self._received[str(folder)] = turn.discards.pop_all()

    def keep(self, folders: Collection[str]) -> None:
        """Keep these folders, which the engine may read again, and delete the others; within `receive`, or at the end.

        What is kept stays until it is not named any more.
        """
        with self._lock:
            self._kept = frozenset(folders)
            for folder in self._received.keys() - self._kept:
                self._received.pop(folder).close()


class _Spool:
    """The file that tensors are written into, one after the other, each from its first byte to its last."""

    def __init__(self, path: Path, entries: Sequence[TensorEntry]) -> None:
        self._entries = {entry.name: entry for entry in entries}
        first, self._starts, size = layout(entries, {"format": "pt"})
        self._file = path.open("xb", buffering=0)
        self._file.truncate(size)
        os.pwrite(self._file.fileno(), first, 0)
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
        os.pwrite(self._file.fileno(), chunk.data, self._starts[chunk.name] + self._done)
        self._hash.update(chunk.data)
        self._done += len(chunk.data)
        if self._done == size:
            self._end(entry)

    def close(self) -> None:
        """Close the file; once is enough."""
        self._file.close()

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


def _write(
    spool: _Spool, manifest: Manifest, wanted: Sequence[TensorEntry], chunks: Iterable[Chunk], turn: Turn
) -> None:
    names = {entry.name for entry in wanted}
    known = {entry.name for entry in manifest.tensors}
    for chunk in chunks:
        if chunk.name not in known:
            raise InvalidInput(
                f"chunk of {chunk.name!r}, which is not in the manifest", reason="CHUNK_UNKNOWN", tensor=chunk.name
            )
        # Not around waiting for the next chunk: who takes over waits for no sender.
        with turn.working():
            if chunk.name in names:  # What came to be held since the sender asked is not needed.
                spool.add(chunk)


def _complete(spool: _Spool, folder: Path, manifest: Manifest) -> None:
    """Refuse what has not come whole, and make a policy's folder of what has."""
    spool.refuse_half()
    if spool.missing:
        raise Conflict(
            f"{len(spool.missing)} of {len(manifest.tensors)} tensors are neither held nor sent, first "
            f"{min(spool.missing)!r}; ask again which are held, and send the others",
            reason="TENSORS_NOT_SENT",
            tensor=min(spool.missing),
            missing=len(spool.missing),
        )
    spool.close()
    if manifest.kind == "lora":
        (folder / ADAPTER_CONFIG_FILE).write_text(manifest.adapter_config_json, encoding="utf-8")
    file = WEIGHTS_FILES[manifest.kind]
    entries = tuple(replace(entry, file=file) for entry in manifest.tensors)
    write_manifest(str(folder), replace(manifest, tensors=entries))
