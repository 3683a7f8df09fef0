"""What happens around every call, whatever the room: token, trace, readiness, errors, counts.

In order: the trace of the caller becomes current and a span begins, the token is checked, a pod that starts or stops
says so, the handler runs, and what it raised becomes a status. Health and reflection pass untouched: probes and
`grpcurl` carry no token, and a probe's open `Watch` would count as a call in flight for ever.
"""

from __future__ import annotations  # gRPC's handler type takes parameters in its stubs only.

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import NoReturn, Protocol, TypeAlias, TypeVar, cast

import grpc

from pinetune.pod import metrics, spans, tokens, trace
from pinetune.pod.errors import Broken, PinetuneError, Unavailable, to_status

log = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")
Asked = TypeVar("Asked")
"""A request, or an iterator over them."""
Handler: TypeAlias = "grpc.RpcMethodHandler[Request, Response]"

SUCCESSOR_SECONDS = 5.0
"""When a call that a stopping pod refuses is worth repeating: a small pod is started again in about that time."""
OPEN_SERVICES = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")
# Not a method's own name: a label per misspelt method would let a caller grow the metrics without end.
UNKNOWN_METHOD = "unknown"


class _CodedContext(Protocol):
    """What gRPC's own context has beyond its public interface."""

    def code(self) -> grpc.StatusCode | int | None: ...


class CallsInFlight:
    """Counts the calls that are being handled, so that a stopping pod knows whether it left one behind."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        metrics.CALLS_IN_FLIGHT.inc()
        with self._changed:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        metrics.CALLS_IN_FLIGHT.dec()
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    @property
    def count(self) -> int:
        """Calls being handled now."""
        return self._count

    def wait_until_none(self, timeout_seconds: float) -> bool:
        """Return True once no call is being handled, False when that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._count == 0, timeout_seconds)


