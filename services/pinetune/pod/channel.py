"""How one process of ours reaches another: a gRPC channel with everything that a careful caller sets.

    with connect("localhost:50051") as channel:
        stub = GradingServiceStub(channel)

Every call has a deadline, carries the job, step and trace it works for and the token, is repeated where it is safe to
and the pod was unreachable, and goes round all pods behind a name. A pod that says NOT_SERVING is left out until it
serves.
Token, TLS files and limits come from the settings (`PINETUNE_TOKEN`, `PINETUNE_CLIENT_…`) unless given.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar, cast

import grpc
from pydantic import Field, SecretStr, model_validator

from pinetune.pod import spans, tokens, trace
from pinetune.pod.config import TOKEN, RoomSettings, read
from pinetune.pod.errors import TRAILER_BYTES_MAX
from pinetune.pod.tls import ClientTls

SAFE_METHODS = (
    "pinetune.api.grading.v1.GradingService/Grade",
    "pinetune.api.grading.v1.GradingService/ValidateGrader",
    "pinetune.api.generation.v1.GenerationService/Tokenize",
    "pinetune.api.generation.v1.GenerationService/Score",
    "pinetune.api.generation.v1.GenerationService/DescribeEngine",
    "pinetune.api.generation.v1.GenerationService/DescribePolicy",
    "pinetune.api.learning.v1.LearningService/Score",
    "pinetune.api.learning.v1.LearningService/DescribeLearner",
)
"""Calls that change nothing and that a channel repeats by itself. Grade changes nothing here either, yet a repeated one
may ask judge models and remote graders again, which costs. The clients of the jobs service repeat on their own, under
request ids, and would multiply with this."""
ATTEMPT_COUNT = 4
KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS = 30_000, 10_000
# gRPC waits up to two minutes before it looks for a lost pod again; a restarted one is back within seconds.
FIRST_RECONNECT_MS, LAST_RECONNECT_MS = 200, 3_000
# Nor would it ask the DNS again for half a minute, where a name's pods have all been replaced.
RESOLVE_MS = 1_000

Request = TypeVar("Request")
Response = TypeVar("Response")
Answer = TypeVar("Answer")
Made = TypeVar("Made")
Options = Sequence[tuple[str, str | int]]


class ChannelSettings(RoomSettings, env_prefix="PINETUNE_CLIENT_"):
    """How this process reaches pods."""

    token: SecretStr | None = Field(default=None, validation_alias=TOKEN, min_length=1)
    """What pods ask for. The variable is PINETUNE_TOKEN."""
    deadline_seconds: float = Field(default=60.0, gt=0)
    """Deadline of calls whose caller gave none."""
    message_bytes_max: int = Field(default=256 * 1024 * 1024, ge=1024, le=2**31 - 1)
    """Largest message sent or taken."""
    tls: bool = False
    """True: speak TLS, trusting `tls_ca_file` or the CAs that gRPC brings along."""
    tls_ca_file: Path | None = None
    """PEM file with the CA that signed the pods' certificates; implies `tls`."""
    tls_certificate_file: Path | None = None
    """PEM file with this process's own certificate, for mutual TLS."""
    tls_key_file: Path | None = None
    """PEM file with the certificate's private key."""

    tls_server_name: str = ""
    """Name that pods' certificates must be for, instead of the one a pod is called by: one certificate for all pods."""

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_certificate_file and tls_key_file come together")
        if self.tls_certificate_file is not None and self.client_tls() is None:
            raise ValueError("tls_certificate_file needs tls_ca_file, or tls=true")
        return self

    def client_tls(self) -> ClientTls | None:
        """Return what is needed to speak TLS, None where the channel is plain."""
        if not self.tls and self.tls_ca_file is None:
            return None
        return ClientTls(self.tls_ca_file, self.tls_certificate_file, self.tls_key_file)


def connect(
    address: str,
    *,
    token: str | None = None,
    tls: ClientTls | None = None,
    options: Options = (),
    settings: ChannelSettings | None = None,
) -> grpc.Channel:
    """Return a channel to `host:port`, or to all pods behind a DNS name (`dns:///grading:50051`); opens at first use.

    `settings` are read from the environment where not given; `token`, `tls` and `options` (gRPC channel arguments) win
    over them, and an empty token shows none. Raises InvalidInput for settings that are wrong and TLS files that cannot
    be read.
    """
    settings = settings or read(ChannelSettings)
    tls = tls or settings.client_tls()
    arguments = list((dict(_arguments(settings)) | dict(options)).items())
    if tls is None:
        channel = grpc.insecure_channel(address, options=arguments)
    else:
        channel = grpc.secure_channel(address, tls.credentials(), options=arguments)
    if token is None and settings.token is not None:
        token = settings.token.get_secret_value()
    return grpc.intercept_channel(channel, _Caller(token or None, settings.deadline_seconds))


