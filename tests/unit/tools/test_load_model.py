"""The load model against sums done by hand."""

from dataclasses import replace

import pytest
from tools.load_model import Run, UnitCosts, bringing, load_of

RUN = Run(
    gpus=10,
    learner_share=0.2,
    parameters_billion=1.0,
    prompts_per_gpu=2.0,
    samples=4,
    prompt_tokens=100,
    completion_tokens=400,
    sampled_tokens_per_second=1000.0,
    learned_tokens_per_second=2000.0,
    network_gb_per_second=2.0,
    storage_gb_per_second=4.0,
)


def test_a_step_is_its_parts_one_after_the_other() -> None:
    load = load_of(RUN, UnitCosts(write_seconds_per_gb=1.0, load_seconds_per_gb=0.5))
    assert (load.jobs, load.replicas, load.completions) == (1, 8, 80)
    assert load.sampling_seconds == pytest.approx(80 * 400 / (8 * 1000))
    assert load.learning_seconds == pytest.approx(80 * 500 / (2 * 2000))
    # 2 GB are written, then read by eight at 4 GB/s in all.
    assert load.weights_seconds == pytest.approx(2 * 1.0 + 2 * 8 / 4)
    assert load.step_seconds == pytest.approx(4 + 10 + 6)
    assert load.weights_gb == pytest.approx(16)


def test_a_stream_leaves_the_learner_once_for_each_sampler_and_a_broadcast_as_a_tree() -> None:
    costs = UnitCosts(send_seconds_per_gb=0.0)
    stream, broadcast = (bringing(replace(RUN, way=way), costs, 2.0, 7)[0] for way in ("stream", "broadcast"))
    assert stream == pytest.approx(2.0 * 7 / 2.0)
    assert broadcast == pytest.approx(2.0 * 3 / 2.0)


def test_the_busiest_part_is_the_bottleneck() -> None:
    assert load_of(RUN, UnitCosts()).bottleneck.name == "shared storage"
    slow = load_of(replace(RUN, changed_share=0.0), UnitCosts(worker_us=1e5))
    assert slow.bottleneck.name == "worker of a job, one core"
    assert slow.busy(slow.bottleneck) == pytest.approx(80 * 0.1 / slow.step_seconds)


def test_jobs_share_what_all_of_them_use() -> None:
    one = load_of(replace(RUN, gpus_per_job=10), UnitCosts())
    ten = load_of(replace(RUN, gpus=100, gpus_per_job=10), UnitCosts())
    assert (ten.jobs, ten.step_seconds) == (10, one.step_seconds)
    assert ten.calls_per_second == pytest.approx(10 * one.calls_per_second)
    assert ten.writes_per_second == pytest.approx(10 * one.writes_per_second)
    shared = {"grading cores", "shared storage", "jobs service, one core", "database, one writer"}
    for mine, theirs in zip(one.parts, ten.parts, strict=True):
        assert theirs.seconds == pytest.approx(mine.seconds * (10 if mine.name in shared else 1))
