"""Where the key of a server outside is written: never in the settings themselves, which are shown and logged."""

import os
from pathlib import Path

from pinetune.pod.errors import InvalidInput

VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
"""What the name of a variable looks like: a key that stands in its place is refused before anything shows it."""


def read_key(server: str, *, env: str | None, file: Path | None, reason: str) -> str | None:
    """Read the key for `server` from a variable or a file, None where neither is named.

    Raises InvalidInput `reason`, without the key, where there is none or it is no header.
    """
    if env is not None:
        place, key = f"the variable {env}", os.environ.get(env, "").strip()
    elif file is not None:
        place, key = f"the file {file}", _content(file)
    else:
        return None
    if not key:
        raise InvalidInput(f"no key for {server}: {place} is not there or empty", reason=reason)
    # What is no header would come back inside the HTTP client's error, the key in it.
    if not key.isascii() or not key.isprintable():
        raise InvalidInput(f"no key for {server} in {place}: it must be one line of ASCII", reason=reason)
    return key


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
