"""`pinetune graders`: validate, run, test."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pinetune.api.grading.v1 import grading_pb2
from pinetune.cli.connection import DEFAULT_SERVER, Server, grading_at
from pinetune.cli.console import AsJson, out, print_json, say, table
from pinetune.cli.job_file import read_grader
from pinetune.cli.rollouts import grade
from pinetune.cli.yaml_files import Json, read_text
from pinetune.pod.errors import InvalidInput, Unsupported

app = typer.Typer(no_args_is_help=True, help="Check graders, and try them on texts, before a job spends time on them.")

GraderFile = Annotated[Path, typer.Argument(metavar="GRADER.YAML", help="A grader file, or a job file with a grader.")]
BATCH_SAMPLES = 1000


@app.command("validate")
def validate(
    file: GraderFile,
    dataset: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Check templates against this file's keys.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Check a grader and print it with every default written out."""
    grader_json = read_grader(file)
    keys = _common_keys(dataset) if dataset else []
    with grading_at(server) as client:
        valid = client.validate(grader_json, item_keys=keys)
    if as_json:
        print_json(grading_pb2.ValidateGraderResponse(json=valid.json, fingerprint=valid.fingerprint))
        return
    print(json.dumps(json.loads(valid.json), indent=2, ensure_ascii=False))
    say(f"valid; fingerprint {valid.fingerprint}")


@app.command("run")
def run(
    file: GraderFile,
    sample: Annotated[str | None, typer.Option(metavar="TEXT", help="One text to grade.")] = None,
    item: Annotated[str, typer.Option(metavar="JSON", help='The item of --sample, e.g. \'{"answer": "4"}\'.')] = "{}",
    samples: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON Lines with `model_sample` and `item` in each row.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Grade one text, or every row of a file."""
    if (sample is None) == (samples is None):
        raise InvalidInput("give either --sample or --samples", reason="NOTHING_TO_GRADE")
    grader_json = read_grader(file)
    rows = _rows(samples) if samples else [(str(sample), _item("--item", item))]
    response = grading_pb2.GradeResponse()
    with grading_at(server) as client:
        for start in range(0, len(rows), BATCH_SAMPLES):
            batch = rows[start : start + BATCH_SAMPLES]
            graded = client.grade(
                grader_json,
                items_json=[json.dumps(fields, ensure_ascii=False) for _, fields in batch],
                output_texts=[text for text, _ in batch],
                item_indexes=range(len(batch)),
            )
            response.grades.extend(each.to_wire() for each in graded.grades)
            for model, count in graded.judge_tokens.items():
                response.judge_tokens[model] += count
    if as_json:
        print_json(response)
    else:
        _show(rows, response)


@app.command("test")
def test() -> None:
    """Test a grader against examples whose grades are known. Belongs to a later version."""
    raise Unsupported(
        "`pinetune graders test` comes with a later version; `pinetune graders run --samples` grades a file today",
        reason="NOT_YET",
    )


def _show(rows: Sequence[tuple[str, dict[str, Json]]], response: grading_pb2.GradeResponse) -> None:
    shown = [
        (str(number), grade(each), each.extracted_answer, Text(each.error.detail or " ".join(text.split())[:80]))
        for number, ((text, _), each) in enumerate(zip(rows, response.grades, strict=True), 1)
    ]
    out().print(table(["row>", "grade>", "answer found", "text"], shown))
    scores = [each.score for each in response.grades if each.WhichOneof("outcome") == "score"]
    mean = f"mean {sum(scores) / len(scores):.4f}, " if scores else ""
    say(f"{mean}{len(scores)} graded, {len(rows) - len(scores)} ungraded")


def _rows(path: Path) -> list[tuple[str, dict[str, Json]]]:
    rows, faults = [], []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = _item(f"{path}:{number}", line)
            text, fields = row.get("model_sample"), row.get("item", {})
            if not isinstance(text, str) or not isinstance(fields, dict):
                raise InvalidInput(
                    f"{path}:{number}: needs model_sample, a text, and item, an object", reason="BAD_ROW"
                )
            rows.append((text, fields))
        except InvalidInput as error:
            faults.append(str(error))
    if faults:
        raise InvalidInput("\n".join(faults[:10]), reason="BAD_ROW")
    return rows


def _common_keys(path: Path) -> list[str]:
    """Return the keys that every row of a data set has."""
    keys: set[str] | None = None
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            row = set(_item(f"{path}:{number}", line))
            keys = row if keys is None else keys & row
    return sorted(keys or ())


def _item(place: str, text: str) -> dict[str, Json]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{place}: not JSON: {error.msg} at character {error.pos + 1}", reason="BAD_ROW") from error
    if not isinstance(content, dict):
        raise InvalidInput(f"{place}: not a JSON object", reason="BAD_ROW")
    return content
