"""Spans through OpenTelemetry, sent by OTLP over gRPC: the only file that knows it, and needs `pinetune[traces]`.

Nothing here waits: an ended span goes into a bounded queue, a thread sends batches, and what finds the queue full or
cannot be sent is dropped and counted. No provider is registered globally: what other libraries trace is their affair.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence

from opentelemetry import trace as api
from opentelemetry.context import Context, attach
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pinetune.pod import metrics, spans, trace
from pinetune.pod.errors import PinetuneError
from pinetune.pod.spans import Span, Tracing, Value

QUEUE_SPANS_MAX, BATCH_SPANS_MAX, BATCH_SECONDS = 4096, 512, 2.0
"""Spans that wait to be sent, at the most; spans of one message; how long a span waits for others."""
JOIN_SECONDS = 0.5
SERVER_FAULTS = ("UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS")
"""Codes that are a server's failure; any other is its answer. As OpenTelemetry's conventions for gRPC have it."""
_W3C = TraceContextTextMapPropagator()


def exporting(room: str, endpoint: str) -> "OtelTracing":
    """Return the tracing of a pod that sends its spans to `endpoint`, `http://host:port` or, with TLS, `https://…`.

    What else the exporter may need (headers, certificates, a timeout) is in the variables OTEL_EXPORTER_OTLP_….
    """
    return OtelTracing(resource_of(room), OTLPSpanExporter(endpoint, insecure=endpoint.startswith("http://")))


def resource_of(room: str) -> Resource:
    """Return what all spans of this process say; OTEL_RESOURCE_ATTRIBUTES adds to it."""
    host = socket.gethostname()
    says = {
        "service.name": f"pinetune-{room}",
        "service.instance.id": f"{host}-{os.getpid()}",
        "host.name": host,
    }
    # Kubernetes gives every container this variable, and its pod's name as host name.
    return Resource.create(says | ({"k8s.pod.name": host} if "KUBERNETES_SERVICE_HOST" in os.environ else {}))


class OtelTracing(Tracing):
    """Makes real spans and hands them to an exporter."""

    on = True

    def __init__(self, resource: Resource, exporter: SpanExporter) -> None:
        self._queue = SpanQueue(exporter)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(self._queue)
        self._tracer = self._provider.get_tracer("pinetune")

    @contextlib.contextmanager
    def span(self, name: str, values: dict[str, Value]) -> Iterator[Span]:
        """See `spans.span`."""
        begun = self._tracer.start_span(name, attributes=_attributes(values))
        found = OtelSpan(self._tracer, begun)
        # Recorded by `end`, for the library would record the error's message.
        with api.use_span(begun, record_exception=False, set_status_on_exception=False):
            try:
                yield found
            except BaseException as error:
                found.end(error.reason if isinstance(error, PinetuneError) else type(error).__name__)
                raise
            found.end()

    def new_trace(self, name: str, begun: float, values: dict[str, Value]) -> Span:
        """See `spans.new_trace`."""
        current = api.get_current_span()
        first = self._tracer.start_span(
            name, Context(), attributes=_attributes(values), links=_links(current), start_time=_nanoseconds(begun)
        )
        current.add_link(first.get_span_context())
        return OtelSpan(self._tracer, first)

    def follow(self, traceparent: str, name: str, begun: float, ended: float, values: dict[str, Value]) -> None:
        """See `spans.follow`."""
        parent = _W3C.extract({"traceparent": traceparent}, Context())
        if api.get_current_span(parent).get_span_context().is_valid:
            links = _links(api.get_current_span())
            self._tracer.start_span(
                name, parent, attributes=_attributes(values), links=links, start_time=_nanoseconds(begun)
            ).end(_nanoseconds(ended))

    def called(self, method: str) -> Span:
        """See `spans.called`."""
        if not api.get_current_span().get_span_context().is_valid:
            return spans.NONE
        return OtelSpan(self._tracer, self._call_span(method, api.SpanKind.CLIENT, None))

    def serving(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Span:
        """See `spans.serving`."""
        carrier = {key: value for key, value in metadata if isinstance(value, str)}
        if "traceparent" not in carrier:
            return spans.NONE
        parent = _W3C.extract(carrier, Context())
        if not api.get_current_span(parent).get_span_context().is_valid:
            return spans.NONE
        begun = self._call_span(method, api.SpanKind.SERVER, parent)
        attach(api.set_span_in_context(begun))
        return OtelSpan(self._tracer, begun, faults=SERVER_FAULTS)

    def ids(self) -> dict[str, str]:
        """See `spans.ids`."""
        current = api.get_current_span().get_span_context()
        if not current.is_valid:
            return {}
        return {"trace_id": api.format_trace_id(current.trace_id), "span_id": api.format_span_id(current.span_id)}

    def close(self, seconds: float) -> None:
        """Send what is left, within `seconds`; what is not sent by then is dropped."""
        self._queue.close(seconds)

    def _call_span(self, method: str, kind: api.SpanKind, parent: Context | None) -> api.Span:
        method = method.removeprefix("/")
        attributes = _attributes({}) | {"rpc.system.name": "grpc", "rpc.method": method}
        return self._tracer.start_span(method, parent, kind, attributes)


class OtelSpan(Span):
    """A real span."""

    def __init__(self, tracer: api.Tracer, span: api.Span, *, faults: Sequence[str] | None = None) -> None:
        """`faults` are the codes that `answered` takes for a failure; None for all but OK."""
        self._tracer, self._span, self._faults = tracer, span, faults
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, api.set_span_in_context(span, Context()))
        self.traceparent = carrier["traceparent"]

    def note(self, **values: Value) -> None:
        """Add values."""
        self._span.set_attributes({f"pinetune.{name}": value for name, value in values.items()})

    def child(self, name: str, *, begun: float, ended: float, **values: Value) -> None:
        """Tell of a part of this work that is over."""
        inside = api.set_span_in_context(self._span, Context())
        start_time = _nanoseconds(begun)
        self._tracer.start_span(name, inside, attributes=_attributes(values), start_time=start_time).end(
            _nanoseconds(ended)
        )

    def answered(self, code: str) -> None:
        """End the span of a call."""
        self._span.set_attribute("rpc.response.status_code", code)
        self.end(code if (code != "OK" if self._faults is None else code in self._faults) else "")

    def end(self, error_type: str = "") -> None:
        """End the span."""
        if error_type:
            self._span.set_attribute("error.type", error_type)
            self._span.set_status(api.StatusCode.ERROR)
        self._span.end()


class SpanQueue(BatchSpanProcessor):
    """The library's queue with what it lacks: it counts what is lost, and closes within a deadline."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = _Counting(exporter)
        super().__init__(
            self._exporter,
            max_queue_size=QUEUE_SPANS_MAX,
            schedule_delay_millis=1000 * BATCH_SECONDS,
            max_export_batch_size=BATCH_SPANS_MAX,
        )

    def on_end(self, span: ReadableSpan) -> None:
        """Take an ended span, unless there are too many."""
        if span.context is not None and span.context.trace_flags.sampled and self._exporter.take():
            super().on_end(span)

    def close(self, seconds: float) -> None:
        """Send what is queued; after `seconds` end what is being sent and drop the rest."""
        # The library's own flush knows no deadline, and its shutdown waits half a minute for a collector that is away.
        flush = threading.Thread(target=self.force_flush, name="flush-spans", daemon=True)
        flush.start()
        flush.join(seconds)
        self._exporter.shutdown()
        flush.join(JOIN_SECONDS)
        self._exporter.drop_rest()
        if not flush.is_alive():
            self.shutdown()  # type: ignore[no-untyped-call]  # the library leaves its return type out


