"""How a client makes a call: always with a deadline, and with the server's error as one of ours."""

from collections.abc import Iterator
from typing import Protocol, TypeVar

import grpc

from pinetune.pod.errors import from_rpc_error

Q = TypeVar("Q", contravariant=True)
R = TypeVar("R", covariant=True)
S = TypeVar("S")
T = TypeVar("T")


class Unary(Protocol[Q, R]):
    """A stub's method that takes one message and gives one."""

    def __call__(self, request: Q, /, *, timeout: float | None = None) -> R:
        """Make the call."""
        ...


class Streaming(Protocol[Q, R]):
    """A stub's method that takes one message and gives many."""

    def __call__(self, request: Q, /, *, timeout: float | None = None) -> Iterator[R]:
        """Make the call."""
        ...


def call(method: Unary[S, T], request: S, *, deadline_seconds: float) -> T:
    """Make a call and return its answer; a failed one raises the `PinetuneError` that the server meant."""
    try:
        return method(request, timeout=deadline_seconds)
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error


def stream(method: Streaming[S, T], request: S, *, deadline_seconds: float) -> Iterator[T]:
    """Make a call and yield its answers; a failed one raises the `PinetuneError` that the server meant."""
    try:
        yield from method(request, timeout=deadline_seconds)
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error
