"""Spans of pods in this process, over real gRPC: who is whose parent, what they say and never say, what is lost."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client import REGISTRY
from tests.fakes.collector import Seen, remembered, telling
from tests.fakes.echo import SERVICE, Echo, counting, failure, method

from pinetune.pod import otel, spans, trace
from pinetune.pod.channel import connect
from pinetune.pod.config import read
from pinetune.pod.errors import InvalidInput, NotFound
from pinetune.pod.logging import JsonFormatter, TextFormatter
from pinetune.pod.settings import PodSettings

Serve = Callable[..., str]
SERVICES = Path(__file__).resolve().parents[3] / "services"
SECRET = "the user's own words"


def one(found: Sequence[Seen], name: str, *, kind: str = "internal") -> Seen:
    """The only span of a name and kind."""
    (span,) = (span for span in found if (span.name, span.kind) == (name, kind))
    return span


def dropped(reason: str) -> float:
    return REGISTRY.get_sample_value("pinetune_pod_spans_dropped_total", {"reason": reason}) or 0.0


def sent() -> float:
    return REGISTRY.get_sample_value("pinetune_pod_spans_sent_total") or 0.0


def test_a_call_has_a_span_on_either_side_below_the_work_that_makes_it(serve: Serve) -> None:
    with remembered() as memory:
        address = serve([Echo().registered()])
        with connect(address) as channel, trace.within(job="job-1", step=3), spans.span("step", phase="training"):
            method(channel, "Echo")(b"x")
        found = memory.all()
    work = one(found, "step")
    client, server = (one(found, f"{SERVICE}/Echo", kind=kind) for kind in ("client", "server"))
    assert (work.parent_id, client.parent_id, server.parent_id) == ("", work.span_id, client.span_id)
    assert len({span.trace_id for span in found}) == 1
    assert work.attributes == {"pinetune.job_id": "job-1", "pinetune.step": 3, "pinetune.phase": "training"}
    for call in (client, server):
        assert call.attributes["rpc.method"] == f"{SERVICE}/Echo"
        assert call.attributes["rpc.response.status_code"] == "OK"
        assert call.attributes["pinetune.job_id"] == "job-1"
    assert work.begin <= client.begin <= server.begin <= server.end <= work.end


def test_calls_of_all_four_kinds_have_their_spans(serve: Serve) -> None:
    with remembered() as memory:
        with connect(serve([Echo().registered()])) as channel, spans.span("work"):
            assert list(counting(channel)(b"3")) == [b"0", b"1", b"2"]
            join: grpc.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(f"/{SERVICE}/Join")
            assert join(iter([b"a", b"b"])) == b"a b"
            mirror: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(f"/{SERVICE}/Mirror")
            assert list(mirror(iter([b"a"]))) == [b"a"]
            assert method(channel, "Echo").future(b"x").result() == b"x"
        found = memory.all()
    for name in ("Count", "Join", "Mirror", "Echo"):
        assert (
            one(found, f"{SERVICE}/{name}", kind="server").parent_id
            == one(found, f"{SERVICE}/{name}", kind="client").span_id
        )


def test_a_call_outside_of_any_trace_makes_none(serve: Serve) -> None:
    with remembered() as memory:
        with connect(serve([Echo().registered()])) as channel:
            method(channel, "Echo")(b"x")
        assert memory.all() == []


def test_a_failed_call_says_its_code_and_nothing_that_the_error_says(serve: Serve) -> None:
    errors = {"missing": NotFound(SECRET, reason="NO_SUCH_THING"), "broken": ValueError(SECRET)}
    with remembered() as memory:
        with connect(serve([Echo(errors).registered()])) as channel, spans.span("work"):
            failure(lambda: method(channel, "Fail")(b"missing"))
            failure(lambda: method(channel, "Fail")(b"broken"))
        found = memory.all()
    codes = {(span.attributes["rpc.response.status_code"], span.failed) for span in found if span.name != "work"}
    # That something is not there is an answer of the server and a failure of its caller.
    assert codes == {("NOT_FOUND", False), ("NOT_FOUND", True), ("INTERNAL", True)}
    assert SECRET not in repr(found)


def test_work_that_fails_says_why_in_one_word_and_the_error_goes_on() -> None:
    with remembered() as memory:
        for error in (NotFound(SECRET, reason="NO_SUCH_THING"), ValueError(SECRET)):
            with pytest.raises(type(error)), spans.span("work"):
                raise error
        found = memory.all()
    assert [span.attributes["error.type"] for span in found] == ["NO_SUCH_THING", "ValueError"]
    assert all(span.failed for span in found)
    assert SECRET not in repr(found)


def test_log_lines_carry_the_trace_they_belong_to() -> None:
    record = logging.makeLogRecord({"msg": "weights loaded"})
    with remembered() as memory:
        with spans.span("work"):
            line = json.loads(JsonFormatter("test").format(record))
            text = TextFormatter("test").format(record)
        outside = JsonFormatter("test").format(record)
        (work,) = memory.all()
    assert (line["trace_id"], line["span_id"]) == (work.trace_id, work.span_id)
    assert f"trace_id={work.trace_id} span_id={work.span_id}" in text
    assert "trace_id" not in outside


def test_a_fault_in_a_handler_is_logged_with_the_trace_of_its_caller(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(JsonFormatter("test"))
    with remembered() as memory:
        with connect(serve([Echo({"it": ValueError()}).registered()])) as channel, spans.span("work"):
            failure(lambda: method(channel, "Fail")(b"it"))
        found = memory.all()
    (line,) = [json.loads(text) for text in caplog.text.splitlines() if "internal error" in text]
    server = one(found, f"{SERVICE}/Fail", kind="server")
    assert (line["trace_id"], line["span_id"]) == (server.trace_id, server.span_id)


def test_threads_of_a_pool_work_within_the_trace_of_who_asked_them() -> None:
    def work(name: str) -> str:
        with spans.span(name):
            return trace.current().job

    with remembered() as memory:
        with ThreadPoolExecutor(3) as pool, trace.within(job="job-1"), spans.span("all"):
            assert list(pool.map(trace.carried(work), "abc")) == ["job-1"] * 3
        found = memory.all()
    assert {span.parent_id for span in found if span.name != "all"} == {one(found, "all").span_id}


def test_a_trace_of_its_own_and_the_work_around_it_link_to_each_other() -> None:
    with remembered() as memory:
        with spans.span("step"):
            rollout = spans.new_trace("rollout", begun=10.0, tokens=7)
            rollout.child("sampled", begun=10.0, ended=11.0)
            with spans.span("update"):
                spans.follow(rollout.traceparent, "learned", begun=11.0, ended=12.0, advantage=0.5)
                spans.follow("no traceparent", "learned", begun=11.0, ended=12.0)
            rollout.end("DIVERGED")
        found = memory.all()
    step, first, sampled, learned = (one(found, name) for name in ("step", "rollout", "sampled", "learned"))
    assert first.trace_id != step.trace_id
    assert (first.linked_traces, step.linked_traces) == ((step.trace_id,), (first.trace_id,))
    assert {(span.trace_id, span.parent_id) for span in (sampled, learned)} == {(first.trace_id, first.span_id)}
    assert learned.linked_traces == (step.trace_id,)
    assert (sampled.begin, sampled.end, learned.end) == (10_000_000_000, 11_000_000_000, 12_000_000_000)
    assert (first.attributes["error.type"], first.failed) == ("DIVERGED", True)


class Stuck(SpanExporter):
    """A collector that takes a batch and does not answer until it is closed."""

    def __init__(self) -> None:
        self.has_batch, self.closed = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.has_batch.set()
        self.closed.wait(60)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.closed.set()


def make_spans(count: int) -> None:
    for _ in range(count):
        with spans.span("work"):
            pass


def test_a_stuck_collector_holds_nobody_up_and_what_is_lost_is_counted() -> None:
    full, closed, failed = dropped("queue_full"), dropped("closed"), dropped("export_failed")
    stuck = Stuck()
    with telling(stuck) as tracing:
        make_spans(otel.BATCH_SPANS_MAX)
        assert stuck.has_batch.wait(20)
        # All while the batch is stuck: what ends here ends at once.
        make_spans(otel.QUEUE_SPANS_MAX)
        assert dropped("queue_full") == full + otel.BATCH_SPANS_MAX
        tracing.close(0.1)
        make_spans(1)
    lost = dropped("closed") + dropped("export_failed") - closed - failed
    assert lost == otel.QUEUE_SPANS_MAX + 1, "each of them once"


class Refusing(SpanExporter):
    """A collector that takes nothing, or whose library breaks."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._error is not None:
            raise self._error
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        pass


