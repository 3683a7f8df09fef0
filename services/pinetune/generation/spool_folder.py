"""The private folder that a policy is received in: in memory where there is room, gone with whoever made it."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pinetune.pod.errors import Busy

PREFIX, LOCK_FILE = "pinetune-policy-", "lock"
SHARED_MEMORY = Path("/dev/shm")
SPARE_BYTES = 64 << 20
"""Room left over in the folder for others."""
RETRY_SECONDS = 1.0
SWEEP_SECONDS = 60.0
"""Folders that changed since are left alone."""


def default_folders() -> list[Path]:
    """Return where policies are received unless told otherwise, the best place first."""
    return [SHARED_MEMORY, Path(tempfile.gettempdir())]


@contextmanager
def private_folder(folders: Sequence[Path], size: int) -> Iterator[Path]:
    """Yield a new folder below the first of `folders` with room for `size` bytes; it is deleted with all in it.

    Raises Busy SPOOL_FULL.
    """
    free = {one: shutil.disk_usage(one).free for one in folders if one.is_dir() and os.access(one, os.W_OK)}
    below = next((one for one, room in free.items() if room >= size + SPARE_BYTES), None)
    if below is None:
        had = ", ".join(f"{one} has {room}" for one, room in free.items()) or "none of the folders can be written"
        raise no_room(", ".join(map(str, folders)), f"{size + SPARE_BYTES} bytes are needed, {had}")
    outer = Path(tempfile.mkdtemp(prefix=PREFIX, dir=below))
    try:
        with (outer / LOCK_FILE).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            inner = outer / "policy"
            inner.mkdir()
            yield inner
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def sweep(below: Path) -> None:
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


def no_room(where: str, why: str) -> Busy:
    """Return the error for a folder that is full."""
    return Busy(
        f"no room to receive the policy in {where}: {why}; set PINETUNE_GENERATION_SPOOL_DIR to a folder with room",
        reason="SPOOL_FULL",
        retry_after_seconds=RETRY_SECONDS,
    )
