"""The folder that `pinetune up` keeps everything in, held by one `up` at a time.

<folder>/up.lock       the process that holds the folder
<folder>/run/          where each service listens, and what Prometheus is to scrape
<folder>/logs/         what each service says
<folder>/…             what the jobs service keeps
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pinetune.pod.errors import Conflict, InvalidInput


@dataclass(frozen=True)
class DataFolder:
    """The folder and the places in it."""

    path: Path
    """The folder itself, absolute."""

    @property
    def run(self) -> Path:
        """Where the services write their addresses."""
        return self.path / "run"

    @property
    def logs(self) -> Path:
        """Where the services' logs go."""
        return self.path / "logs"

    def write_targets(self, metrics: Mapping[str, str]) -> None:
        """Publish where /metrics of each service is, whole or not at all (Prometheus file_sd).

        Those of jobs, which come and go, are in `run/targets.json` beside it; the jobs service writes that.
        """
        targets = [
            {"targets": [address], "labels": {"room": room, "process": room}} for room, address in metrics.items()
        ]
        path = self.run / "targets-services.json"
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(targets, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)


@contextlib.contextmanager
def held(path: Path) -> Iterator[DataFolder]:
    """Make the folder where it is missing and hold it; raises Conflict where another process holds it.

    The kernel lets go of the lock when the process ends, however it ends.
    """
    folder = DataFolder(path.expanduser().resolve())
    try:
        for each in (folder.path, folder.run, folder.logs):
            each.mkdir(parents=True, exist_ok=True)
        lock = (folder.path / "up.lock").open("a+")
    except OSError as error:
        raise InvalidInput(f"--data-dir: {folder.path}: {error.strerror}", reason="DATA_DIR_UNUSABLE") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise Conflict(
                f"--data-dir: {folder.path} is in use by another `pinetune up`, process {lock.read().strip() or '?'}",
                reason="DATA_DIR_IN_USE",
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield folder
