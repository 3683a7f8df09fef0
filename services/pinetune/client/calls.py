"""How a client makes a call: always with a deadline, and with the server's error as one of ours."""

import time
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import grpc
from grpc_health.v1 import health_pb2

from pinetune.pod.errors import Busy, Cancelled, PinetuneError, TimedOut, Transient, Unavailable, from_rpc_error

HEALTH_CHECK = "/grpc.health.v1.Health/Check"
PROBE_SECONDS = 0.2
"""Pause between two probes of a service that is starting."""
PROBE_DEADLINE_SECONDS = 2.0
FIRST_PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.1, 2.0
CUT_OFF = "CALL_CUT_OFF"
"""Reason of an Unavailable: the server stopped with the call in its hands, or before it took it."""
PASSING = frozenset({grpc.StatusCode.UNAVAILABLE.name, CUT_OFF, "POD_STARTING", "POD_STOPPING", "DATABASE_UNAVAILABLE"})
"""Reasons of an Unavailable that a call is worth repeating for; the first is gRPC's own: nobody is there."""
TAKEN = (("pinetune-taken", "1"),)
"""What a server sends ahead on a stream that it has taken and has nothing for yet."""
BUSY_PAUSE_SECONDS = 1.0
"""Pause before a busy service is asked again that does not say when to come."""

Q = TypeVar("Q", contravariant=True)
R = TypeVar("R", covariant=True)
S = TypeVar("S")
T = TypeVar("T")


class Unary(Protocol[Q, R]):
    """A stub's method that takes one message and gives one."""

    def __call__(self, request: Q, /, *, timeout: float | None = None) -> R:
        """Make the call."""
        ...


def call(method: Unary[S, T], request: S, *, deadline_seconds: float) -> T:
    """Make a call and return its answer; a failed one raises the `PinetuneError` that the server meant."""
    try:
        return method(request, timeout=deadline_seconds)
    except grpc.RpcError as error:
        raise _meant(from_rpc_error(error)) from error


def _meant(error: PinetuneError) -> PinetuneError:
    """Return what an error says of a call that nobody here takes back: gRPC cancels what it holds as a server stops."""
    if isinstance(error, Cancelled) and error.reason == grpc.StatusCode.CANCELLED.name:
        return Unavailable("the server stopped before it had answered", reason=CUT_OFF)
    return error


def call_safe(
    method: Unary[S, T],
    request: S,
    *,
    deadline_seconds: float,
    patience_seconds: float,
    away: Callable[[Unavailable], None] = lambda error: None,
) -> T:
    """Make a call that may be repeated; repeat it while the service is away, until the patience is over.

    Patience begins when the call first fails, however long it was in good hands. `away` is told then, if the call is
    repeated.
    """
    give_up: float | None = None
    pause_seconds = FIRST_PAUSE_SECONDS
    while True:
        try:
            return call(method, request, deadline_seconds=deadline_seconds)
        except Unavailable as error:
            failed = time.monotonic()
            give_up = failed + patience_seconds if give_up is None else give_up
            if error.reason not in PASSING or failed + pause_seconds > give_up:
                raise
            if pause_seconds == FIRST_PAUSE_SECONDS:
                away(error)
        time.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, PAUSE_SECONDS_MAX)


def call_patient(method: Unary[S, T], request: S, *, deadline_seconds: float) -> T:
    """Make a call; where the service is too busy to take it, come again when it says, within the deadline in all."""
    give_up = time.monotonic() + deadline_seconds
    while True:
        try:
            return call(method, request, deadline_seconds=max(give_up - time.monotonic(), 0.0))
        except Busy as error:
            pause_seconds = busy_pause(error)
            if time.monotonic() + pause_seconds >= give_up:
                raise
            time.sleep(pause_seconds)


def busy_pause(error: Busy) -> float:
    """Return how many seconds to leave a busy service alone: what it said, or a second."""
    return BUSY_PAUSE_SECONDS if error.retry_after_seconds is None else error.retry_after_seconds


def stream(
    method: "grpc.UnaryStreamMultiCallable[S, T]",
    request: S,
    *,
    deadline_seconds: float,
    opened: Callable[[], None] = lambda: None,
) -> Iterator[T]:
    """Make a call and yield its answers; a failed one raises the `PinetuneError` that the server meant.

    `opened` is told where the server says that it has taken the call and has no answer yet (`TAKEN`).
    """
    try:
        answers = method(request, timeout=deadline_seconds)
        # Waits for the first sign of the server, or for the end of a call that failed.
        if TAKEN[0] in (answers.initial_metadata() or ()):
            opened()
        yield from answers
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error


def is_serving(channel: grpc.Channel) -> bool:
    """Return whether the pod behind the channel says that it takes calls."""
    check = channel.unary_unary(
        HEALTH_CHECK,
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        answer = call(check, health_pb2.HealthCheckRequest(), deadline_seconds=PROBE_DEADLINE_SECONDS)
    except (Transient, TimedOut):
        return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def wait_until_serving(
    channel: grpc.Channel, who: str, *, seconds: float, before_each: Callable[[], None] = lambda: None
) -> None:
    """Return once the pod behind the channel says that it serves; raises Unavailable NOT_SERVING after `seconds`.

    `before_each` probe something may end the wait by an error of its own.
    """
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        before_each()
        if is_serving(channel):
            return
        time.sleep(PROBE_SECONDS)
    raise Unavailable(f"{who} did not start within {seconds:g} s; its log says why", reason="NOT_SERVING")
