"""`pinetune datasets`: upload, list, check."""

from pathlib import Path
from typing import Annotated

import typer

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.api.jobs.v1.spec_pb2 import DatasetSettings
from pinetune.cli.connection import DEFAULT_SERVER, Server, jobs_at
from pinetune.cli.console import AsJson, out, pairs, print_json, size, table, time
from pinetune.cli.uploads import upload, where
from pinetune.client.jobs import JobsClient
from pinetune.pod.errors import InvalidInput

app = typer.Typer(no_args_is_help=True, help="Upload data sets, and see what they hold and share.")

DataFile = Annotated[Path, typer.Argument(metavar="FILE", help="A JSON Lines file.")]
FileOrId = Annotated[str, typer.Argument(metavar="FILE|ID", help="A JSON Lines file, or the id of a data set.")]


@app.command("upload")
def upload_file(path: DataFile, server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Upload a file; one that is there already is not sent again."""
    if not path.is_file():
        raise InvalidInput(f"{path}: no such file", reason="FILE_NOT_FOUND")
    with jobs_at(server) as client:
        dataset = upload(client, path)
    if as_json:
        print_json(dataset)
    else:
        print(dataset.dataset_id)


@app.command("list")
def list_datasets(server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """List the data sets, newest first."""
    with jobs_at(server) as client:
        datasets = list(client.list_datasets())
    if as_json:
        print_json(jobs_pb2.ListDatasetsResponse(datasets=datasets))
        return
    rows = [(d.dataset_id, d.filename, str(d.row_count), size(d.size_bytes), time(d.create_time)) for d in datasets]
    out().print(table(["id", "file", "rows>", "size>", "uploaded"], rows))


@app.command("check")
def check(
    training: FileOrId,
    validation: FileOrId,
    reference: Annotated[str, typer.Option(help="Key of the reference answer.")] = "answer",
    prompt: Annotated[str, typer.Option(help="Template of the prompt, e.g. '{{item.question}}'.")] = "",
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Say what two data sets share: prompts and reference answers."""
    settings = DatasetSettings(reference=reference, prompt=prompt)
    with jobs_at(server) as client:
        ids = [_dataset_id(client, each) for each in (training, validation)]
        found = client.check_datasets(ids[0], ids[1], settings)
    if as_json:
        print_json(found)
        return
    shared = ", ".join(found.shared_answers) + (" …" if found.shared_answer_count > len(found.shared_answers) else "")
    out().print(
        pairs(
            [
                ("prompts of validation also in training", str(found.shared_prompt_count)),
                (
                    "reference answers of validation also in training",
                    f"{found.shared_answer_count} of {found.validation_answer_count}",
                ),
                ("such answers", shared.strip()),
                *(("", f"{where(finding)}{finding.message}") for finding in found.findings),
            ]
        )
    )


def _dataset_id(client: JobsClient, file_or_id: str) -> str:
    path = Path(file_or_id)
    return upload(client, path).dataset_id if path.is_file() else file_or_id
