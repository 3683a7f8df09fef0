"""Passes the calls of a service on to another pod, bytes in and bytes out, so that one port offers both.

Users know one address, that of the jobs service; `pinetune graders run` finds the grading service there as well. The
messages are never decoded here, and an error arrives at the caller as the other pod meant it.
"""

from collections.abc import Callable, Iterable

import grpc

from pinetune.pod.errors import Cancelled, from_rpc_error

LONGEST_SECONDS = 24 * 3600.0
"""Deadline of a call whose caller names none."""
Answer = Callable[[bytes, grpc.ServicerContext], bytes]


def forwarding(service_name: str, methods: Iterable[str], channel: grpc.Channel) -> grpc.GenericRpcHandler:
    """Return handlers of the named unary methods (`Grade`) that ask the pod behind `channel`.

    The caller's deadline is the deadline of the call that is passed on, and where the caller leaves that is cancelled.
    """
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}
    for name in methods:
        handlers[name] = grpc.unary_unary_rpc_method_handler(_passing_on(f"/{service_name}/{name}", channel))
    return grpc.method_handlers_generic_handler(service_name, handlers)


def _passing_on(path: str, channel: grpc.Channel) -> Answer:
    # Without serialisers gRPC hands the bytes through.
    ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        # A caller without a deadline has centuries left, which is more than gRPC takes as one.
        left_seconds = context.time_remaining()
        left_seconds = LONGEST_SECONDS if left_seconds is None else min(left_seconds, LONGEST_SECONDS)
        passed_on = ask.future(request, timeout=left_seconds)

        def leave() -> None:
            passed_on.cancel()

        context.add_callback(leave)
        try:
            return passed_on.result()
        except grpc.FutureCancelledError:
            raise Cancelled("the caller has left", reason="CANCELLED") from None
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    return answer