class PodInterceptor(grpc.ServerInterceptor):
    """The one interceptor of a pod; give it the shared token, if any, and tell it when the pod has started."""

    def __init__(self, token: str | None, started: threading.Event) -> None:
        self._token = token
        self._started = started
        self._stopping = False
        self.calls = CallsInFlight()

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler[Request, Response] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler[Request, Response] | None:
        """Wrap the handler of the called method, of whichever of the four kinds it is."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            metrics.CALLS.labels(UNKNOWN_METHOD, grpc.StatusCode.UNIMPLEMENTED.name).inc()
            return None
        if method.startswith(OPEN_SERVICES):
            return handler
        return self._wrapped(handler, _Call(self, method.removeprefix("/"), handler_call_details))

    def admit(self, metadata: tokens.Metadata) -> None:
        """Raise Denied without the shared token, Unavailable while the pod starts or stops."""
        if self._token is not None:
            tokens.check(self._token, metadata)
        if not self._started.is_set():
            raise Unavailable("this pod is still starting; repeat the call", reason="POD_STARTING")
        if self._stopping:
            raise Unavailable(
                "this pod is stopping and takes no new calls; repeat the call, for another pod or its successor",
                reason="POD_STOPPING",
                retry_after_seconds=SUCCESSOR_SECONDS,
            )

    def refuse_new(self) -> None:
        """Take no new calls from now on; those being handled go on."""
        self._stopping = True

    def _wrapped(self, handler: Handler[Request, Response], call: _Call) -> Handler[Request, Response]:
        # Four branches and no table: only so do the types of the four kinds stay apart.
        read, write = handler.request_deserializer, handler.response_serializer
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(call.answering(handler.unary_unary), read, write)
        if handler.stream_unary is not None:
            return grpc.stream_unary_rpc_method_handler(call.answering(handler.stream_unary), read, write)
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(call.streaming(handler.unary_stream), read, write)
        assert handler.stream_stream is not None
        return grpc.stream_stream_rpc_method_handler(call.streaming(handler.stream_stream), read, write)


class _Call:
    """One call from admission to its code in the metrics."""

    def __init__(self, pod: PodInterceptor, method: str, details: grpc.HandlerCallDetails) -> None:
        self._pod = pod
        self._method = method
        self._metadata = details.invocation_metadata

    def answering(
        self, behaviour: Callable[[Asked, grpc.ServicerContext], Response]
    ) -> Callable[[Asked, grpc.ServicerContext], Response]:
        """Return the handler of a method with one response."""

        def handle(request: Asked, context: grpc.ServicerContext) -> Response:
            with _Observed(self._pod.calls, self._method, context) as observed:
                try:
                    self._begin(observed)
                    return behaviour(request, context)
                except BaseException as error:
                    observed.fail(error)

        return handle

    def streaming(
        self, behaviour: Callable[[Asked, grpc.ServicerContext], Iterator[Response]]
    ) -> Callable[[Asked, grpc.ServicerContext], Iterator[Response]]:
        """Return the handler of a method with many responses; it lasts until the last one is sent."""

        def handle(request: Asked, context: grpc.ServicerContext) -> Iterator[Response]:
            with _Observed(self._pod.calls, self._method, context) as observed:
                try:
                    self._begin(observed)
                    yield from behaviour(request, context)
                except GeneratorExit:
                    raise  # The caller left in the middle of the stream.
                except BaseException as error:
                    observed.fail(error)

        return handle

    def _begin(self, observed: _Observed) -> None:
        # gRPC runs each call in a context of its own, so nothing is put back afterwards.
        trace.enter(trace.from_metadata(self._metadata))
        observed.span = spans.serving(self._method, self._metadata)
        self._pod.admit(self._metadata)


class _Observed:
    """Counts and times one call; `fail` ends it with the status of an error."""

    def __init__(self, calls: CallsInFlight, method: str, context: grpc.ServicerContext) -> None:
        self._calls = calls
        self._method = method
        self._context = context
        self._start = 0.0
        self.span = spans.NONE
        """The call's span, ended with it."""

    def __enter__(self) -> _Observed:
        self._calls.__enter__()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        metrics.CALL_TIME.labels(self._method).observe(time.perf_counter() - self._start)
        code = self._code().name
        metrics.CALLS.labels(self._method, code).inc()
        self.span.answered(code)
        self._calls.__exit__()

    # BaseException, since a panic in Rust is one: gRPC would let it end the thread and the caller wait for ever.
    def fail(self, error: BaseException) -> NoReturn:
        """End the call with the status of `error`; one nobody foresaw is logged under an id and sent as INTERNAL."""
        if _aborted(error, self._context):
            raise error
        if not isinstance(error, PinetuneError):
            error = self._unexpected(error)
        self._context.abort_with_status(to_status(error))

    def _unexpected(self, error: BaseException) -> Broken:
        error_id = uuid.uuid4().hex[:12]
        metrics.UNEXPECTED_ERRORS.labels(self._method).inc()
        log.error("internal error %s in %s", error_id, self._method, exc_info=error, extra={"error_id": error_id})
        return Broken(
            f"internal error {error_id}; the pod's log has the traceback under this id",
            reason="UNEXPECTED",
            error_id=error_id,
        )

    def _code(self) -> grpc.StatusCode:
        code = _set_code(self._context)
        if code is None:
            return grpc.StatusCode.OK if self._context.is_active() else grpc.StatusCode.CANCELLED
        return code


def _set_code(context: grpc.ServicerContext) -> grpc.StatusCode | None:
    code = cast(_CodedContext, context).code()
    if code is None:
        # Nearly always: a handler that answers sets none.
        return None
    return next((known for known in grpc.StatusCode if code in (known, known.value[0])), None)


def _aborted(error: BaseException, context: grpc.ServicerContext) -> bool:
    # context.abort() raises a bare Exception after it has set the code; it is how foreign servicers answer.
    return type(error) is Exception and not error.args and _set_code(context) not in (None, grpc.StatusCode.OK)
