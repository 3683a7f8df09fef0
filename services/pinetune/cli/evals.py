"""`pinetune evals`: create, get, list, compare."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import ParseDict, ParseError
from rich.text import Text

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.cli import console
from pinetune.cli.comparison import comparison_table, statistics_table
from pinetune.cli.connection import DEFAULT_SERVER, Server, jobs_at
from pinetune.cli.console import AsJson, out, print_json, say, table
from pinetune.cli.job_file import ID_PREFIX
from pinetune.cli.uploads import upload
from pinetune.cli.yaml_files import read_object
from pinetune.client.jobs import ENDED, JobsClient
from pinetune.pod.errors import InvalidInput

app = typer.Typer(no_args_is_help=True, help="Measure models on data sets, and set the results side by side.")

POLL_SECONDS = 2.0
EvaluationId = Annotated[str, typer.Argument(metavar="EVAL", help="Id of the evaluation.")]


@app.command("create")
def create(
    file: Annotated[Path, typer.Option("--file", "-f", metavar="EVAL.YAML", help="What to measure, and how.")],
    name: Annotated[str, typer.Option(help="Name in tables, in place of the file's.")] = "",
    model: Annotated[
        str, typer.Option(help="A folder, a hub id, `job:JOB` or a checkpoint, in place of the file's.")
    ] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result.")] = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Measure a model. The file has the keys name, model, dataset_id (or a path), grader, dataset, sampling, …"""
    order, local = read_evaluation_file(file, name=name, model=model)
    with jobs_at(server) as client:
        if local is not None:
            order.dataset_id = upload(client, local).dataset_id
        evaluation = client.create_evaluation(order)
        if wait:
            evaluation = _ended(client, evaluation)
    if as_json:
        print_json(evaluation)
    elif wait:
        _show(evaluation)
    else:
        print(evaluation.evaluation_id)
    if wait and evaluation.state != jobs_pb2.JOB_STATE_SUCCEEDED:
        raise typer.Exit(1)


@app.command("get")
def get(evaluation_id: EvaluationId, server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Show one evaluation."""
    with jobs_at(server) as client:
        evaluation = client.get_evaluation(evaluation_id)
    if as_json:
        print_json(evaluation)
    else:
        _show(evaluation)


@app.command("list")
def list_evaluations(
    job: Annotated[str, typer.Option(metavar="JOB", help="Only this job's.")] = "",
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """List the evaluations, newest first."""
    with jobs_at(server) as client:
        evaluations = list(client.list_evaluations(job))
    if as_json:
        print_json(jobs_pb2.ListEvaluationsResponse(evaluations=evaluations))
        return
    rows = [
        (
            e.evaluation_id,
            e.order.name,
            console.state(e.state),
            e.order.model,
            _headline(e),
            console.time(e.create_time),
        )
        for e in evaluations
    ]
    out().print(table(["id", "name", "state", "model", "result", "created"], rows))


@app.command("compare")
def compare(
    evaluation_ids: Annotated[list[str], typer.Argument(metavar="EVAL EVAL...", help="The first is the baseline.")],
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Set evaluations of the same items side by side: statistics and paired differences with 95% intervals."""
    if len(evaluation_ids) < 2:
        raise InvalidInput("a comparison needs two evaluations or more", reason="TOO_FEW_EVALUATIONS")
    with jobs_at(server) as client:
        comparison = client.compare_evaluations(evaluation_ids)
    if as_json:
        print_json(comparison)
    else:
        out().print(comparison_table(comparison))


def read_evaluation_file(
    path: Path, *, name: str = "", model: str = ""
) -> tuple[jobs_pb2.EvaluationOrder, Path | None]:
    """Return the order of a file and the data set to upload first, if it names one by its path."""
    content = read_object(path)
    content |= {key: value for key, value in (("name", name), ("model", model)) if value}
    grader = content.pop("grader", None)
    if not isinstance(grader, dict):
        raise InvalidInput(f"{path}: grader: a mapping is required", reason="GRADER_NOT_FOUND")
    try:
        order = ParseDict(content, jobs_pb2.EvaluationOrder())
    except ParseError as error:
        raise InvalidInput(f"{path}: {' '.join(str(error).split())}", reason="FILE_MALFORMED") from error
    order.grader.json = json.dumps(grader, ensure_ascii=False)
    local = path.parent / order.dataset_id
    if order.dataset_id and local.is_file():
        return order, local.resolve()
    if not order.dataset_id.startswith(ID_PREFIX):
        given = f"no file {local} and no data set's id ({ID_PREFIX}…); given {order.dataset_id!r}"
        raise InvalidInput(f"dataset_id: {given}", reason="FILE_NOT_FOUND")
    return order, None


def _ended(client: JobsClient, evaluation: jobs_pb2.Evaluation) -> jobs_pb2.Evaluation:
    say(f"waits for {evaluation.evaluation_id}")
    while evaluation.state not in ENDED:
        time.sleep(POLL_SECONDS)
        evaluation = client.get_evaluation(evaluation.evaluation_id)
    return evaluation


def _show(evaluation: jobs_pb2.Evaluation) -> None:
    order = evaluation.order
    rows: list[tuple[str, str | Text]] = [
        ("evaluation", evaluation.evaluation_id),
        ("name", order.name),
        ("state", console.state(evaluation.state)),
        ("error", f"{evaluation.error.message} ({evaluation.error.reason})" if evaluation.HasField("error") else ""),
        ("model", order.model),
        ("data set", order.dataset_id),
        ("job", order.job_id),
        ("created", console.time(evaluation.create_time)),
        ("ended", console.time(evaluation.end_time)),
    ]
    out().print(console.pairs(rows))
    if evaluation.statistics:
        out().print(statistics_table([evaluation]))


def _headline(evaluation: jobs_pb2.Evaluation) -> str:
    if not evaluation.statistics:
        return ""
    first = evaluation.statistics[0]
    return f"{first.name} {console.interval(first.value, first.low, first.high)}"
