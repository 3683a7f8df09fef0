"""The asker of `remote` graders: graders that a team runs itself, behind gRPC or a URL.

A call is made once, whoever wants the grade may repeat it: what a team's grader does on a call is not known here.
"""

import contextvars
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeAlias

import grpc
import httpx2
from pydantic import JsonValue

from pinetune.client.rollout import Grade, GradeError
from pinetune.grading import metrics
from pinetune.grading.asking import Answers, Questions
from pinetune.grading.config import GradingSettings
from pinetune.grading.refusals import refusal
from pinetune.grading.remote import hops, over_grpc, over_http
from pinetune.grading.remote.endpoints import AllowedEndpoints, Endpoint
from pinetune.grading.remote.question import with_settings
from pinetune.pod.channel import connect
from pinetune.pod.tls import ClientTls

SETTINGS_INVALID = "REMOTE_SETTINGS_INVALID"
Answer: TypeAlias = tuple[Sequence[Grade], Mapping[str, int]]
"""Grades of the questions of one call, and the tokens of judge models beyond."""


class RemoteAsker:
    """Calls the remote graders that the settings allow."""

    def __init__(self, settings: GradingSettings) -> None:
        self._allowed = AllowedEndpoints(settings.remote_endpoints)
        self._pool = ThreadPoolExecutor(settings.remote_concurrency, thread_name_prefix="remote-grader")
        limits = httpx2.Limits(
            max_connections=settings.remote_concurrency, max_keepalive_connections=settings.remote_concurrency
        )
        self._http = httpx2.Client(limits=limits)
        self._channels: dict[str, grpc.Channel] = {}
        self._lock = threading.Lock()

    def check(self, grader: Mapping[str, JsonValue]) -> None:
        """Raise InvalidInput for an endpoint that is not allowed, and for settings that it cannot be sent."""
        endpoint = self._allowed.endpoint(str(grader["endpoint"]))
        settings = str(grader.get("settings_json") or "")
        try:
            value = json.loads(settings) if settings else None
        except (ValueError, RecursionError):
            raise refusal("settings_json", f"must be JSON; given {settings[:80]!r}", reason=SETTINGS_INVALID) from None
        if endpoint.is_grpc and not isinstance(value, dict):
            raise refusal(
                "settings_json", "a grader behind gRPC needs its spec here, a JSON object", reason=SETTINGS_INVALID
            )

    def ask(self, questions: Questions, *, deadline: float, cancelled: threading.Event) -> Answers:
        """Have every question answered by `deadline`; a failure is a grade's error."""
        self.check(questions.grader)
        if hops.current() >= hops.HOPS_MAX:
            detail = f"remote grader: the batch has passed through {hops.HOPS_MAX} grading services; is it a circle?"
            return Answers([over_http.failed(detail, retryable=False)] * len(questions.bodies))
        endpoint = self._allowed.endpoint(str(questions.grader["endpoint"]))
        if endpoint.is_grpc:
            parts = list(over_grpc.parts_of(questions.bodies))
        else:
            parts = [[body] for body in questions.bodies]
        calls = [self._start(endpoint, questions.grader, part, deadline) for part in parts]
        grades: list[Grade] = []
        tokens: dict[str, int] = {}
        for part, call in zip(parts, calls, strict=True):
            found, used = _result(call, len(part), deadline)
            grades += found
            for model, count in used.items():
                tokens[model] = tokens.get(model, 0) + count
        return Answers(grades, tokens)

    def close(self) -> None:
        """Close the connections; questions that are under way fail."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._http.close()
        with self._lock:
            for channel in self._channels.values():
                channel.close()

    def _start(
        self, endpoint: Endpoint, grader: Mapping[str, JsonValue], bodies: Sequence[str], deadline: float
    ) -> "Future[Answer]":
        """Put one call into the queue."""
        timeout = grader.get("timeout_seconds")
        timeout_seconds = float(timeout) if isinstance(timeout, int | float) else 30.0
        settings = str(grader.get("settings_json") or "")

        def ask_grpc() -> Answer:
            return over_grpc.ask(
                self._channel(endpoint), settings, bodies, timeout_seconds=timeout_seconds, deadline=deadline
            )

        def ask_http() -> Answer:
            body = with_settings(bodies[0], settings)
            grade = over_http.ask(self._http, endpoint.text, body, timeout_seconds=timeout_seconds, deadline=deadline)
            return [grade], {}

        # The copied context carries trace and hops of the call that asks.
        context = contextvars.copy_context()
        return self._pool.submit(context.run, _counted, ask_grpc if endpoint.is_grpc else ask_http)

    def _channel(self, endpoint: Endpoint) -> grpc.Channel:
        key = f"{endpoint.scheme}://{endpoint.host}:{endpoint.port}"
        with self._lock:
            if key not in self._channels:
                tls = ClientTls() if endpoint.scheme == "grpcs" else None
                # `dns:///`, since a bare `unix:123` would be a file for gRPC.
                self._channels[key] = connect(f"dns:///{endpoint.host}:{endpoint.port}", tls=tls)
            return self._channels[key]


def _counted(call: Callable[[], Answer]) -> Answer:
    """Make a call and show it; the outcome is that of its first grade, as a call fails for all its samples alike."""
    with metrics.REMOTE_CALL_TIME.time():
        grades, tokens = call()
    error = grades[0].error
    metrics.REMOTE_CALLS.labels(metrics.ANSWERED if error is None else error.error_class.lower()).inc()
    return grades, tokens


def _result(call: "Future[Answer]", count: int, deadline: float) -> Answer:
    try:
        return call.result(max(0.0, deadline - time.monotonic()))
    except FutureTimeout:
        error = GradeError("DEADLINE", "no answer of the remote grader before the grade's deadline", retryable=True)
    except CancelledError:
        error = GradeError("REMOTE", "the grading service is stopping", retryable=True)
    return [Grade(error=error)] * count, {}
