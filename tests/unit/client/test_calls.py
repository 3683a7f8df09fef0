"""How a client waits for a service that is too busy, as long as it says, and for one that is away."""

import time
from collections.abc import Callable

import grpc
import pytest
from tests.fakes.echo import Echo, method

from pinetune.client.calls import BUSY_PAUSE_SECONDS, busy_pause, call, call_patient, call_safe, wait_until_serving
from pinetune.jobs.launcher.ports import free_ports
from pinetune.pod.channel import connect
from pinetune.pod.errors import Busy, Cancelled, InvalidInput, Unavailable

Serve = Callable[..., str]


class BusyAtFirst(Echo):
    """Refuses the first calls of Fail, with a hint, and then answers."""

    def __init__(self, refusals: int, retry_after_seconds: float) -> None:
        super().__init__()
        self.times: list[float] = []
        self.refusals, self.retry_after_seconds = refusals, retry_after_seconds

    def fail(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.times.append(time.monotonic())
        if len(self.times) <= self.refusals:
            raise Busy("no room", reason="ENGINE_BUSY", retry_after_seconds=self.retry_after_seconds)
        return request


def test_a_busy_service_is_asked_again_when_it_said(serve: Serve) -> None:
    busy = BusyAtFirst(refusals=2, retry_after_seconds=0.3)
    with connect(serve([busy.registered()])) as channel:
        assert call_patient(method(channel, "Fail"), b"x", deadline_seconds=30) == b"x"
    first, second, third = busy.times
    assert min(second - first, third - second) >= 0.3, "not before it said"


def test_a_busy_service_is_given_up_where_it_says_to_come_after_the_deadline(serve: Serve) -> None:
    busy = BusyAtFirst(refusals=9, retry_after_seconds=60.0)
    with connect(serve([busy.registered()])) as channel, pytest.raises(Busy, match="no room"):
        call_patient(method(channel, "Fail"), b"x", deadline_seconds=10)
    assert len(busy.times) == 1


def test_other_errors_are_raised_at_once(serve: Serve) -> None:
    echo = Echo({"wrong": InvalidInput("wrong", reason="WRONG")})
    with connect(serve([echo.registered()])) as channel, pytest.raises(InvalidInput, match="wrong"):
        call_patient(method(channel, "Fail"), b"wrong", deadline_seconds=10)


def test_a_service_that_does_not_say_when_is_left_alone_for_a_second() -> None:
    assert busy_pause(Busy("no room", reason="ENGINE_BUSY")) == BUSY_PAUSE_SECONDS
    assert busy_pause(Busy("no room", reason="ENGINE_BUSY", retry_after_seconds=0.0)) == 0.0


class CutOff(Echo):
    """Has its first call of Fail cancelled, as gRPC does as a server stops, after so many seconds; then answers."""

    def __init__(self, seconds: float = 0.0, code: grpc.StatusCode = grpc.StatusCode.CANCELLED) -> None:
        super().__init__()
        self.seconds, self.code, self.calls = seconds, code, 0

    def fail(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.calls += 1
        if self.calls == 1:
            time.sleep(self.seconds)
            context.abort(self.code, "gone")
        return request


def test_a_call_that_a_stopping_server_cancels_is_made_again(serve: Serve) -> None:
    server = CutOff()
    with connect(serve([server.registered()])) as channel:
        assert call_safe(method(channel, "Fail"), b"x", deadline_seconds=10, patience_seconds=10) == b"x"
    assert server.calls == 2


def test_a_call_that_may_not_be_made_again_says_that_the_server_stopped(serve: Serve) -> None:
    server = CutOff()
    with connect(serve([server.registered()])) as channel, pytest.raises(Unavailable, match="stopped") as caught:
        call(method(channel, "Fail"), b"x", deadline_seconds=10)
    assert (caught.value.reason, server.calls) == ("CALL_CUT_OFF", 1)


def test_a_server_that_says_itself_why_it_ended_a_call_is_believed(serve: Serve) -> None:
    echo = Echo({"left": Cancelled("it was not its turn", reason="CALLER_LEFT")})
    with connect(serve([echo.registered()])) as channel, pytest.raises(Cancelled, match="turn"):
        call_safe(method(channel, "Fail"), b"left", deadline_seconds=10, patience_seconds=10)


def test_patience_begins_when_the_service_is_gone_and_not_with_a_long_call(serve: Serve) -> None:
    server = CutOff(seconds=0.5, code=grpc.StatusCode.UNAVAILABLE)
    with connect(serve([server.registered()])) as channel:
        assert call_safe(method(channel, "Fail"), b"x", deadline_seconds=10, patience_seconds=0.3) == b"x"
    assert server.calls == 2


def test_a_wait_for_a_pod_that_is_not_there_can_be_ended() -> None:
    probes: list[None] = []

    def stop_at_the_third() -> None:
        probes.append(None)
        if len(probes) == 3:
            raise InterruptedError

    with connect(f"127.0.0.1:{free_ports(1)[0]}") as channel, pytest.raises(InterruptedError):
        wait_until_serving(channel, "nobody", seconds=3600, before_each=stop_at_the_third)
