"""A pod as its callers see it: real servers in this process, real processes where a signal is the point."""

import contextlib
import http.client
import json
import logging
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from prometheus_client import REGISTRY
from tests.fakes.echo import SERVICE, Echo, counting, failure, method

from pinetune.pod import trace
from pinetune.pod.channel import connect
from pinetune.pod.errors import (
    Broken,
    Busy,
    Conflict,
    InvalidInput,
    NotFound,
    PinetuneError,
    Unavailable,
    Unsupported,
)
from pinetune.pod.server import Pod, PodSettings, RegisteredService, start

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
Serve = Callable[..., str]


class Panic(BaseException):
    """As PyO3 raises when Rust panics: not an Exception."""


def listed(channel: grpc.Channel) -> set[str]:
    ask: grpc.StreamStreamMultiCallable[
        reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse
    ] = channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    (response,) = ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5)
    return {service.name for service in response.list_services_response.service}


@contextlib.contextmanager
def running(*services: RegisteredService, **settings: object) -> Iterator[Pod]:
    pod = start("test", PodSettings.model_validate({"grace_seconds": 1.0} | settings), lambda _: services)
    try:
        yield pod
    finally:
        pod.close()


def scraped(pod: Pod) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{pod.metrics_address}/metrics", timeout=5) as response:
        lines = response.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def calls(pod: Pod, name: str, code: str) -> float:
    return scraped(pod).get(f'pinetune_pod_calls_total{{code="{code}",method="{SERVICE}/{name}"}}', 0.0)


def health(channel: grpc.Channel, service: str = "") -> int:
    check: grpc.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        health_pb2.HealthCheckRequest.SerializeToString,
        health_pb2.HealthCheckResponse.FromString,
    )
    return check(health_pb2.HealthCheckRequest(service=service), timeout=5).status


# Errors


@pytest.mark.parametrize("kind", [InvalidInput, NotFound, Conflict, Busy, Unavailable, Unsupported, Broken])
def test_an_error_that_a_room_raises_is_the_error_that_its_caller_reads(
    serve: Serve, kind: type[PinetuneError]
) -> None:
    raised = kind("temperature is -1; it must be at least 0", reason="TEMPERATURE_TOO_LOW", field="temperature")
    with connect(serve([Echo({"it": raised}).registered()])) as channel:
        error = failure(lambda: method(channel, "Fail")(b"it"))
    assert type(error) is kind
    assert vars(error) == vars(raised)


def test_a_long_error_in_any_script_arrives_as_itself(serve: Serve) -> None:
    raised = InvalidInput("字" * 5000, reason="LONG", value="é" * 5000)
    with connect(serve([Echo({"it": raised}).registered()])) as channel:
        error = failure(lambda: method(channel, "Fail")(b"it"))
    assert type(error) is InvalidInput
    assert error.reason == "LONG"


