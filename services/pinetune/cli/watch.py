"""Follows a job: bars and a line of numbers on a terminal, plain lines or JSON elsewhere, the comparison at the end."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.cli import console
from pinetune.cli.comparison import comparison_table, items_compared, statistics_table
from pinetune.cli.connection import watch_command
from pinetune.cli.standing import Standing
from pinetune.client.jobs import WATCH_PATIENCE_SECONDS, JobsClient
from pinetune.pod.errors import PinetuneError

EXIT_OK, EXIT_NOT_SUCCEEDED = 0, 1
WARM_UP_LINE_SECONDS = 5.0
"""Between two lines of warm-up steps, by the steps' own times."""
LEVEL_STYLES = {jobs_pb2.EVENT_LEVEL_WARN: "yellow", jobs_pb2.EVENT_LEVEL_ERROR: "bold red"}


class View(Protocol):
    """Shows a watch to someone."""

    def show(self, message: jobs_pb2.WatchJobResponse, standing: Standing) -> None:
        """Show an event; `standing` has taken it up already."""
        ...


def watch_job(client: JobsClient, job_id: str, *, server: str, as_json: bool) -> int:
    """Follow a job until it ends; return the exit code. Ctrl-C ends the watch, not the job."""
    standing = Standing()

    def interrupted(error: PinetuneError) -> None:
        patience = console.duration(WATCH_PATIENCE_SECONDS)
        console.say(f"connection lost ({error}); trying again for up to {patience}, while the job goes on")

    def restored() -> None:
        console.say("connected again")

    try:
        with _view(as_json) as view:
            for message in client.watch(job_id, interrupted=interrupted, restored=restored):
                standing.take(message)
                view.show(message, standing)
    except KeyboardInterrupt:
        console.say(f"\nthe job goes on; come back with `{watch_command(job_id, server)}`")
        return EXIT_OK
    if not as_json:
        _show_result(client, client.get_job(job_id))
    return EXIT_OK if standing.job.state == jobs_pb2.JOB_STATE_SUCCEEDED else EXIT_NOT_SUCCEEDED


class JsonView:
    """One line of JSON for each event."""

    def show(self, message: jobs_pb2.WatchJobResponse, standing: Standing) -> None:
        """Print the message."""
        console.print_json_line(message)


class PlainView:
    """One line of text for each event, but for warm-up steps, of which a log wants a few and not hundreds."""

    def __init__(self) -> None:
        self._last_step_seconds = 0.0

    def show(self, message: jobs_pb2.WatchJobResponse, standing: Standing) -> None:
        """Print the time and what happened."""
        event = message.event
        if event.HasField("step") and self._is_skipped(event, standing.job):
            return
        text = standing.line() if event.HasField("step") else event.message
        level = jobs_pb2.EventLevel.Name(event.level).removeprefix("EVENT_LEVEL_").lower()
        warning = f"{level}: " if event.level in LEVEL_STYLES else ""
        print(f"{console.time(event.create_time)}  {warning}{text}", flush=True)

    def _is_skipped(self, event: jobs_pb2.Event, job: jobs_pb2.Job) -> bool:
        step, seconds = event.step, event.create_time.ToNanoseconds() / 1e9
        if (
            step.phase == jobs_pb2.JOB_PHASE_WARM_UP
            and not step.HasField("validation")
            and step.number not in (1, job.total_warm_up_steps)
            and seconds - self._last_step_seconds < WARM_UP_LINE_SECONDS
        ):
            return True
        self._last_step_seconds = seconds
        return False


class LiveView:
    """A bar for the warm-up, one for the training, a line of numbers; other events scroll by above."""

    def __init__(self, live: Live) -> None:
        self._live = live
        columns = (
            TextColumn("{task.description:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._progress = Progress(*columns)
        self._tasks: dict[str, TaskID] = {}

    def show(self, message: jobs_pb2.WatchJobResponse, standing: Standing) -> None:
        """Move the bars, and print an event that is no step."""
        event = message.event
        if event.type != jobs_pb2.EVENT_TYPE_METRICS:
            style = LEVEL_STYLES.get(event.level, "")
            self._live.console.print(
                Text.assemble((console.time(event.create_time), "dim"), "  ", (event.message, style))
            )
        job = standing.job
        warms_up = job.warm_up_step < job.total_warm_up_steps
        left = standing.seconds_left()
        self._move("warm-up", job.warm_up_step, job.total_warm_up_steps, left)
        self._move("training", job.step, job.total_steps, "" if warms_up else left)
        self._live.update(Group(self._progress, self._numbers(standing)))

    def _move(self, name: str, done: int, total: int, left: str) -> None:
        if not total:
            return
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, left="")
        self._progress.update(self._tasks[name], completed=done, total=total, left=left if done < total else "")

    def _numbers(self, standing: Standing) -> Text:
        line = Text()
        for name, value in standing.numbers():
            line.append(f"{name} ", "dim").append(f"{value}   ")
        if standing.job.waiting_for:
            line.append(f"waits for {standing.job.waiting_for}", "yellow")
        return line


@contextmanager
def _view(as_json: bool) -> Iterator[View]:
    if as_json:
        yield JsonView()
    elif sys.stdout.isatty():
        with Live(console=console.out(), refresh_per_second=4) as live:
            yield LiveView(live)
    else:
        yield PlainView()


def _show_result(client: JobsClient, job: jobs_pb2.Job) -> None:
    shown = console.out()
    shown.print(Text.assemble(f"job {job.job_id} ", console.state(job.state)))
    if job.HasField("error"):
        console.fail(f"{job.error.message} ({job.error.reason})")
    if job.fine_tuned_model:
        shown.print(f"model {job.fine_tuned_model}, in {job.model_uri}", soft_wrap=True)
    evaluations = [e for e in client.list_evaluations(job.job_id) if e.state == jobs_pb2.JOB_STATE_SUCCEEDED]
    evaluations.sort(key=lambda evaluation: evaluation.create_time.ToNanoseconds())
    if len(evaluations) > 1:
        comparison = jobs_pb2.Comparison(evaluations=evaluations)
        for index in range(len(evaluations) - 1):
            # Each in turn is the baseline of those after it: what the warm-up gave, and what the training added.
            later = client.compare_evaluations(e.evaluation_id for e in evaluations[index:])
            comparison.differences.extend(later.differences)
        shown.print(comparison_table(comparison, items=items_compared(job.spec)))
    elif evaluations:
        shown.print(statistics_table(evaluations, items=items_compared(job.spec)))
