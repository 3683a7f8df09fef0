"""HTTP requests with a JSON body, each bounded in time as a whole and in what is read back."""

import contextlib
import email.utils
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

CLOSED = "the connections are closed"


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


class HttpCaller:
    """Calls a server from many threads at once; connections are kept and used again."""

    def __init__(self) -> None:
        self._tls = httpx2.create_ssl_context()
        self._lock = threading.Lock()
        self._idle: list[_Line] = []
        self._busy: set[_Line] = set()
        self._is_closed = False

    def post_json(
        self, url: str, body: bytes, *, headers: Mapping[str, str], seconds: float, bytes_max: int
    ) -> HttpReply:
        """Send `body` and return the reply, whatever its status; redirects are replies.

        Raises NoReplyError where the server cannot be reached, the exchange as a whole takes longer than `seconds`
        (the look-up of the server's name apart), the reply is longer than `bytes_max`, or this caller is closed.
        """
        line = self._borrow()
        try:
            return line.post_json(url, body, headers=headers, seconds=seconds, bytes_max=bytes_max)
        finally:
            self._give_back(line)

    def close(self) -> None:
        """Close the connections; requests that are under way fail."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
            for line in self._busy:
                line.hang_up(NoReplyError(CLOSED))
        for line in idle:
            line.close()

    def _borrow(self) -> "_Line":
        with self._lock:
            if self._is_closed:
                raise NoReplyError(CLOSED)
            line = self._idle.pop() if self._idle else _Line(self._tls)
            self._busy.add(line)
            return line

    def _give_back(self, line: "_Line") -> None:
        with self._lock:
            self._busy.remove(line)
            if not self._is_closed:
                self._idle.append(line)
                return
        line.close()


class _Line:
    """A client for one request at a time, so that it is known which connection to cut when the time is over.

    The HTTP client's own limit is for each read and write; a server that drips bytes would never reach it.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._client = httpx2.Client(verify=tls, limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1))
        self._lock = threading.Lock()
        self._request_number = 0
        self._connection: socket.socket | None = None
        self._handshaking: socket.socket | None = None
        self._cut_for: NoReplyError | None = None

    def post_json(
        self, url: str, body: bytes, *, headers: Mapping[str, str], seconds: float, bytes_max: int
    ) -> HttpReply:
        """Make one request, as HttpCaller does."""
        late = NoReplyError(f"no whole reply within {seconds:.3g} s", timed_out=True)
        timer = threading.Timer(seconds, self.hang_up, (late, self._request_number))
        timer.daemon = True
        timer.start()
        fault: NoReplyError | None = None
        reply = None
        try:
            reply = self._exchange(url, body, headers, seconds, bytes_max)
        except httpx2.TimeoutException:
            fault = late
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            fault = NoReplyError(f"{type(error).__name__}: {error}")
        finally:
            timer.cancel()
            cut_for = self._end()
        # What cut it comes first, also before a reply: without a length a body that was cut off looks whole.
        if reply is None or cut_for is not None:
            raise cut_for or fault or AssertionError("an exchange has a reply or a fault")
        return reply

    def hang_up(self, reason: NoReplyError, request_number: int | None = None) -> None:
        """Cut the connection, so that whoever reads or writes there wakes; a request that is over is left alone."""
        with self._lock:
            if request_number in (None, self._request_number):
                self._cut_for = reason
                self._cut()

    def close(self) -> None:
        """Close a line that nobody uses."""
        self._client.close()

    def _exchange(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float, bytes_max: int) -> HttpReply:
        # Without compression the bytes that are counted are the bytes that are kept.
        fields = {"Content-Type": "application/json", "Accept-Encoding": "identity"} | dict(headers)
        extensions = {"trace": self._note}
        found = bytearray()
        with self._client.stream(
            "POST", url, content=body, headers=fields, timeout=seconds, extensions=extensions
        ) as response:
            for piece in response.iter_raw():
                found += piece
                if len(found) > bytes_max:
                    raise NoReplyError(f"the reply is longer than {bytes_max} bytes")
            return HttpReply(response.status_code, response.headers, bytes(found))

    def _note(self, event: str, info: Mapping[str, Any]) -> None:
        """Remember the connection that the client opens."""
        if not event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            return
        with self._lock:
            self._connection = info["return_value"].get_extra_info("socket")
            self._forget_handshake()
            if event.endswith(".connect_tcp.complete") and self._connection is not None:
                # TLS takes the socket away from the object that is known here, and gives another when it is done.
                self._handshaking = self._connection.dup()
            if self._cut_for is not None:
                self._cut()

    def _cut(self) -> None:
        for connection in (self._handshaking, self._connection):
            if connection is not None:
                with contextlib.suppress(OSError):
                    # Not the method of a TLS socket, which would take its state away under the one who reads.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _end(self) -> NoReplyError | None:
        """Let a timer that comes too late find nothing; return why the connection was cut, if it was."""
        with self._lock:
            self._request_number += 1
            self._forget_handshake()
            reason, self._cut_for = self._cut_for, None
            return reason

    def _forget_handshake(self) -> None:
        if self._handshaking is not None:
            self._handshaking.close()
            self._handshaking = None