@pytest.mark.parametrize(
    "raised", [ZeroDivisionError("it is swordfish"), Panic("it is swordfish")], ids=["exception", "panic"]
)
def test_what_nobody_foresaw_is_counted_and_logged_under_the_id_that_the_caller_gets(
    raised: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    counter = f'pinetune_pod_unexpected_errors_total{{method="{SERVICE}/Fail"}}'
    with running(Echo({"it": raised}).registered()) as pod, connect(pod.grpc_address) as channel:
        before = scraped(pod).get(counter, 0)
        with caplog.at_level(logging.ERROR):
            error = failure(lambda: method(channel, "Fail")(b"it"))
        assert scraped(pod)[counter] == before + 1
    assert type(error) is Broken
    assert error.reason == "UNEXPECTED"
    assert "swordfish" not in error.message
    (line,) = [record for record in caplog.records if error.metadata["error_id"] in record.getMessage()]
    assert line.exc_info is not None
    assert line.exc_info[1] is raised


def test_a_stream_that_fails_half_way_delivers_the_first_half_and_the_error(serve: Serve) -> None:
    raised = Conflict("it was cancelled", reason="CANCELLED_MEANWHILE")
    with connect(serve([Echo({"it": raised}).registered()])) as channel:
        stream = counting(channel)(b"3 it")
        assert [next(stream) for _ in range(3)] == [b"0", b"1", b"2"]
        error = failure(lambda: next(stream))
    assert type(error) is Conflict
    assert error.reason == "CANCELLED_MEANWHILE"


def test_all_four_kinds_of_methods_answer(serve: Serve) -> None:
    with connect(serve([Echo().registered()])) as channel:
        assert method(channel, "Echo")(b"x") == b"x"
        assert list(counting(channel)(b"3")) == [b"0", b"1", b"2"]
        join: grpc.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(f"/{SERVICE}/Join")
        assert join(iter([b"a", b"b"])) == b"a b"
        mirror: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(f"/{SERVICE}/Mirror")
        assert list(mirror(iter([b"a", b"b"]))) == [b"a", b"b"]


def test_a_method_that_does_not_exist_is_unsupported_and_counted_without_its_name() -> None:
    with running(Echo().registered()) as pod, connect(pod.grpc_address) as channel:
        assert type(failure(lambda: method(channel, "Misspelt")(b""))) is Unsupported
        names = "\n".join(scraped(pod))
    assert 'pinetune_pod_calls_total{code="UNIMPLEMENTED",method="unknown"}' in names
    assert "Misspelt" not in names


def test_a_message_over_the_limit_is_refused_by_name(serve: Serve) -> None:
    with connect(serve([Echo().registered()], message_bytes_max=2048)) as channel:
        assert method(channel, "Echo")(b"x" * 1024) == b"x" * 1024
        assert failure(lambda: method(channel, "Echo")(b"x" * 4096)).reason == "MESSAGE_TOO_LARGE"


# Health and reflection


def http_health(pod: Pod) -> tuple[int, str]:
    connection = http.client.HTTPConnection(pod.metrics_address, timeout=5)
    connection.request("GET", "/health")
    response = connection.getresponse()
    return response.status, response.read().decode()


def test_a_pod_is_not_serving_while_it_starts_then_serving_then_gone() -> None:
    seen: dict[str, object] = {}

    def look(pod: Pod) -> None:
        with grpc.insecure_channel(pod.grpc_address) as channel:
            seen["health"] = [health(channel, name) for name in ("", SERVICE)]
            seen["http"] = http_health(pod)
            seen["call"] = failure(lambda: method(channel, "Echo")(b"x", timeout=5))

    def build(pod: Pod) -> list[RegisteredService]:
        pod.add_startup(lambda: look(pod))
        return [Echo().registered()]

    pod = start("test", PodSettings(grace_seconds=1.0), build)
    try:
        assert seen["health"] == [NOT_SERVING, NOT_SERVING]
        assert seen["http"] == (503, "NOT_SERVING\n")
        assert isinstance(seen["call"], Unavailable)
        assert seen["call"].reason == "POD_STARTING"
        with grpc.insecure_channel(pod.grpc_address) as channel:
            assert [health(channel, name) for name in ("", SERVICE)] == [SERVING, SERVING]
        assert http_health(pod) == (200, "SERVING\n")
    finally:
        pod.close()


def test_a_watcher_hears_of_the_stop_and_does_not_delay_it() -> None:
    heard: list[int] = []
    with running(Echo().registered(), grace_seconds=60.0) as pod, grpc.insecure_channel(pod.grpc_address) as channel:
        follow: grpc.UnaryStreamMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]
        follow = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        watch = follow(health_pb2.HealthCheckRequest(service=SERVICE), timeout=30)
        heard.append(next(watch).status)
        # A prober reads all the time; what arrives unread may be lost with the connection.
        reader = threading.Thread(target=lambda: heard.extend(response.status for response in watch))
        reader.start()
        time.sleep(0.3)  # The handler that sent the first status shall have returned.
        assert pod.close()
        reader.join()
    assert heard == [SERVING, NOT_SERVING]


def test_a_pod_bears_any_number_of_pings(serve: Serve) -> None:
    # As they come to a process that was held up: faster, one after the other, than any caller sends them.
    options = [("grpc.keepalive_time_ms", 100), ("grpc.http2.min_sent_ping_interval_without_data_ms", 50)]
    with connect(serve([Echo().registered()]), options=(*options, ("grpc.http2.max_pings_without_data", 0))) as channel:
        watch: grpc.UnaryStreamMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]
        watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        with pytest.raises(grpc.RpcError) as ended:
            list(watch(health_pb2.HealthCheckRequest(), timeout=5))
    # A connection that is ended for its pings ends the call as UNAVAILABLE, after the third.
    assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_health_of_a_service_that_is_not_there_is_not_found(serve: Serve) -> None:
    with grpc.insecure_channel(serve([Echo().registered()])) as channel:
        error = failure(lambda: health(channel, "elsewhere"))
    assert type(error) is NotFound


def test_probes_are_answered_while_every_thread_computes(serve: Serve) -> None:
    class Blocked(Echo):
        def wait(self, request: bytes, context: grpc.ServicerContext) -> bytes:
            entered.set()
            released.wait(10)
            return b"done"

    entered, released = threading.Event(), threading.Event()
    with grpc.insecure_channel(serve([Blocked().registered()], threads=1)) as channel:
        blocked = method(channel, "Wait").future(b"", timeout=10)
        assert entered.wait(5)
        assert health(channel) == SERVING
        assert not blocked.done()
        released.set()
        assert blocked.result() == b"done"


