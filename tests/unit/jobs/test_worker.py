"""The worker's heart beats on, whatever becomes of one beat."""

import logging
import threading

import pytest

from pinetune.jobs.worker import beat_until
from pinetune.pod.errors import Conflict


@pytest.mark.parametrize("error", [KeyError("phase"), Conflict("given up", reason="STALE_ATTEMPT")], ids=["bug", "no"])
def test_a_beat_that_breaks_off_is_logged_and_the_next_one_follows(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    ended, beats = threading.Event(), 0

    def beat() -> None:
        nonlocal beats
        beats += 1
        if beats == 1:
            raise error
        ended.set()

    with caplog.at_level(logging.ERROR):
        beat_until(ended, beat, every_seconds=0.001)
    assert beats == 2
    (entry,) = caplog.records
    assert entry.exc_info is not None
    assert entry.exc_info[1] is error
