"""The private folder of a Python grader: how full it is, and emptying it. What lies in it was made by hostile code.

Nothing here follows links, and emptying never walks down a path: folders may be nested deeper than a path can be long
or Python can call itself.
"""

import contextlib
import errno
import math
import os
import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path

MAPS_BYTES_MAX = 4 << 20
"""Longest list of a process's memory that is read: Python with numpy has one of some 50 kB. One that was made long on
purpose would cost the service more than its maker.
"""


def usage(folder: str, files_max: int) -> tuple[int, int]:
    """Return how many bytes and entries a folder holds; counting stops beyond `files_max` entries.

    What lies deeper than a path can say counts as more than `files_max`.
    """
    size = entries = 0
    try:
        for status in _entries(folder):
            entries += 1
            size += max(status.st_size, status.st_blocks * 512) if stat.S_ISREG(status.st_mode) else 0
            if entries > files_max:
                break
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        entries = files_max + 1
    return size, entries


def _entries(folder: str) -> Iterator[os.stat_result]:
    folders = [folder]
    while folders:
        # What vanishes while it is looked at takes no room.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), _opened(folders.pop()) as listed:
            for entry in listed:
                with contextlib.suppress(FileNotFoundError):
                    yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)


def _opened(folder: str) -> "os._ScandirIterator[str]":
    try:
        return os.scandir(folder)
    except PermissionError:
        # Made so by the grader, to hide what it writes; the folder is the service's own, and it has no links.
        os.chmod(folder, 0o700)
        return os.scandir(folder)


def nameless_bytes(leader: int, folder: str) -> float:
    """Return the bytes that the children of process `leader` keep in files of the folder that have no name any more.

    What is only mapped and not open cannot be measured, and counts as more than any limit: Python's own maps keep their
    files open. So does a list of maps that is too long to be looked at.
    """
    size = 0.0
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{leader}/task/{leader}/children").read_text().split():
            mapped = _mapped_nameless(child, folder)
            if mapped is None:
                return math.inf
            kept = _open_nameless(child)
            # Looked at again, for what was open while it was mapped may have been closed and unmapped since.
            if mapped - kept.keys() and (mapped - kept.keys()) & (_mapped_nameless(child, folder) or mapped):
                return math.inf
            size += sum(kept.values())
    return size


def _open_nameless(process: str) -> dict[int, int]:
    """Return the bytes of each nameless file that a process holds open, by the file's number."""
    kept: dict[int, int] = {}
    for descriptor in os.listdir(f"/proc/{process}/fd"):
        with contextlib.suppress(OSError):
            status = os.stat(f"/proc/{process}/fd/{descriptor}")
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                kept[status.st_ino] = max(status.st_size, status.st_blocks * 512)
    return kept


def _mapped_nameless(process: str, folder: str) -> set[int] | None:
    """Return the numbers of the nameless files of the folder that a process has in its memory; None for too many."""
    inside = os.fsencode(f"{os.path.realpath(folder)}/")
    with Path(f"/proc/{process}/maps").open("rb") as file:
        maps = file.read(MAPS_BYTES_MAX + 1)
    if len(maps) > MAPS_BYTES_MAX:
        return None
    numbers = set()
    # The kernel masks line ends in names, and nothing else that may end a line of text.
    for line in maps.split(b"\n"):
        if line.endswith(b" (deleted)"):
            _range, _rights, _offset, _device, number, path = line.split(maxsplit=5)
            if path.startswith(inside):
                numbers.add(int(number))
    return numbers


def empty(folder: str) -> None:
    """Remove all that a folder holds; raises OSError where something withstands."""
    numbers = count()
    while names := os.listdir(folder):
        for name in names:
            path = os.path.join(folder, name)
            if not _is_folder(path):
                os.unlink(path)
                continue
            # Up to the top instead of down: paths stay short.
            for inner in os.listdir(path):
                _is_folder(os.path.join(path, inner))
                os.rename(os.path.join(path, inner), os.path.join(folder, _free(folder, numbers)))
            os.rmdir(path)


def _is_folder(path: str) -> bool:
    """Say whether it is a folder, and make it one that can be moved and listed."""
    is_folder = stat.S_ISDIR(os.lstat(path).st_mode)
    if is_folder:
        # A worker may not change modes, the service may.
        with contextlib.suppress(PermissionError):
            os.chmod(path, 0o700)
    return is_folder


def _free(folder: str, numbers: "count[int]") -> str:
    """Return a name that nothing in the folder has."""
    return next(name for number in numbers if not os.path.lexists(os.path.join(folder, name := f"moved-{number}")))
