"""`pinetune graders`: validate, run, test, replay."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue
from rich.text import Text

from pinetune.api.grading.v1 import grading_pb2
from pinetune.cli import grader_replays, grader_tests
from pinetune.cli.connection import DEFAULT_SERVER, Local, Server, grading_at
from pinetune.cli.console import (
    EXIT_MISSED,
    AsJson,
    as_dict,
    out,
    print_json,
    say,
    table,
)
from pinetune.cli.grader_cases import answers, numbered_lines
from pinetune.cli.grader_refusals import EXITS, refusals
from pinetune.cli.job_file import GraderFile, read_grader
from pinetune.cli.rollouts import grade
from pinetune.client.grader_kinds import idle_parts, parts_of
from pinetune.client.grader_run import run_response
from pinetune.client.grader_samples import BAD_ROW, Sample, read_row, sample_of
from pinetune.client.grading import GradedBatch, GradingClient
from pinetune.pod.errors import InvalidInput

app = typer.Typer(no_args_is_help=True, help="Check graders, and try them on texts, before a job spends time on them.")
app.command("test", epilog=EXITS)(grader_tests.gate)
app.command("replay", epilog=EXITS)(grader_replays.replay)
FAULTS_SHOWN = 10
NOTES_SHOWN = 10
"""Most reasons of failed grades that are told beside the responses, which have no place for them."""


@app.command("validate", epilog=EXITS)
def validate(
    file: GraderFile,
    dataset: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Check templates against this file's keys.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Check a grader and print it with every default written out."""
    with refusals(as_json):
        grader_json = read_grader(file)
        keys = _common_keys(dataset) if dataset else []
        with grading_at(server, local=local) as client:
            valid = client.validate(grader_json, item_keys=keys)
    normalised = json.loads(valid.json)
    if as_json:
        message = grading_pb2.ValidateGraderResponse(json=valid.json, fingerprint=valid.fingerprint)
        print(json.dumps({"grader": normalised, **as_dict(message)}, indent=2, ensure_ascii=False))
        return
    print(json.dumps(normalised, indent=2, ensure_ascii=False))
    say(f"valid; fingerprint {valid.fingerprint}")
    for name in idle_parts(normalised):
        say(f"note: graders.{name} is in neither calculate_output, gate nor shadow; only its errors count")
    if any(part.get("image_tag") for _, part in parts_of(normalised)):
        say("note: image_tag has no effect; Python graders run with the libraries installed beside the service")


@app.command("run", epilog=EXITS)
def run(
    file: Annotated[Path | None, typer.Argument(metavar="[GRADER]", help="The same as --grader.")] = None,
    grader: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A grader file, or a job file with a grader; YAML or JSON.")
    ] = None,
    sample: Annotated[str | None, typer.Option(metavar="TEXT", help="One text to grade.")] = None,
    item: Annotated[str, typer.Option(metavar="JSON", help='The item of --sample, e.g. \'{"answer": "4"}\'.')] = "{}",
    samples: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON Lines with `model_sample` and `item` in each row.")
    ] = None,
    cases: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON Lines with `grader`, `sample` and `item` in each row.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Grade one text, every row of a file, or cases that bring graders of their own.

    One text with --json, and each of --cases, is answered with a response of the openai graders API; its reward is null
    where there is no grade. A case that is wrong is answered with its error, and the exit code is 1.
    """
    with refusals(as_json):
        if sum(given is not None for given in (sample, samples, cases)) != 1:
            raise InvalidInput("give exactly one of --sample, --samples and --cases", reason="NOTHING_TO_GRADE")
        given = [each for each in (file, grader) if each is not None]
        if cases is not None:
            if given:
                sentence = "--cases: each row has a grader of its own; give no other"
                raise InvalidInput(sentence, reason="GRADER_GIVEN_TWICE")
            with grading_at(server, local=local) as client:
                _run_cases(cases, client)
            return
        if len(given) != 1:
            reason = "GRADER_GIVEN_TWICE" if given else "NO_GRADER"
            raise InvalidInput("give one grader, as --grader FILE", reason=reason)
        rows = _rows(samples) if samples is not None else [sample_of({"sample": sample, "item": _item("--item", item)})]
        grader_json = read_grader(given[0])
        with grading_at(server, local=local) as client:
            # Refuses what grading would only find out sample by sample: a source that cannot be compiled.
            checked = client.validate(grader_json)
            graded = client.grade_samples(checked.json, rows)
    if not as_json:
        _show(rows, graded)
    elif samples is None:
        _print_response(checked.json, graded)
    else:
        grades = [each.to_wire() for each in graded.grades]
        response = grading_pb2.GradeResponse(grades=grades, judge_tokens=graded.judge_tokens)
        response.grading_seconds = graded.grading_seconds
        print_json(response)


def _print_response(grader_json: str, graded: GradedBatch) -> None:
    if error := graded.grades[0].error:
        say(error.detail)
    response = run_response(
        json.loads(grader_json),
        graded.grades[0],
        seconds=graded.grading_seconds,
        judge_tokens=graded.judge_tokens,
    )
    print(json.dumps(response, ensure_ascii=False))


def _run_cases(path: Path, client: GradingClient) -> None:
    found = answers(path, client)
    print("".join(json.dumps(each.content, ensure_ascii=False) + "\n" for each in found), end="")
    notes = [each.note for each in found if each.note]
    for note in notes[:NOTES_SHOWN]:
        say(note)
    if len(notes) > NOTES_SHOWN:
        say(f"and {len(notes) - NOTES_SHOWN} more without a grade")
    if wrong := sum(each.wrong for each in found):
        say(f"{wrong} of {len(found)} cases are wrong")
        raise typer.Exit(EXIT_MISSED)


def _show(rows: Sequence[Sample], graded: GradedBatch) -> None:
    shown = [
        (
            str(number),
            grade(each.to_wire()),
            each.extracted_answer,
            Text(each.error.detail if each.error else row.excerpt),
        )
        for number, (row, each) in enumerate(zip(rows, graded.grades, strict=True), 1)
    ]
    out().print(table(["row>", "grade>", "answer found", "text"], shown))
    scores = [each.score for each in graded.grades if each.score is not None]
    mean = f"mean {sum(scores) / len(scores):.4f}, " if scores else ""
    say(f"{mean}{len(scores)} graded, {len(rows) - len(scores)} ungraded")


def _rows(path: Path) -> list[Sample]:
    rows, faults = [], []
    for number, line in numbered_lines(path):
        try:
            row = read_row(line)
            if not isinstance(row.get("model_sample"), str):
                raise InvalidInput("needs model_sample, a text", reason=BAD_ROW)
            rows.append(sample_of(row, "model_sample"))
        except InvalidInput as error:
            faults.append(f"{path}:{number}: {error.message}")
    if faults:
        more = [f"and {len(faults) - FAULTS_SHOWN} more"] if len(faults) > FAULTS_SHOWN else []
        raise InvalidInput("\n".join([*faults[:FAULTS_SHOWN], *more]), reason=BAD_ROW)
    return rows


def _common_keys(path: Path) -> list[str]:
    """Return the keys that every row of a data set has."""
    keys: set[str] | None = None
    for number, line in numbered_lines(path):
        row = set(_item(f"{path}:{number}", line))
        keys = row if keys is None else keys & row
    return sorted(keys or ())


def _item(place: str, text: str) -> dict[str, JsonValue]:
    try:
        return read_row(text)
    except InvalidInput as error:
        raise InvalidInput(f"{place}: {error.message}", reason=BAD_ROW, field=place) from error
