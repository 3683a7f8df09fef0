"""The tree of errors, and its way through a gRPC status and back."""

import pickle
from collections import namedtuple

import grpc
import pytest
from grpc_status import rpc_status

from pinetune.pod import errors
from pinetune.pod.errors import (
    CLASS_OF_CODE,
    Broken,
    Busy,
    Conflict,
    InvalidInput,
    PinetuneError,
    Transient,
    Unavailable,
    from_rpc_error,
    to_status,
)

GRPC_TRAILER_BYTES = 8 * 1024
Entry = namedtuple("Entry", ["key", "value"])


class FailedCall(grpc.RpcError):
    """What a client catches when a server ended a call with `status`."""

    def __init__(self, code: grpc.StatusCode, details: str, trailers: tuple[Entry, ...] = ()) -> None:
        self._code, self._details, self._trailers = code, details, trailers

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> tuple[Entry, ...]:  # type: ignore[override]  # the stub's type cannot be constructed
        return self._trailers


def over_the_wire(error: PinetuneError) -> PinetuneError:
    status = to_status(error)
    trailers = tuple(Entry(key, value) for key, value in status.trailing_metadata)
    return from_rpc_error(FailedCall(status.code, status.details, trailers))


def every_error() -> list[type[PinetuneError]]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PinetuneError)]
    return [kind for kind in kinds if kind not in (PinetuneError, Transient)]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_an_error_arrives_as_the_class_with_the_reason_and_metadata_it_left_with(kind: type[PinetuneError]) -> None:
    error = kind("limit is 7, given 9; ask for less", reason="LIMIT_EXCEEDED", limit=7, given=9)
    arrived = over_the_wire(error)
    assert type(arrived) is kind
    assert (arrived.message, arrived.reason) == (error.message, "LIMIT_EXCEEDED")
    assert arrived.metadata == {"limit": "7", "given": "9"}


def test_every_code_but_ok_has_an_error() -> None:
    assert set(CLASS_OF_CODE) == set(grpc.StatusCode) - {grpc.StatusCode.OK}


def test_the_time_to_wait_arrives_as_retry_info() -> None:
    arrived = over_the_wire(Busy("the queue is full", reason="QUEUE_FULL", retry_after_seconds=1.25))
    assert arrived.retry_after_seconds == 1.25
    assert isinstance(arrived, Transient)


def test_metadata_may_have_any_name() -> None:
    error = InvalidInput("no", reason="NO", message="m", self="s", code=3)
    assert over_the_wire(error).metadata == {"message": "m", "self": "s", "code": "3"}


def test_an_error_survives_pickling() -> None:
    error = Busy("full", reason="FULL", retry_after_seconds=2.0, room="grading")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is Busy
    assert vars(copy) == vars(error)
    assert str(copy) == "full"


@pytest.mark.parametrize("reason", ["lower_case", "", "TWO WORDS", "_LED", "TRAILED_", "DOUBLE__BAR"])
def test_a_reason_that_is_no_upper_snake_word_is_refused(reason: str) -> None:
    with pytest.raises(ValueError, match="UPPER_SNAKE"):
        Broken("x", reason=reason)


def test_a_status_fits_the_trailers_that_grpc_allows_by_default_however_long_the_message() -> None:
    status = to_status(InvalidInput("x" * 100_000, reason="LONG", value="y" * 100_000))
    size = len(status.details) + sum(len(key) + len(value) * 4 / 3 for key, value in status.trailing_metadata)
    assert size < GRPC_TRAILER_BYTES
    assert status.details.endswith("…")


def test_text_that_utf8_cannot_say_is_sent_with_a_mark_in_its_place() -> None:
    assert over_the_wire(InvalidInput("a\udcffb", reason="ODD", value="\ud800")).message == "a?b"


def test_a_status_without_details_keeps_code_and_message() -> None:
    error = from_rpc_error(FailedCall(grpc.StatusCode.ABORTED, "changed meanwhile"))
    assert type(error) is Conflict
    assert (error.message, error.reason, error.metadata) == ("changed meanwhile", "ABORTED", {})


def test_details_that_cannot_be_read_are_left_aside() -> None:
    trailers = (Entry("grpc-status-details-bin", b"\xff\xff\xff"),)
    error = from_rpc_error(FailedCall(grpc.StatusCode.UNAVAILABLE, "proxy says no", trailers))
    assert type(error) is Unavailable
    assert error.reason == "UNAVAILABLE"


def test_the_reason_of_another_domain_is_not_taken_for_ours() -> None:
    status = to_status(InvalidInput("x", reason="OURS"))
    ours = status.trailing_metadata[0][1]
    assert isinstance(ours, bytes)
    foreign = ours.replace(b"pinetune", b"elsewher")
    error = from_rpc_error(FailedCall(status.code, "x", (Entry(errors.STATUS_DETAILS_KEY, foreign),)))
    assert error.reason == "INVALID_ARGUMENT"


def test_a_message_over_the_limit_is_the_callers_fault_and_not_worth_repeating() -> None:
    details = "Sent message larger than max (5000 vs. 1024)"
    error = from_rpc_error(FailedCall(grpc.StatusCode.RESOURCE_EXHAUSTED, details))
    assert type(error) is InvalidInput
    assert error.reason == "MESSAGE_TOO_LARGE"


def test_a_status_is_the_one_that_grpc_status_makes() -> None:
    # A foreign client reads it with `rpc_status.from_call`, which insists that code and message agree.
    status = to_status(Conflict("it has ended", reason="JOB_ENDED"))
    call = FailedCall(status.code, status.details, tuple(Entry(*pair) for pair in status.trailing_metadata))
    rich = rpc_status.from_call(call)  # type: ignore[arg-type]  # a Call only in the parts that are read
    assert rich.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
