"""The errors that cross a pod's border, and their spelling in gRPC.

A room raises one of these; the interceptor sends it as a status code with `google.rpc.ErrorInfo`; a client turns that
status back into the same class. `reason` is the stable word that programs compare, the message is for people and may
change. Everything variable in the message belongs into the metadata as well (AIP-193).

    PinetuneError
    ├── InvalidInput      INVALID_ARGUMENT     the request is wrong and stays wrong
    ├── NotFound          NOT_FOUND            no such thing
    ├── Conflict          FAILED_PRECONDITION  the request is right, the state of the thing forbids it
    ├── Denied            UNAUTHENTICATED      the caller may not
    ├── Unsupported       UNIMPLEMENTED        nobody does this yet
    ├── Transient         (never itself)       the same call may succeed later
    │   ├── Busy          RESOURCE_EXHAUSTED   too much at once
    │   └── Unavailable   UNAVAILABLE          nobody there, or not ready yet
    ├── TimedOut          DEADLINE_EXCEEDED    no answer in time; whether the call took effect is not known
    ├── Cancelled         CANCELLED            the caller gave up
    ├── Corrupt           DATA_LOSS            bytes are not what their hash says
    └── Broken            INTERNAL             our fault

`Conflict` covers what gRPC spells in three ways. A pod always sends FAILED_PRECONDITION and leaves the difference to
the reason word, since callers act alike on all three: look at the thing's state, then decide. ALREADY_EXISTS and
ABORTED of foreign servers are read as `Conflict` too.
"""

import re
from typing import ClassVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "pinetune"
STATUS_DETAILS_KEY = "grpc-status-details-bin"
# A status travels in HTTP/2 trailers, for which gRPC allows 8 KiB by default; a longer one arrives as
# RESOURCE_EXHAUSTED instead of the error it describes. The message is in there twice.
MESSAGE_CHARACTERS_MAX = 1500
METADATA_CHARACTERS_MAX = 200
# What our own servers and channels allow, for messages in scripts that take several bytes a character.
TRAILER_BYTES_MAX = 64 * 1024
REASON_PATTERN = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")


class PinetuneError(Exception):
    """What went wrong, in one sentence for people and one word for programs; raise one of the subclasses."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL

    message: str
    """One sentence: the field, the limit, the value given, and what to do next."""
    reason: str
    """UPPER_SNAKE word, stable over releases."""
    retry_after_seconds: float | None
    """How long to wait before the same call is worth repeating; None where nobody knows."""
    metadata: dict[str, str]
    """What varies in the message, by name."""

    def __init__(
        self,
        message: str,
        /,
        *,
        reason: str,
        retry_after_seconds: float | None = None,
        **metadata: str | int | float,
    ) -> None:
        if not REASON_PATTERN.fullmatch(reason):
            raise ValueError(f"reason must be an UPPER_SNAKE word, not {reason!r}")
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
        self.metadata = {key: str(value) for key, value in metadata.items()}

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions pickle as cls(*args), which cannot carry keywords; errors travel between processes of a pool.
        return _rebuild, (type(self), self.message, self.reason, self.retry_after_seconds, self.metadata)


class InvalidInput(PinetuneError):
    """The request is wrong and will be wrong again."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(PinetuneError):
    """The named thing does not exist."""

    code = grpc.StatusCode.NOT_FOUND


class Conflict(PinetuneError):
    """The state of the thing forbids the request: it exists already, has ended, or was changed by another meanwhile."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class Denied(PinetuneError):
    """The caller did not show a token that allows the call."""

    code = grpc.StatusCode.UNAUTHENTICATED


class Unsupported(PinetuneError):
    """The request is understood, but this pod or this release does not do it."""

    code = grpc.StatusCode.UNIMPLEMENTED


class Transient(PinetuneError):
    """The same call may succeed later; catch this to retry, raise `Busy` or `Unavailable`."""

    code = grpc.StatusCode.UNAVAILABLE


class Busy(Transient):
    """A limit on how much runs at once is reached; repeat after `retry_after_seconds`."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(Transient):
    """The pod cannot be reached, is starting, or lost what it depends on."""

    code = grpc.StatusCode.UNAVAILABLE


