"""A service without messages of its own, for tests of what every pod does: bytes in, bytes out.

`python -m tests.fakes.echo` is a pod that serves it, for tests that need a process to kill.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import grpc

from pinetune.pod import trace
from pinetune.pod.config import load
from pinetune.pod.errors import PinetuneError, from_rpc_error
from pinetune.pod.server import Pod, PodSettings, RegisteredService, run

SERVICE = "pinetune.test.v1.EchoService"


class Echo:
    """Answers with what it was sent, waits, or raises the error that the request names."""

    def __init__(self, errors: Mapping[str, BaseException] | None = None) -> None:
        self._errors = errors or {}

    def echo(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        return request

    def wait(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        print("a call waits", file=sys.stderr, flush=True)
        time.sleep(float(request))
        return b"waited"

    def fail(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        raise self._errors[request.decode()]

    def trace(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        now = trace.current()
        return json.dumps({"job": now.job, "step": now.step, "call": now.call}).encode()

    def deadline(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        return str(context.time_remaining()).encode()

    def peer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        return context.peer().encode()

    def count(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        """Count up to the number given; `3 name` fails with that error after the third."""
        count, _, error = request.decode().partition(" ")
        for number in range(int(count)):
            yield str(number).encode()
        if error:
            raise self._errors[error]

    def join(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        return b" ".join(requests)

    def mirror(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from requests

    def registered(self) -> RegisteredService:
        """Return the service as a pod takes it."""
        one = grpc.unary_unary_rpc_method_handler
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Echo": one(self.echo),
            "Wait": one(self.wait),
            "Fail": one(self.fail),
            "Trace": one(self.trace),
            "Deadline": one(self.deadline),
            "Peer": one(self.peer),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Join": grpc.stream_unary_rpc_method_handler(self.join),
            "Mirror": grpc.stream_stream_rpc_method_handler(self.mirror),
        }
        handler = grpc.method_handlers_generic_handler(SERVICE, handlers)
        return RegisteredService(SERVICE, lambda server: server.add_generic_rpc_handlers((handler,)))


def method(channel: grpc.Channel, name: str) -> "grpc.UnaryUnaryMultiCallable[bytes, bytes]":
    """Return the callable of a method with one request and one response."""
    return channel.unary_unary(f"/{SERVICE}/{name}")


def counting(channel: grpc.Channel) -> "grpc.UnaryStreamMultiCallable[bytes, bytes]":
    """Return the callable of the method with many responses."""
    return channel.unary_stream(f"/{SERVICE}/Count")


def failure(call: Callable[[], object]) -> PinetuneError:
    """Return the error that a call ends with; a call that ends well fails the test."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return from_rpc_error(error)
    raise AssertionError(f"the call ended well, with {answer!r}")


def build(pod: Pod) -> list[RegisteredService]:
    """Build the pod of `python -m tests.fakes.echo [slow] [failing]`, whose callbacks write lines to look for."""

    def start_up() -> None:
        print("starting up", file=sys.stderr, flush=True)
        time.sleep(60)

    if "slow" in sys.argv:
        pod.add_startup(start_up)
    if "failing" in sys.argv:
        threading.Timer(0.5, pod.fail, ["its engine died"]).start()
    pod.add_shutdown(lambda: print("shut down", file=sys.stderr, flush=True))
    return [Echo().registered()]


if __name__ == "__main__":
    sys.exit(run("pod", load(PodSettings), build))
