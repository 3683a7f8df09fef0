"""The asker of `remote` graders: graders that a team runs itself, behind gRPC or a URL.

A call is made once, whoever wants the grade may repeat it: what a team's grader does on a call is not known here.
"""

import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future

from pydantic import JsonValue

from pinetune.client.rollout import Grade
from pinetune.grading.asking import Answers, Questions
from pinetune.grading.config import GradingSettings
from pinetune.grading.refusals import refusal
from pinetune.grading.remote import hops, over_grpc
from pinetune.grading.remote.call import RemoteCall, failed, late
from pinetune.grading.remote.endpoints import AllowedEndpoints, Endpoint
from pinetune.grading.remote.server import Answer, RemoteServer
from pinetune.grading.waiting import wait_for

SETTINGS_INVALID = "REMOTE_SETTINGS_INVALID"


class RemoteAsker:
    """Calls the remote graders that the settings allow."""

    def __init__(self, settings: GradingSettings) -> None:
        self._allowed = AllowedEndpoints(settings.remote_endpoints, settings.remote_tokens)
        self._concurrency = settings.remote_concurrency
        self._servers: dict[tuple[str, str, int], RemoteServer] = {}
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
            return Answers([failed(detail, retryable=False)] * len(questions.bodies))
        call = self._call(questions, deadline)
        server = self._server(call.endpoint)
        if call.endpoint.is_grpc:
            parts = list(over_grpc.parts_of(questions.bodies))
        else:
            parts = [[body] for body in questions.bodies]
        answers = [server.start(call, part) for part in parts]
        grades: list[Grade] = []
        tokens: dict[str, int] = {}
        for part, answer in zip(parts, answers, strict=True):
            found, used = _result(answer, len(part), deadline, cancelled)
            grades += found
            for model, count in used.items():
                tokens[model] = tokens.get(model, 0) + count
        return Answers(grades, tokens)

    def close(self) -> None:
        """Close the connections; questions that are under way fail."""
        with self._lock:
            for server in self._servers.values():
                server.close()

    def _call(self, questions: Questions, deadline: float) -> RemoteCall:
        endpoint = self._allowed.endpoint(str(questions.grader["endpoint"]))
        timeout = questions.grader.get("timeout_seconds")
        return RemoteCall(
            endpoint,
            settings_json=str(questions.grader.get("settings_json") or ""),
            timeout_seconds=float(timeout) if isinstance(timeout, int | float) else 30.0,
            deadline=deadline,
            token=self._allowed.token(endpoint),
            fresh=questions.fresh,
        )

    def _server(self, endpoint: Endpoint) -> RemoteServer:
        """Return the server of an endpoint; there are no more of them than the settings name."""
        with self._lock:
            if endpoint.server not in self._servers:
                self._servers[endpoint.server] = RemoteServer(endpoint, self._concurrency)
            return self._servers[endpoint.server]


def _result(answer: "Future[Answer]", count: int, deadline: float, cancelled: threading.Event) -> Answer:
    """Return what a call came to; one that has not begun is not made any more once nobody waits for it."""
    is_done = wait_for(answer, deadline, cancelled)
    if answer.cancelled():
        return [failed("the grading service is stopping", retryable=True)] * count, {}
    if is_done:
        return answer.result()
    answer.cancel()
    if cancelled.is_set():
        return [late("the call was cancelled before the remote grader answered")] * count, {}
    return [late("no answer of the remote grader before the grade's deadline")] * count, {}
