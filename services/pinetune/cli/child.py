"""One service of `pinetune up`: a child process with its log, its addresses and its end.

The child holds the reading end of a pipe as its stdin; when `up` dies, even by kill -9, the pipe ends and so does the
child. It is in a session of its own, so that Ctrl-C on the terminal reaches `up` alone, which then stops all in order.
"""

import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pinetune.cli.data_folder import DataFolder

LAST_LINE_COUNT = 12


@dataclass(frozen=True)
class Service:
    """What to start."""

    name: str
    """The room: `python -m pinetune.<name>`."""
    variables: Mapping[str, str]
    """Environment variables beside those that every service gets."""


class Child:
    """A running service."""

    def __init__(self, service: Service, folder: DataFolder, ended: Callable[["Child"], None]) -> None:
        """Start the process; `ended` is called from a thread once it has ended."""
        self.service = service
        self.log_file = folder.logs / f"{service.name}.log"
        self._address_file = folder.run / f"{service.name}.json"
        self._address_file.unlink(missing_ok=True)
        environment = {
            "PINETUNE_POD_LOG_FORMAT": "text",
            **os.environ,
            "PINETUNE_POD_ADDRESS_FILE": str(self._address_file),
            "PINETUNE_POD_STOP_ON_STDIN_EOF": "true",
            **service.variables,
        }
        with self.log_file.open("ab") as log:
            self._log_begin = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"pinetune.{service.name}"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self._waiter = threading.Thread(target=self._wait, args=(ended,), daemon=True)
        self._waiter.start()

    def addresses(self) -> dict[str, str]:
        """Return where the service listens, by `grpc` and `metrics`; empty until it serves."""
        return read_addresses(self._address_file)

    def stop(self, grace_seconds: float) -> int:
        """Ask the process to end, kill it after the grace, return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        self._waiter.join(grace_seconds)
        if self._waiter.is_alive():
            self.process.kill()
            self._waiter.join()
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait()

    def last_lines(self, count: int = LAST_LINE_COUNT) -> str:
        """Return the end of what this process has written; empty where it has written nothing."""
        with self.log_file.open("rb") as log:
            log.seek(self._log_begin)
            return b"".join(deque(log, maxlen=count)).decode(errors="replace").rstrip()

    def _wait(self, ended: Callable[["Child"], None]) -> None:
        self.process.wait()
        ended(self)


def read_addresses(path: Path) -> dict[str, str]:
    """Return the addresses that a service has written to its file, by name; empty where it has not."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {name: str(value) for name, value in content.items()}