class _Counting(SpanExporter):
    """Counts what was taken, what was sent and what was lost."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._lock = threading.Lock()
        self._held = 0
        """Spans that were taken and have neither been sent nor lost."""
        self._closed = False

    def take(self) -> bool:
        """Return whether there is room for one more span, and count it."""
        with self._lock:
            if self._closed or self._held >= QUEUE_SPANS_MAX:
                metrics.DROPPED_SPANS.labels("closed" if self._closed else "queue_full").inc()
                return False
            self._held += 1
        return True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch."""
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._settle(len(spans), sent=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        """End what is being sent, and send no more."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._exporter.shutdown()

    def drop_rest(self) -> None:
        """Count what will not be sent any more."""
        with self._lock:
            metrics.DROPPED_SPANS.labels("closed").inc(self._held)
            self._held = 0

    def _settle(self, count: int, *, sent: bool) -> None:
        with self._lock:
            # Nothing is held any more where a batch outlived the deadline: it is counted as dropped.
            count = min(count, self._held)
            self._held -= count
            if sent:
                metrics.SENT_SPANS.inc(count)
            else:
                metrics.DROPPED_SPANS.labels("export_failed").inc(count)


def _attributes(values: dict[str, Value]) -> dict[str, Value]:
    """Return values under their names, with job and step of the running code."""
    now = trace.current()
    found: dict[str, Value] = {"job_id": now.job} if now.job else {}
    if now.step.isdigit():
        found["step"] = int(now.step)
    return {f"pinetune.{name}": value for name, value in (found | values).items()}


def _links(span: api.Span) -> list[api.Link]:
    context = span.get_span_context()
    return [api.Link(context)] if context.is_valid else []


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
