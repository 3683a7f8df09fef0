"""Spans: what the pods tell OpenTelemetry of the work they do. Nothing, unless PINETUNE_POD_TRACES_ENDPOINT is set.

    with spans.span("sample", prompts=8) as span:      # below the span that is current, or first of a new trace
        ...
        span.note(completions=32)

Rooms, channels and log lines use the functions here. They ask the pod's `Tracing`; the one below does nothing, the one
of `otel.py`, the only file that knows OpenTelemetry, is loaded by a pod with an endpoint. Values say numbers, ids and
words of ours: never what stands in prompts, answers or messages of errors, for those are the users' data.
"""

import contextlib
from collections.abc import Iterable, Iterator

from pinetune.pod.errors import InvalidInput

Value = str | int | float | bool
CLOSE_SECONDS = 3.0
"""How long a stopping pod may take to send the spans that it has; the rest is dropped and counted. With the grace that
calls get it has to stay below the 30 s after which Kubernetes kills."""


class Span:
    """A piece of work under way; this one tells nobody."""

    traceparent = ""
    """What makes spans of another process follow this one, as W3C Trace Context spells it; empty where none should."""

    def note(self, **values: Value) -> None:
        """Add values; each is known as `pinetune.<name>`."""

    def child(self, name: str, *, begun: float, ended: float, **values: Value) -> None:
        """Tell of a part of this work that is over; times are seconds since the epoch."""

    def answered(self, code: str) -> None:
        """End the span of a call with its gRPC code."""

    def end(self, error_type: str = "") -> None:
        """End the span, as failed where there is a word for the failure."""


NONE = Span()
"""For all work of which nobody is told."""


class Tracing:
    """Makes spans; this one makes none. The functions below say what each method is for."""

    on = False
    """Whether anybody is told."""

    @contextlib.contextmanager
    def span(self, name: str, values: dict[str, Value]) -> Iterator[Span]:
        """See `spans.span`."""
        yield NONE

    def new_trace(self, name: str, begun: float, values: dict[str, Value]) -> Span:
        """See `spans.new_trace`."""
        return NONE

    def follow(self, traceparent: str, name: str, begun: float, ended: float, values: dict[str, Value]) -> None:
        """See `spans.follow`."""

    def called(self, method: str) -> Span:
        """See `spans.called`."""
        return NONE

    def serving(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Span:
        """See `spans.serving`."""
        return NONE

    def ids(self) -> dict[str, str]:
        """See `spans.ids`."""
        return {}

    def close(self, seconds: float) -> None:
        """Send what is left, within `seconds`, and tell nothing more."""


OFF = Tracing()
_tracing = OFF


def open_tracing(room: str, endpoint: str | None) -> Tracing:
    """Return the tracing of a pod of `room`; where it has an endpoint, make it that of this process.

    Raises InvalidInput TRACES_NOT_INSTALLED where there is an endpoint and no OpenTelemetry.
    """
    if endpoint is None:
        return OFF
    try:
        from pinetune.pod import otel
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise InvalidInput(
            f"PINETUNE_POD_TRACES_ENDPOINT is {endpoint!r}, and OpenTelemetry is not installed here; "
            "`pip install 'pinetune[traces]'`, or leave the endpoint out",
            reason="TRACES_NOT_INSTALLED",
        ) from None
    return use(otel.exporting(room, endpoint))


def close_tracing(tracing: Tracing) -> None:
    """Send what is left, within `CLOSE_SECONDS`, and tell nothing more."""
    tracing.close(CLOSE_SECONDS)
    if tracing is _tracing:
        use(OFF)


def use(tracing: Tracing) -> Tracing:
    """Make `tracing` that of this process, and return it."""
    global _tracing
    _tracing = tracing
    return tracing


def on() -> bool:
    """Return whether anybody is told."""
    return _tracing.on


def span(name: str, **values: Value) -> contextlib.AbstractContextManager[Span]:
    """Tell of the work of the block. An exception ends the span with its kind and reason, and goes on."""
    return _tracing.span(name, values)


def new_trace(name: str, *, begun: float, **values: Value) -> Span:
    """Return the first span of a trace of its own that began at `begun`; it and the current span link to each other.

    It does not become current, and whoever asked for it ends it.
    """
    return _tracing.new_trace(name, begun, values)


def follow(traceparent: str, name: str, *, begun: float, ended: float, **values: Value) -> None:
    """Tell of work that is over and belongs to another process' span; it links to the current one."""
    _tracing.follow(traceparent, name, begun, ended, values)


def called(method: str) -> Span:
    """Return the span of a call that goes out; `NONE` outside of any trace, so that heartbeats make no traces."""
    return _tracing.called(method)


def serving(method: str, metadata: Iterable[tuple[str, str | bytes]]) -> Span:
    """Return the span of a call that came in, and make it current for good: the handler owns its context.

    `NONE` where the caller has no trace.
    """
    return _tracing.serving(method, metadata)


def ids() -> dict[str, str]:
    """Return `trace_id` and `span_id` of the current span, for log lines; nothing where there is none."""
    return _tracing.ids()
