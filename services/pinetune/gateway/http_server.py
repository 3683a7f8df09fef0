"""The HTTP port of the gateway: uvicorn in a thread of the pod's process, which the pod starts and stops."""

import json
import math
import socket
import threading
import time
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from pinetune.pod.errors import Broken, InvalidInput

START_SECONDS = 30.0
POLL_SECONDS = 0.02
KEEP_ALIVE_SECONDS = 75
"""How long a connection may rest. Proxies keep theirs for up to a minute, and use one that was just closed."""
CUT_SECONDS = 1.0
"""What it takes to cut off a request that outlived the grace period."""


class HttpServer:
    """Serves an application on a port that it holds from the beginning."""

    def __init__(self, app: FastAPI, host: str, port: int, *, grace_seconds: float) -> None:
        """Open the port, 0 for any free one; InvalidInput where it is taken.

        Requests in flight may take up to `grace_seconds` to end after `stop`.
        """
        self._grace_seconds = math.ceil(grace_seconds)
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise InvalidInput(
                f"PINETUNE_GATEWAY_HTTP_PORT: cannot listen on {host}:{port} ({error.strerror}); 0 takes any free port",
                reason="PORT_UNUSABLE",
            ) from error
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=self._grace_seconds,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="http", daemon=True)

    @property
    def address(self) -> str:
        """Where a process on this machine finds the port."""
        host, port = self._socket.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self) -> None:
        """Return once requests are answered."""
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise Broken("the HTTP server did not start; the log says why", reason="HTTP_NOT_STARTED")
            time.sleep(POLL_SECONDS)

    def write_address(self, path: Path) -> None:
        """Publish the address, whole or not at all."""
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_text(json.dumps({"http": self.address}) + "\n", encoding="utf-8")
        temporary.replace(path)

    def stop(self) -> None:
        """Let requests in flight end within the grace period, cut off the others, and close the port."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(self._grace_seconds + CUT_SECONDS)
        self._socket.close()
