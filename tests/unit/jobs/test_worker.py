"""The worker's heart beats on, whatever becomes of one beat; its metrics show nothing that it has not measured."""

import logging
import subprocess
import sys
import threading

import pytest

from pinetune.jobs.worker import beat_until, lasts
from pinetune.pod.errors import Conflict, Corrupt, InvalidInput, PinetuneError


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


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InvalidInput("", reason="SPEC_INVALID"), True),
        (Conflict("", reason="POLICY_NOT_ATTESTED"), True),
        (Conflict("", reason="STALE_ATTEMPT"), False),
        (Conflict("", reason="STREAM_REPLACED"), False),
        (Conflict("", reason="STREAM_OUTDATED"), False),
        (Corrupt("", reason="TENSOR_HASH_MISMATCH"), False),
    ],
    ids=lambda value: getattr(value, "reason", None),
)
def test_a_job_fails_for_good_of_what_would_come_again(error: PinetuneError, expected: bool) -> None:
    assert lasts(error) is expected


def test_a_reward_that_was_not_measured_yet_is_no_number() -> None:
    show = "import pinetune.jobs.worker_metrics, prometheus_client as p; print(p.generate_latest().decode())"
    shown = subprocess.run([sys.executable, "-c", show], check=True, capture_output=True, text=True).stdout
    values = dict(
        line.split() for line in shown.splitlines() if line.startswith("pinetune_worker_") and "{" not in line
    )
    assert {name: value for name, value in values.items() if value == "NaN"}.keys() == {
        "pinetune_worker_train_reward_mean",
        "pinetune_worker_validation_reward_mean",
        "pinetune_worker_sampled_tokens_per_second",
        "pinetune_worker_canary_gap",
        *(f"pinetune_worker_sampler_gap_{name}" for name in ("mean", "p50", "p95", "p99", "max")),
        "pinetune_worker_effective_sample_share",
        "pinetune_worker_effective_sequence_share",
    }
