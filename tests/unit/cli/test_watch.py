import io
import math

import pytest
from rich.console import Console
from rich.live import Live
from tests.fakes import history

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.cli.standing import Standing
from pinetune.cli.watch import LiveView, PlainView


@pytest.fixture
def standing() -> Standing:
    return Standing()


def test_a_terminal_sees_bars_numbers_and_events_but_no_line_per_step(standing: Standing) -> None:
    messages = history.reinforcement("ftjob-rl", step_count=10, warm_up_count=3, eval_interval=5).messages
    screen = io.StringIO()
    with Live(
        console=Console(file=screen, force_terminal=True, width=140, color_system=None), auto_refresh=False
    ) as live:
        view = LiveView(live)
        for message in messages[:9]:
            standing.take(message)
            view.show(message, standing)
        live.refresh()
    shown = screen.getvalue()
    assert "the job is running" in shown
    assert "3/3" in shown
    assert "4/10" in shown
    assert "1 min 18 s left" in shown
    assert "validation 0.2" in shown
    assert "step 4" not in shown


def test_a_terminal_sees_the_time_left_of_the_warm_up_at_its_bar(standing: Standing) -> None:
    step = wire.Step(number=5, phase=wire.JOB_PHASE_WARM_UP)
    job = wire.Job(warm_up_step=5, total_warm_up_steps=24, total_steps=9, estimated_seconds_left=38.0)
    message = wire.WatchJobResponse(event=wire.Event(step=step, type=wire.EVENT_TYPE_METRICS), job=job)
    screen = io.StringIO()
    with Live(
        console=Console(file=screen, force_terminal=True, width=140, color_system=None), auto_refresh=False
    ) as live:
        standing.take(message)
        LiveView(live).show(message, standing)
        live.refresh()
    shown = [line.rstrip() for line in screen.getvalue().splitlines()]
    assert any(line.endswith("5/24 38 s left") for line in shown)
    assert any(line.endswith("0/9") for line in shown)


def test_a_validation_of_which_too_little_was_graded_is_never_the_best(standing: Standing) -> None:
    job = wire.Job(total_steps=3)
    job.spec.pinetune.policies.max_ungraded_share = 0.5
    for number, (reward, graded) in enumerate(((math.nan, 0), (0.9, 1), (0.4, 10))):
        step = wire.Step(number=number, phase=wire.JOB_PHASE_TRAINING)
        step.validation.reward_mean = reward
        step.validation.grades.MergeFrom(
            wire.GradeCounts(sampled_count=10, graded_count=graded, ungraded_count=10 - graded)
        )
        standing.take(wire.WatchJobResponse(event=wire.Event(step=step), job=job))
        if not graded:
            assert dict(standing.numbers())["validation"] == "ungraded"
    assert dict(standing.numbers())["best"] == "0.400"


def test_the_best_validation_is_kept_when_a_later_one_is_worse(standing: Standing) -> None:
    for number, reward in enumerate((0.2, 0.5, 0.4)):
        step = wire.Step(number=number, phase=wire.JOB_PHASE_TRAINING)
        step.validation.reward_mean = reward
        step.validation.grades.MergeFrom(wire.GradeCounts(sampled_count=4, graded_count=4))
        standing.take(wire.WatchJobResponse(event=wire.Event(step=step), job=wire.Job(total_steps=3)))
    numbers = dict(standing.numbers())
    assert numbers["validation"].startswith("0.400")
    assert numbers["best"] == "0.500"


def test_what_is_not_known_yet_has_no_number(standing: Standing) -> None:
    assert list(standing.numbers()) == []
    step = wire.Step(number=1, phase=wire.JOB_PHASE_TRAINING)
    standing.take(wire.WatchJobResponse(event=wire.Event(step=step), job=wire.Job(step=1, total_steps=3)))
    assert list(standing.numbers()) == []
    assert standing.line() == "training 1/3"


def test_a_log_gets_a_warm_up_line_every_few_seconds_and_always_the_first_and_last(
    capsys: pytest.CaptureFixture[str],
) -> None:
    standing, view = Standing(), PlainView()
    job = wire.Job(total_warm_up_steps=24)
    for number in range(1, 25):
        step = wire.Step(number=number, phase=wire.JOB_PHASE_WARM_UP)
        step.warm_up.loss = 1.0
        event = wire.Event(step=step, type=wire.EVENT_TYPE_METRICS, create_time=history.at(number))
        message = wire.WatchJobResponse(event=event, job=job)
        standing.take(message)
        view.show(message, standing)
    shown = [line.split("warm-up ")[1].split("/")[0] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["1", "6", "11", "16", "21", "24"]
