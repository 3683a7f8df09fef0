"""`pinetune graders test`: a grader against a labelled set, as a gate that a script can rely on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pinetune.cli.connection import DEFAULT_SERVER, Local, Server, grading_at
from pinetune.cli.console import EXIT_MISSED, AsJson, err, fail, out, say, table
from pinetune.cli.grader_cases import numbered_lines
from pinetune.cli.grader_refusals import refusals
from pinetune.cli.job_file import GraderFile, read_grader
from pinetune.client.grader_labels import Case, read_case
from pinetune.client.grader_samples import BAD_ROW, Sample, read_row
from pinetune.client.grader_test import Limits, Miss, Report, run_test
from pinetune.client.grading import GradedBatch, GradingClient
from pinetune.pod.errors import InvalidInput

FAULTS_LISTED = 10
MEASURED = "longest time of the grading service for one sample in a call of its own, in the last repeat"


def gate(
    file: GraderFile,
    cases: Annotated[
        Path,
        typer.Option(metavar="FILE", help="JSON Lines: sample and item with score or error, or better and worse."),
    ],
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Times that every case is graded.")] = 3,
    tolerance: Annotated[float, typer.Option(min=0, help="How far a score may be off.")] = 1e-6,
    min_agreement: Annotated[float, typer.Option(min=0, max=1, help="Smallest share of cases that hold.")] = 1.0,
    max_seconds: Annotated[float | None, typer.Option(min=0, help="Longest time of one grade.")] = None,
    server: Server = DEFAULT_SERVER,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Test a grader against cases whose grades are known. Exit code 1 where it fails.

    Every case must hold in each repeat, and be graded the same in all of them. In the last repeat each sample is sent
    by itself: the longest time that the service takes for one is the worst latency.
    """
    with refusals(as_json):
        labelled = _cases(cases)
        grader_json = read_grader(file)
        limits = Limits(repeats, tolerance, min_agreement, max_seconds)
        with grading_at(server, local=local) as client:
            report = _report(client, client.validate(grader_json).json, labelled, limits)
    if as_json:
        print(json.dumps(_content(report), indent=2, ensure_ascii=False))
    else:
        _show(report)
    if not report.passed:
        raise typer.Exit(EXIT_MISSED)


def _report(client: GradingClient, grader_json: str, cases: Sequence[Case], limits: Limits) -> Report:
    console = err()
    columns = TextColumn("grading"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=limits.repeats * sum(len(case.samples) for case in cases))

        def grade(samples: Sequence[Sample]) -> GradedBatch:
            graded = client.grade_samples(grader_json, samples, fresh_answers=True)
            progress.advance(task, len(samples))
            return graded

        return run_test(cases, grade, limits)


def _cases(path: Path) -> list[Case]:
    found, faults = [], []
    for line, text in numbered_lines(path):
        try:
            found.append(read_case(read_row(text), line))
        except InvalidInput as error:
            faults.append(f"{path}:{line}: {error.message}")
    if faults:
        rest = [f"and {len(faults) - FAULTS_LISTED} more"] * (len(faults) > FAULTS_LISTED)
        raise InvalidInput("\n".join([*faults[:FAULTS_LISTED], *rest]), reason=BAD_ROW)
    return found


def _content(report: Report) -> dict[str, object]:
    limits = report.limits
    return {
        "passed": report.passed,
        "failures": report.failures,
        "agreement": {
            "agreed": report.agreed_count,
            "cases": report.case_count,
            "share": report.agreement,
            "min_agreement": limits.min_agreement,
            "tolerance": limits.tolerance,
        },
        "disagreements": [vars(miss) for miss in report.disagreements],
        "order_violations": [vars(miss) for miss in report.order_violations],
        "determinism": {"repeats": limits.repeats, "unstable": [vars(miss) for miss in report.unstable]},
        "latency": {
            "worst_seconds": report.worst_seconds,
            "line": report.worst_line,
            "max_seconds": limits.max_seconds,
            "measured": MEASURED,
        },
    }


def _show(report: Report) -> None:
    rows: list[tuple[str, ...]] = []
    for what, misses in (
        ("disagrees", report.disagreements),
        ("order", report.order_violations),
        ("unstable", report.unstable),
    ):
        rows += [_row(what, miss) for miss in misses]
    if rows:
        out().print(table(["line>", "what", "expected", "got", "text"], rows))
    say(
        f"{report.agreed_count} of {report.case_count} cases hold; {len(report.order_violations)} orders violated; "
        f"{len(report.unstable)} cases differ over {report.limits.repeats} repeats; worst latency "
        f"{1000 * (report.worst_seconds or 0):.3g} ms, line {report.worst_line} ({MEASURED})"
    )
    for sentence in report.failures:
        fail(sentence)


def _row(what: str, miss: Miss) -> tuple[str, ...]:
    return str(miss.line), what, miss.expected, miss.got, miss.text
