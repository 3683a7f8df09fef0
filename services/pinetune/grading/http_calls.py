"""One HTTP request with a JSON body, bounded in time and in what is read back."""

import email.utils
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2


@dataclass(frozen=True)
class HttpReply:
    """What a server answered."""

    status: int
    """HTTP status."""
    headers: Mapping[str, str]
    """Header fields; names compare without case."""
    body: bytes
    """The whole body."""

    @property
    def retry_after_seconds(self) -> float | None:
        """How long the server asks to wait, from `Retry-After` in either of its forms; None where it does not."""
        value = self.headers.get("retry-after", "")
        if value.isascii() and value.isdigit():
            return float(value)
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, OverflowError):
            return None


class NoReplyError(Exception):
    """There is no whole reply."""

    def __init__(self, detail: str, *, timed_out: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        """What happened, in a few words."""
        self.timed_out = timed_out
        """True where the time was over."""


def post_json(
    client: httpx2.Client, url: str, body: bytes, *, headers: Mapping[str, str], seconds: float, bytes_max: int
) -> HttpReply:
    """Send `body` and return the reply, whatever its status; redirects are replies.

    Raises NoReplyError where the server cannot be reached, takes longer than `seconds` or sends more than `bytes_max`.
    """
    give_up = time.monotonic() + seconds
    # Without compression the bytes that are counted are the bytes that are kept.
    fields = {"Content-Type": "application/json", "Accept-Encoding": "identity"} | dict(headers)
    found = bytearray()
    try:
        with client.stream("POST", url, content=body, headers=fields, timeout=seconds) as response:
            for piece in response.iter_raw():
                found += piece
                if len(found) > bytes_max:
                    raise NoReplyError(f"the reply is longer than {bytes_max} bytes")
                # The client's own limit is for each read; a server that drips would never reach it.
                if time.monotonic() > give_up:
                    raise NoReplyError(f"no whole reply within {seconds:.3g} s", timed_out=True)
            return HttpReply(response.status_code, response.headers, bytes(found))
    except httpx2.TimeoutException as error:
        raise NoReplyError(f"no reply within {seconds:.3g} s", timed_out=True) from error
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        raise NoReplyError(f"{type(error).__name__}: {error}") from error
