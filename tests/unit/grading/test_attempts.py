"""Pauses between attempts grow, spread, repeat from run to run, and give way to what a server asks for."""

import email.utils
import time
from collections.abc import Callable

import pytest

from pinetune.grading.http_calls import HttpReply
from pinetune.grading.models.attempts import Patience

PATIENCE = Patience(attempts=3, pause_seconds=1.0, pause_seconds_max=4.0)


def test_pauses_double_up_to_their_bound_and_lose_at_most_half_by_the_spread() -> None:
    for attempt, whole in ((1, 1.0), (2, 2.0), (3, 4.0), (60, 4.0)):
        assert whole / 2 <= PATIENCE.pause(b"question", attempt, None) <= whole


def test_the_same_question_waits_as_long_in_every_run_and_another_one_differently() -> None:
    assert PATIENCE.pause(b"a", 1, None) == PATIENCE.pause(b"a", 1, None)
    assert len({PATIENCE.pause(bytes([byte]), 1, None) for byte in range(50)}) == 50


def test_a_server_that_asks_for_patience_gets_it() -> None:
    assert PATIENCE.pause(b"a", 1, 30.0) == 30.0
    assert PATIENCE.pause(b"a", 3, 0.0) >= 2.0


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        (lambda: "7", 7.0, 7.0),
        (lambda: email.utils.formatdate(time.time() + 100, usegmt=True), 50.0, 100.0),
        (lambda: email.utils.formatdate(0, usegmt=True), 0.0, 0.0),
    ],
    ids=["seconds", "date", "past"],
)
def test_retry_after_is_read_in_both_its_forms(value: Callable[[], str], low: float, high: float) -> None:
    found = HttpReply(429, {"retry-after": value()}, b"").retry_after_seconds
    assert found is not None
    assert low <= found <= high


@pytest.mark.parametrize("value", ["", "soon", "-1", "1.5", "٣", "Fri, 99 Foo 2026 00:00:00 GMT"])
def test_what_is_no_retry_after_asks_for_nothing(value: str) -> None:
    assert HttpReply(429, {"retry-after": value}, b"").retry_after_seconds is None
