"""Sends data sets to the service, with a bar while a person waits; what is there already is not sent again."""

from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.cli.console import err, say, size
from pinetune.client.jobs import JobsClient
from pinetune.pod.errors import InvalidInput


def upload(client: JobsClient, path: Path) -> jobs_pb2.Dataset:
    """Return the data set of a file: the one with this name and content, or a new one."""
    found = client.find_dataset(path)
    if found is not None:
        say(f"{path.name}: already there as {found.dataset_id}")
        return found
    console = err()
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(path.name, total=path.stat().st_size)
        try:
            dataset = client.create_dataset(path, progress=lambda sent, _: progress.update(task, completed=sent))
        except InvalidInput as error:
            raise InvalidInput(f"{path.name}: {error.message}", reason=error.reason) from error
    say(f"{path.name}: uploaded as {dataset.dataset_id} ({dataset.row_count} rows, {size(dataset.size_bytes)})")
    for finding in dataset.findings:
        say(f"{path.name}: {where(finding)}{finding.message}")
    return dataset


def where(finding: jobs_pb2.DatasetFinding) -> str:
    """Return the beginning of a finding's line: `line 3, answer: `."""
    line = f"line {finding.line}" if finding.line else ""
    place = ", ".join(part for part in (line, finding.key) if part)
    return f"{place}: " if place else ""