class TimedOut(PinetuneError):
    """No answer before the deadline. Not `Transient`: the call may have taken effect."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Cancelled(PinetuneError):
    """The caller took the call back."""

    code = grpc.StatusCode.CANCELLED


class Corrupt(PinetuneError):
    """What was read is not what was written: a hash, a name, a shape or a length is wrong."""

    code = grpc.StatusCode.DATA_LOSS


class Broken(PinetuneError):
    """A fault of ours; the pod's log has the details."""

    code = grpc.StatusCode.INTERNAL


CLASS_OF_CODE: dict[grpc.StatusCode, type[PinetuneError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.OUT_OF_RANGE: InvalidInput,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: Conflict,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.UNAUTHENTICATED: Denied,
    grpc.StatusCode.PERMISSION_DENIED: Denied,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Busy,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimedOut,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.INTERNAL: Broken,
    grpc.StatusCode.UNKNOWN: Broken,
    grpc.StatusCode.DATA_LOSS: Corrupt,
}
"""Every code but OK, and the error a client raises for it."""


def to_status(error: PinetuneError) -> grpc.Status:
    """Spell `error` as a gRPC status with ErrorInfo, and with RetryInfo where it says when to come back."""
    status = status_pb2.Status(code=error.code.value[0], message=_sendable(error.message, MESSAGE_CHARACTERS_MAX))
    metadata = {key: _sendable(value, METADATA_CHARACTERS_MAX) for key, value in error.metadata.items()}
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata))
    if error.retry_after_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after_seconds * 1e9))
        status.details.add().Pack(retry)
    return rpc_status.to_status(status)


def from_rpc_error(error: grpc.RpcError) -> PinetuneError:
    """Read the error that a call ended with; where the server sent no ErrorInfo the reason is the code's name.

    A message over the size limit is `InvalidInput` MESSAGE_TOO_LARGE although gRPC says RESOURCE_EXHAUSTED: repeating
    it cannot help.
    """
    code = error.code()
    message = error.details() or code.name
    reason, metadata, retry_after_seconds = code.name, {}, None
    for detail in _status_of(error).details:
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info) and info.domain == DOMAIN and REASON_PATTERN.fullmatch(info.reason):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(retry):
            retry_after_seconds = retry.retry_delay.ToNanoseconds() / 1e9
    kind = CLASS_OF_CODE.get(code, Broken)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and reason == code.name and "message larger than max" in message:
        kind, reason = InvalidInput, "MESSAGE_TOO_LARGE"
    return _rebuild(kind, message, reason, retry_after_seconds, metadata)


def _rebuild(
    kind: type[PinetuneError],
    message: str,
    reason: str,
    retry_after_seconds: float | None,
    metadata: dict[str, str],
) -> PinetuneError:
    """Make the error from its parts; metadata of any name is taken, also of names that the constructor uses."""
    error = kind(message, reason=reason, retry_after_seconds=retry_after_seconds)
    error.metadata = dict(metadata)
    return error


def _status_of(error: grpc.RpcError) -> status_pb2.Status:
    """Return the rich status of a failed call, empty where there is none that can be read."""
    for entry in error.trailing_metadata() or ():
        if entry.key == STATUS_DETAILS_KEY:
            try:
                return status_pb2.Status.FromString(entry.value)
            except DecodeError:
                break  # A proxy's or a foreign server's; code and message still say what happened.
    return status_pb2.Status()


def _sendable(text: str, characters_max: int) -> str:
    """Return `text` short enough for trailers and free of what UTF-8 cannot say (lone surrogates)."""
    if len(text) > characters_max:
        text = text[: characters_max - 1] + "…"
    return text.encode("utf-8", "replace").decode("utf-8")