def _arguments(settings: ChannelSettings) -> Options:
    return [
        ("grpc.max_receive_message_length", settings.message_bytes_max),
        ("grpc.max_send_message_length", settings.message_bytes_max),
        ("grpc.max_metadata_size", TRAILER_BYTES_MAX),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.initial_reconnect_backoff_ms", FIRST_RECONNECT_MS),
        ("grpc.min_reconnect_backoff_ms", FIRST_RECONNECT_MS),
        ("grpc.max_reconnect_backoff_ms", LAST_RECONNECT_MS),
        ("grpc.dns_min_time_between_resolutions_ms", RESOLVE_MS),
        # Pods are reached directly; a proxy set for downloads would be asked for 127.0.0.1 too.
        ("grpc.enable_http_proxy", 0),
        ("grpc.service_config", json.dumps(_service_config())),
        # Requests above this are never repeated; the default of 256 KiB is less than one batch to grade.
        ("grpc.per_rpc_retry_buffer_size", settings.message_bytes_max),
        *([("grpc.ssl_target_name_override", settings.tls_server_name)] if settings.tls_server_name else []),
    ]


def _service_config() -> dict[str, object]:
    """Return what gRPC's core does per call: https://github.com/grpc/grpc/blob/master/doc/service_config.md."""
    names = [dict(zip(("service", "method"), name.split("/"), strict=True)) for name in SAFE_METHODS]
    retries = {
        "maxAttempts": ATTEMPT_COUNT,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 3,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": ""},
        "methodConfig": [{"name": names, "retryPolicy": retries}],
    }


@dataclass(frozen=True)
class _Details(grpc.ClientCallDetails):
    """What gRPC asks of an interceptor that changes a call."""

    method: str
    timeout: float | None
    metadata: tuple[tuple[str, str | bytes], ...] | None
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class _Ending(Protocol):
    """What every call of gRPC's has, and its stubs say of none."""

    def add_done_callback(self, callback: "Callable[[grpc.Call], object]") -> None: ...


class _Caller(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Gives every call a deadline, the trace of the running code with a span of its own, and the token."""

    def __init__(self, token: str | None, deadline_seconds: float) -> None:
        self._token = token
        self._deadline_seconds = deadline_seconds

    def _completed(self, details: grpc.ClientCallDetails, span: spans.Span) -> grpc.ClientCallDetails:
        now = trace.current()
        if not now.call:
            now = dataclasses.replace(now, call=trace.new_call_id())
        metadata = [*(details.metadata or ()), *now.to_metadata()]
        if span.traceparent:
            metadata.append(("traceparent", span.traceparent))
        if self._token is not None:
            metadata.append(tokens.shown(self._token))
        timeout = self._deadline_seconds if details.timeout is None else details.timeout
        return _Details(
            details.method, timeout, tuple(metadata), details.credentials, details.wait_for_ready, details.compression
        )

    def intercept_unary_unary(
        self,
        continuation: "Callable[[grpc.ClientCallDetails, Request], grpc._CallFuture[Response]]",
        client_call_details: grpc.ClientCallDetails,
        request: Request,
    ) -> "grpc._CallFuture[Response]":
        """Complete a call with one request and one response."""
        span = spans.called(client_call_details.method)
        return _ending(span, continuation(self._completed(client_call_details, span), request))

    def intercept_unary_stream(
        self,
        continuation: "Callable[[grpc.ClientCallDetails, Request], grpc._CallIterator[Response]]",
        client_call_details: grpc.ClientCallDetails,
        request: Request,
    ) -> "grpc._CallIterator[Response]":
        """Complete a call with one request and many responses."""
        span = spans.called(client_call_details.method)
        return _ending(span, continuation(self._completed(client_call_details, span), request))

    def intercept_stream_unary(
        self,
        continuation: "Callable[[grpc.ClientCallDetails, Iterator[Request]], grpc._CallFuture[Response]]",
        client_call_details: grpc.ClientCallDetails,
        request_iterator: Iterator[Request],
    ) -> "grpc._CallFuture[Response]":
        """Complete a call with many requests and one response."""
        span = spans.called(client_call_details.method)
        return _ending(span, continuation(self._completed(client_call_details, span), request_iterator))

    def intercept_stream_stream(
        self,
        continuation: "Callable[[grpc.ClientCallDetails, Iterator[Request]], grpc._CallIterator[Response]]",
        client_call_details: grpc.ClientCallDetails,
        request_iterator: Iterator[Request],
    ) -> "grpc._CallIterator[Response]":
        """Complete a call with many requests and many responses."""
        span = spans.called(client_call_details.method)
        return _ending(span, continuation(self._completed(client_call_details, span), request_iterator))


def _ending(span: spans.Span, call: Made) -> Made:
    """Have the call end its span."""
    if span is not spans.NONE:
        cast(_Ending, call).add_done_callback(lambda ended: span.answered(ended.code().name))
    return call
