"""`pinetune graders replay`: a job's stored rollouts under another grader, and which groups would have flipped."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.cli.connection import DEFAULT_SERVER, Server, grading_at, jobs_at
from pinetune.cli.console import AsJson, err, out, pairs, say, table
from pinetune.cli.grader_refusals import refusals
from pinetune.cli.job_file import GraderFile, read_grader
from pinetune.cli.rollouts import PURPOSES
from pinetune.client.grader_replay import Change, Flip, Regrade, Replay, compare
from pinetune.client.grader_view import sample_of_rollout, values_read
from pinetune.client.grading import CALL_SAMPLES, GradingClient
from pinetune.client.jobs import JobsClient
from pinetune.pod.errors import InvalidInput, NotFound

REPLAYED = ("training", "validation")
RANGE = re.compile(r"(\d*):(\d*)|(\d+)")
CHANGES_SHOWN = 2


def replay(
    file: GraderFile,
    job_id: Annotated[str, typer.Option("--job", metavar="JOB", help="The job whose rollouts to grade again.")],
    step: Annotated[str, typer.Option(metavar="A:B", help="Only these steps, both ends included.")] = ":",
    purpose: Annotated[str, typer.Option(help="Rollouts for: training or validation.")] = "training",
    limit: Annotated[int, typer.Option(min=0, help="Most flipped groups to show, the widest swings first.")] = 10,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Grade a job's stored rollouts with another grader, and show which groups would have taught something else.

    A group flips where a completion changes sides of its group's mean, two completions change places, or all spread is
    gained or lost. The only completion of its group is compared with the mean of all such ones of its step.
    """
    with refusals(as_json):
        if purpose not in REPLAYED:
            raise InvalidInput(f"--purpose: {purpose!r} is none of {', '.join(REPLAYED)}", reason="UNKNOWN_PURPOSE")
        grader_json = read_grader(file)
        with jobs_at(server) as jobs, grading_at(server) as grading:
            grading.validate(grader_json)
            steps = _steps(step, jobs.get_job(job_id).step)
            found = compare(_regrades(jobs, grading, job_id, steps, purpose, grader_json))
        if not found.completion_count:
            raise NotFound(f"job {job_id} has no rollouts for {purpose} in steps {step}", reason="NO_ROLLOUTS")
    if as_json:
        content = {
            "job_id": job_id,
            "purpose": purpose,
            "steps": [steps.start, steps.stop - 1],
            **_content(found, limit),
        }
        print(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        _show(found, job_id, limit)


def _steps(text: str, last: int) -> range:
    """Return the steps of `A:B`, `A:`, `:B` or `A`; the job's last one where B is left out."""
    match = RANGE.fullmatch(text)
    if match is None:
        raise InvalidInput(f"--step: must be A:B, A:, :B or A; it is {text!r}", reason="INVALID_STEPS")
    begin, end, only = match.groups()
    start = int(only or begin or 0)
    stop = min(int(only or end or last), last)
    if stop < start:
        raise InvalidInput(f"--step: {text!r} names no step; the job's last one is {last}", reason="INVALID_STEPS")
    return range(start, stop + 1)


def _regrades(
    jobs: JobsClient, grading: GradingClient, job_id: str, steps: range, purpose: str, grader_json: str
) -> list[Regrade]:
    """Return both scores of every completion, read step by step and graded in batches."""
    console, regrades = err(), list[Regrade]()
    columns = TextColumn("steps"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(steps))

        def rollouts() -> Iterator[rollout_pb2.Rollout]:
            for step in steps:
                yield from jobs.list_rollouts(job_id=job_id, step=step, purpose=PURPOSES[purpose])
                progress.advance(task)

        left, values = rollouts(), values_read(json.loads(grader_json))
        while batch := list(islice(left, CALL_SAMPLES)):
            graded = grading.grade_samples(grader_json, [sample_of_rollout(rollout, values) for rollout in batch])
            regrades += [
                Regrade(
                    completion_id=rollout.completion.completion_id,
                    item_id=rollout.item.item_id,
                    step=rollout.step,
                    purpose=purpose,
                    old=rollout.grade.score if rollout.grade.WhichOneof("outcome") == "score" else None,
                    new=grade.score,
                    new_error=f"{grade.error.error_class}: {grade.error.detail}" if grade.error else "",
                )
                for rollout, grade in zip(batch, graded.grades, strict=True)
            ]
    return regrades


def _content(found: Replay, limit: int) -> dict[str, object]:
    return {
        "completions": found.completion_count,
        "groups": found.group_count,
        "single_completions": found.single_count,
        "flips": {"count": len(found.flips), "by_reason": dict(sorted(found.reason_counts.items()))},
        "mean_grade": {"old": found.old_mean, "new": found.new_mean},
        "ungraded": {"old": found.old_ungraded, "new": found.new_ungraded},
        "errors": [{"error": text, "count": count} for text, count in found.new_errors],
        "kendall_tau_b": found.tau_b,
        "worst_flips": [
            {
                "step": flip.step,
                "item_id": flip.item_id,
                "reasons": flip.reasons,
                "swing": flip.swing,
                "completions": [vars(change) for change in flip.changes],
            }
            for flip in found.flips[:limit]
        ],
    }


def _show(found: Replay, job_id: str, limit: int) -> None:
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(found.reason_counts.items()))
    out().print(
        pairs(
            [
                ("completions", str(found.completion_count)),
                (
                    "groups",
                    f"{found.group_count}, and {found.single_count} completions that are their group's only one",
                ),
                ("flipped", f"{len(found.flips)}{f' ({reasons})' if reasons else ''}"),
                ("mean grade", f"{_score(found.old_mean)} → {_score(found.new_mean)}"),
                ("ungraded", f"{found.old_ungraded} → {found.new_ungraded}"),
                *(("error", f"{count}x {' '.join(text.split())}") for text, count in found.new_errors),
                ("Kendall's tau-b", _score(found.tau_b)),
            ]
        )
    )
    rows = [row for flip in found.flips[:limit] for row in _rows(flip)]
    if rows:
        out().print(table(["step>", "item", "why", "completion", "grade", "advantage"], rows))
        shown = min(limit, len(found.flips))
        say(f"{shown} of {len(found.flips)} flips shown; `pinetune rollouts get {job_id} COMPLETION` shows more of one")


def _rows(flip: Flip) -> Iterator[Sequence[str]]:
    """Yield a line for each of the completions that swing the most."""
    why = ", ".join(flip.reasons)
    for change in flip.changes[:CHANGES_SHOWN]:
        yield str(flip.step), flip.item_id, why, change.completion_id, *_moves(change)


def _moves(change: Change) -> tuple[str, str]:
    return (
        f"{_score(change.old)} → {_score(change.new)}",
        f"{_score(change.old_advantage, '+.3f')} → {_score(change.new_advantage, '+.3f')}",
    )


def _score(value: float | None, form: str = ".3f") -> str:
    return "none" if value is None else f"{value:{form}}"
