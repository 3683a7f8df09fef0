"""A server that speaks the openai API as far as judges and embeddings need it, and misbehaves on demand.

with OpenaiApi() as api:
    api.script += [status(500), judged(0.7)]     # the first request fails, the second is answered
    ...                                          # every further one gets `api.otherwise`
    assert api.seen[0].body["model"] == "judge-1"
"""

import contextlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

USAGE = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}


@dataclass(frozen=True)
class Reply:
    """What a request is answered with."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False
    """Nothing is sent until the server is closed."""
    drops: bool = False
    """The connection is closed without a word."""


@dataclass(frozen=True)
class Seen:
    """A request that came."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    peer: tuple[str, int] = ("", 0)
    """The other end of the connection."""


Answer = Callable[[dict[str, Any]], Reply]


def said(content: str | None, *, finish_reason: str = "stop", refusal: str | None = None) -> Reply:
    message = {"role": "assistant", "content": content, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
    reply = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return Reply(json.dumps(reply | {"usage": USAGE}).encode())


def judged(result: object) -> Reply:
    return said(json.dumps({"steps": [{"description": "compare", "conclusion": "alike"}], "result": result}))


def refused() -> Reply:
    return said(None, refusal="I cannot judge this.")


def status(code: int, message: str = "it went wrong", **headers: str) -> Reply:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(json.dumps({"error": {"message": message, "type": "x"}}).encode(), code, fields)


def embedded(*vectors: list[float], order: list[int] | None = None) -> Reply:
    data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
    if order is not None:
        data = [data[place] for place in order]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    return Reply(json.dumps({"object": "list", "data": data, "model": "e", "usage": usage}).encode())


HANGS = Reply(b"", hangs=True)
DROPS = Reply(b"", drops=True)
GARBAGE = Reply(b"<html>gateway</html>")


class OpenaiApi:
    """The server, with what it was asked and what it will answer."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.script: list[Reply] = []
        """Answers to the next requests, in order."""
        self.otherwise: Answer = lambda body: judged(1.0)
        """Answers when the script is at its end."""
        self.busiest = 0
        """Most requests that were answered at once."""
        self._busy = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or each reply waits 40 ms for an acknowledgement

            def do_POST(self) -> None:
                with contextlib.suppress(ConnectionError):
                    api._handle(self)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
            headers = {name.lower(): value for name, value in handler.headers.items()}
            self.seen.append(Seen(handler.path, headers, body, handler.client_address))
            reply = self.script.pop(0) if self.script else None
        try:
            self._answer(handler, reply or self.otherwise(body))
        finally:
            with self._lock:
                self._busy -= 1

    def _answer(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        if reply.hangs:
            self._closing.wait(60)
        if reply.hangs or reply.drops:
            handler.close_connection = True
            return
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        handler.wfile.write(reply.body)
