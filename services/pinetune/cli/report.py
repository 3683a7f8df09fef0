"""Fetches a report from the gateway over HTTP and writes it whole or not at all."""

import http.client
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pinetune.pod.errors import InvalidInput, NotFound, Unavailable

DEFAULT_HTTP = "http://127.0.0.1:8080"
DEADLINE_SECONDS = 120.0

Http = Annotated[
    str, typer.Option("--http", envvar="PINETUNE_HTTP", metavar="URL", help="Where pinetune's pages are served.")
]
"""The option of commands that ask the gateway."""


def download_report(address: str, job_ids: Sequence[str], output: Path) -> int:
    """Write the report of the jobs to `output`; return its size in bytes."""
    if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
        raise InvalidInput(f"--http: {address!r} is no http:// or https:// address", reason="INVALID_ADDRESS")
    if not output.parent.is_dir():
        raise InvalidInput(f"{output}: no folder {output.parent}", reason="FOLDER_NOT_FOUND")
    query = urllib.parse.urlencode([("job", job_id) for job_id in job_ids])
    url = f"{address.rstrip('/')}/report.html?{query}"
    # A gateway stands in one's own cluster; a proxy for the world outside would not find it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    temporary = output.with_name(f".{output.name}.part")
    try:
        with opener.open(url, timeout=DEADLINE_SECONDS) as page, temporary.open("wb") as file:
            shutil.copyfileobj(page, file)
        size_bytes = temporary.stat().st_size
        temporary.replace(output)
    except urllib.error.HTTPError as error:
        raise _refused(error) from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
        raise Unavailable(f"no pinetune at {address}; start one with `pinetune up`", reason="NOBODY_THERE") from error
    except OSError as error:
        raise InvalidInput(f"{output}: {(error.strerror or str(error)).lower()}", reason="FILE_UNWRITABLE") from error
    finally:
        temporary.unlink(missing_ok=True)
    return size_bytes


def _refused(error: urllib.error.HTTPError) -> NotFound | InvalidInput | Unavailable:
    """Read the gateway's sentence; its errors are plain text."""
    with error:
        sentence = error.read(4096).decode("utf-8", "replace").strip() or f"the gateway answered {error.code}"
    if error.code == http.client.NOT_FOUND:
        return NotFound(sentence, reason="NOT_FOUND")
    if error.code < http.client.INTERNAL_SERVER_ERROR:
        return InvalidInput(sentence, reason="REFUSED")
    return Unavailable(sentence, reason="GATEWAY_FAILED")
