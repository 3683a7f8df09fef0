"""A server of remote graders: its connections, and how many calls it gets at once."""

import contextvars
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import grpc

from pinetune.client.rollout import Grade
from pinetune.grading import metrics
from pinetune.grading.http_calls import HttpCaller
from pinetune.grading.remote import over_grpc, over_http
from pinetune.grading.remote.call import RemoteCall
from pinetune.grading.remote.endpoints import Endpoint
from pinetune.pod.channel import connect
from pinetune.pod.tls import ClientTls

Answer: TypeAlias = tuple[Sequence[Grade], Mapping[str, int]]
"""Grades of the questions of one call, and the tokens of judge models beyond."""
NO_TOKEN = ""
CALLED_ONCE = (("grpc.enable_retries", 0),)
"""A channel repeats Grade where a pod was away, which is right for a pod of ours and not for a team's grader."""


class RemoteServer:
    """One scheme, host and port; where it hangs, the calls to other servers go on."""

    def __init__(self, endpoint: Endpoint, concurrency: int) -> None:
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix=f"remote-{endpoint.host}")
        self._connection: grpc.Channel | HttpCaller = _channel(endpoint) if endpoint.is_grpc else HttpCaller()

    def start(self, call: RemoteCall, bodies: Sequence[str]) -> "Future[Answer]":
        """Put one call into the queue: of one question over HTTP, of several over gRPC."""
        # The copied context carries trace and hops of the call that asks.
        return self._pool.submit(contextvars.copy_context().run, self._ask, call, bodies)

    def close(self) -> None:
        """Close the connections; questions that are under way fail."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._connection.close()

    def _ask(self, call: RemoteCall, bodies: Sequence[str]) -> Answer:
        """Make a call and count it; its outcome is that of its first grade: mostly it fails for all samples alike."""
        with metrics.REMOTE_CALL_TIME.time():
            grades, tokens = self._answer(call, bodies)
        error = grades[0].error
        metrics.REMOTE_CALLS.labels(metrics.ANSWERED if error is None else error.error_class.lower()).inc()
        return grades, tokens

    def _answer(self, call: RemoteCall, bodies: Sequence[str]) -> Answer:
        if isinstance(self._connection, HttpCaller):
            return [over_http.ask(self._connection, call, body) for body in bodies], {}
        return over_grpc.ask(self._connection, call, bodies)


def _channel(endpoint: Endpoint) -> grpc.Channel:
    return connect(
        # `dns:///`, since a bare `unix:123` would be a file for gRPC.
        f"dns:///{endpoint.host}:{endpoint.port}",
        token=NO_TOKEN,
        tls=ClientTls() if endpoint.scheme == "grpcs" else None,
        options=CALLED_ONCE,
    )
