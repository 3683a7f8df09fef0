"""Passes the calls of a service on to another pod, bytes in and bytes out, so that one port offers both.

Users know one address, that of the jobs service; `pinetune graders run` finds the grading service there as well. The
messages are never decoded here, and an error arrives at the caller as the other pod meant it.
"""

from collections.abc import Callable, Iterable

import grpc

from pinetune.pod.errors import from_rpc_error

Answer = Callable[[bytes, grpc.ServicerContext], bytes]


def forwarding(service_name: str, methods: Iterable[str], channel: grpc.Channel) -> grpc.GenericRpcHandler:
    """Return handlers of the named unary methods (`Grade`) that ask the pod behind `channel`.

    The caller's deadline is the deadline of the call that is passed on.
    """
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}
    for name in methods:
        handlers[name] = grpc.unary_unary_rpc_method_handler(_passing_on(f"/{service_name}/{name}", channel))
    return grpc.method_handlers_generic_handler(service_name, handlers)


def _passing_on(path: str, channel: grpc.Channel) -> Answer:
    # Without serialisers gRPC hands the bytes through.
    ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return ask(request, timeout=context.time_remaining())
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    return answer
