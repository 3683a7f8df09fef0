"""What collects spans: the SDK's list in memory, and a real OTLP receiver on a port.

with remembered() as spans: ...                  of pods in this process
with Collector() as collector: ...               of any process whose endpoint is `collector.endpoint`
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pinetune.pod import spans
from pinetune.pod.otel import OtelTracing


@dataclass(frozen=True)
class Seen:
    """A span as a collector sees it; ids in hexadecimal."""

    service: str
    name: str
    kind: str
    """`client` and `server` are the two ends of a call, all else is `internal`."""
    trace_id: str
    span_id: str
    parent_id: str
    """Empty for the first span of a trace."""
    attributes: dict[str, Any]
    linked_traces: tuple[str, ...]
    failed: bool
    begin: int
    end: int


class Memory:
    """Spans of this process, once their pods have ended them."""

    def __init__(self, exporter: InMemorySpanExporter, tracing: OtelTracing) -> None:
        self._exporter, self._tracing = exporter, tracing

    def all(self) -> list[Seen]:
        """Return all spans, and take no more."""
        self._tracing.close(5.0)
        return [
            Seen(
                "",
                one.name,
                one.kind.name.lower(),
                f"{one.context.trace_id:032x}",
                f"{one.context.span_id:016x}",
                "" if one.parent is None else f"{one.parent.span_id:016x}",
                dict(one.attributes or {}),
                tuple(f"{link.context.trace_id:032x}" for link in one.links),
                not one.status.is_ok and not one.status.is_unset,
                one.start_time or 0,
                one.end_time or 0,
            )
            for one in self._exporter.get_finished_spans()
            if one.context is not None
        ]


@contextlib.contextmanager
def remembered() -> Iterator[Memory]:
    """Keep the spans of this process' pods in memory."""
    exporter = InMemorySpanExporter()
    with telling(exporter) as tracing:
        yield Memory(exporter, tracing)


@contextlib.contextmanager
def telling(exporter: SpanExporter) -> Iterator[OtelTracing]:
    """Let this process' pods tell `exporter`."""
    tracing = OtelTracing(Resource({}), exporter)
    spans.use(tracing)
    try:
        yield tracing
    finally:
        spans.use(spans.OFF)
        tracing.close(1.0)


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans by OTLP over gRPC and keeps them."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        self.raw = b""
        """All that came, to look for what should not have."""
        self._server = grpc.server(ThreadPoolExecutor(4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        self.raw += request.SerializeToString()
        for group in request.resource_spans:
            resource = _values(group.resource.attributes)
            for scope in group.scope_spans:
                self.spans += [_seen(one, resource) for one in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(1.0).wait()


def _seen(span: Message, resource: dict[str, Any]) -> Seen:
    return Seen(
        resource["service.name"],
        span.name,
        Message.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        _values(span.attributes),
        tuple(link.trace_id.hex() for link in span.links),
        span.status.code == span.status.STATUS_CODE_ERROR,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )


def _values(pairs: "Any") -> dict[str, Any]:
    found: dict[str, Any] = {}
    pair: KeyValue
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = getattr(pair.value, kind) if kind else None
    return found