@pytest.mark.parametrize("error", [None, ValueError("no wire")], ids=["refuses", "breaks"])
def test_what_a_collector_does_not_take_is_lost_and_counted(error: Exception | None) -> None:
    failed, taken = dropped("export_failed"), sent()
    with telling(Refusing(error)) as tracing:
        make_spans(3)
        tracing.close(5.0)
    assert (dropped("export_failed"), sent()) == (failed + 3, taken)


def test_what_a_collector_takes_is_counted() -> None:
    taken = sent()
    with remembered() as memory:
        make_spans(3)
        assert len(memory.all()) == 3
    assert sent() == taken + 3


@pytest.mark.parametrize("endpoint", ["collector:4317", "grpc://collector:4317", "http://", "http://a:1/v1/traces"])
def test_an_endpoint_that_is_none_is_refused(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINETUNE_POD_TRACES_ENDPOINT", endpoint)
    with pytest.raises(InvalidInput, match="PINETUNE_POD_TRACES_ENDPOINT"):
        read(PodSettings)


# In a process of its own: this one has loaded OpenTelemetry. A finder that knows none of it stands in for its absence.
PROBE = """
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
if sys.argv[1] == "absent":
    sys.meta_path.insert(0, Absent())
from pinetune.pod.server import PodSettings, run
from pinetune.pod import spans
def build(pod):
    with spans.span("work", tokens=1) as span:
        span.note(more=2)
    spans.new_trace("rollout", begun=0.0).end()
    pod.add_startup(pod.stop)
    return []
code = run("test", PodSettings(**({"traces_endpoint": sys.argv[2]} if sys.argv[2:] else {})), build)
print(*sorted({name.split(".")[0] for name in sys.modules} & {"opentelemetry"}))
sys.exit(code)
"""


def probe(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", PROBE, *arguments]
    return subprocess.run(command, cwd=SERVICES, capture_output=True, text=True, timeout=60)


def test_a_pod_without_an_endpoint_loads_nothing_of_opentelemetry() -> None:
    done = probe("present")
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr


def test_a_pod_with_an_endpoint_and_no_opentelemetry_says_so_and_does_not_start() -> None:
    done = probe("absent", "http://127.0.0.1:4317")
    assert done.returncode == 2, done.stderr
    assert "PINETUNE_POD_TRACES_ENDPOINT is 'http://127.0.0.1:4317'" in done.stderr
    assert "pip install 'pinetune[traces]'" in done.stderr
    assert "TRACES_NOT_INSTALLED" in done.stderr


def test_a_pod_whose_collector_is_away_serves_and_stops_within_the_deadline() -> None:
    done = probe("present", "http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (0, "opentelemetry\n"), done.stderr