def test_reflection_lists_the_services(serve: Serve) -> None:
    with grpc.insecure_channel(serve([Echo().registered()])) as channel:
        names = listed(channel)
    assert names == {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


def test_probes_and_reflection_need_no_token(serve: Serve) -> None:
    with grpc.insecure_channel(serve([Echo().registered()], token="s3cret")) as channel:
        assert health(channel) == SERVING
        assert SERVICE in listed(channel)


# Metrics and trace


def test_the_metrics_port_shows_calls_by_method_and_code() -> None:
    errors = {"it": NotFound("no such job", reason="JOB_UNKNOWN")}
    with running(Echo(errors).registered()) as pod, connect(pod.grpc_address) as channel:
        before = calls(pod, "Echo", "OK"), calls(pod, "Fail", "NOT_FOUND"), calls(pod, "Count", "OK")
        for _ in range(3):
            method(channel, "Echo")(b"x")
        failure(lambda: method(channel, "Fail")(b"it"))
        list(counting(channel)(b"2"))
        after = calls(pod, "Echo", "OK"), calls(pod, "Fail", "NOT_FOUND"), calls(pod, "Count", "OK")
        names = scraped(pod)
    assert [b - a for a, b in zip(before, after, strict=True)] == [3, 1, 1]
    assert names[f'pinetune_pod_call_seconds_count{{method="{SERVICE}/Echo"}}'] >= 3
    assert names["pinetune_pod_calls_in_flight"] == 0
    assert names["pinetune_pod_serving"] == 1
    assert "process_resident_memory_bytes" in names


def test_a_caller_that_leaves_in_the_middle_of_a_stream_is_counted_as_cancelled() -> None:
    def cancelled() -> float:
        labels = {"method": f"{SERVICE}/Count", "code": "CANCELLED"}
        return REGISTRY.get_sample_value("pinetune_pod_calls_total", labels) or 0.0

    before = cancelled()
    with running(Echo().registered(), grace_seconds=10) as pod, connect(pod.grpc_address) as channel:
        stream = counting(channel)(b"100000000")
        next(stream)
        stream.cancel()
    # The stop waited for the call's end.
    assert cancelled() == before + 1


def test_the_called_pod_knows_for_which_job_and_step_it_works(serve: Serve) -> None:
    with connect(serve([Echo().registered()])) as channel:
        with trace.within(job="job-7", step=12):
            seen = json.loads(method(channel, "Trace")(b""))
        later = json.loads(method(channel, "Trace")(b""))
    assert (seen["job"], seen["step"]) == ("job-7", "12")
    assert (later["job"], later["step"]) == ("", "")
    assert re.fullmatch("[0-9a-f]{16}", seen["call"])
    assert seen["call"] != later["call"]


# Starting and stopping


def test_a_taken_port_is_named_and_nobody_shares_it(serve: Serve) -> None:
    port = int(serve([Echo().registered()]).rsplit(":", 1)[1])
    with pytest.raises(InvalidInput, match=f"PINETUNE_POD_GRPC_PORT: cannot listen on 127.0.0.1:{port}"):
        start("test", PodSettings(grpc_port=port), lambda _: [Echo().registered()])
    with pytest.raises(InvalidInput, match="PINETUNE_POD_METRICS_PORT"):
        start("test", PodSettings(metrics_port=port), lambda _: [Echo().registered()])


def test_shutdown_callbacks_run_last_added_first_and_one_that_fails_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    order: list[str] = []

    def build(pod: Pod) -> list[RegisteredService]:
        pod.add_shutdown(lambda: order.append("first added"))
        pod.add_shutdown(lambda: order.append(f"{1 / 0}"))
        pod.add_shutdown(lambda: order.append("last added"))
        return [Echo().registered()]

    start("test", PodSettings(), build).close()
    assert order == ["last added", "first added"]
    assert "a shutdown callback failed" in caplog.text


def test_a_startup_that_fails_closes_the_pod_again() -> None:
    closed: list[bool] = []

    def fail() -> None:
        raise NotFound("no such model", reason="MODEL_UNKNOWN")

    def build(pod: Pod) -> list[RegisteredService]:
        pod.add_startup(fail)
        pod.add_shutdown(lambda: closed.append(pod.stopping.is_set()))
        return [Echo().registered()]

    with pytest.raises(NotFound):
        start("test", PodSettings(), build)
    assert closed == [True]
