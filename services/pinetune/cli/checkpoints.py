"""`pinetune checkpoints`: list, export."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.cli import console
from pinetune.cli.connection import DEFAULT_SERVER, Server, jobs_at
from pinetune.cli.console import AsJson, out, print_json, say, table
from pinetune.cli.jobs import JobId
from pinetune.client.jobs import JobsClient
from pinetune.pod.errors import Conflict, InvalidInput, NotFound
from pinetune.pod.storage import fetch_files, files_in, open_address

app = typer.Typer(no_args_is_help=True, help="See the policies that a job kept, and take them home.")

CHECKPOINT_PREFIX = "ftckpt-"


@app.command("list")
def list_checkpoints(job_id: JobId, server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """List a job's checkpoints, newest first."""
    with jobs_at(server) as client:
        checkpoints = list(client.list_checkpoints(job_id))
    if as_json:
        print_json(jobs_pb2.ListCheckpointsResponse(checkpoints=checkpoints))
        return
    rows = [(c.checkpoint_id, str(c.step_number), _kind(c), _validation(c), c.policy_uri) for c in checkpoints]
    out().print(table(["id", "step>", "kept as", "validation", "folder"], rows))


@app.command("export")
def export(
    source: Annotated[
        str, typer.Argument(metavar="JOB|CHECKPOINT", help="A job, for its final model, or a checkpoint.")
    ],
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write; must not exist.")],
    server: Server = DEFAULT_SERVER,
) -> None:
    """Copy a model's folder, in Hugging Face format."""
    if target.exists():
        raise InvalidInput(f"{target}: is there already; name a new folder", reason="TARGET_EXISTS")
    with jobs_at(server) as client:
        uri = _policy_uri(client, source)
    size_bytes = copy_folder(uri, target)
    print(target)
    say(f"{console.size(size_bytes)} from {uri}")


def copy_folder(uri: str, target: Path) -> int:
    """Copy a folder from any address that fsspec reads, whole or not at all; return its size in bytes."""
    filesystem, folder = open_address(uri)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if not filesystem.isdir(folder):
            raise NotFound(f"{uri}: no such folder as seen from this machine", reason="FOLDER_NOT_FOUND")
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
            copied = Path(temporary) / "model"
            fetch_files(filesystem, files_in(filesystem, folder), copied)
            size_bytes = sum(path.stat().st_size for path in copied.rglob("*") if path.is_file())
            copied.rename(target)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{uri}: cannot be copied to {target}: {error}", reason="COPY_FAILED") from error
    return size_bytes


def _policy_uri(client: JobsClient, source: str) -> str:
    if not source.startswith(CHECKPOINT_PREFIX):
        job = client.get_job(source)
        if not job.model_uri:
            word = console.state(job.state).plain
            raise Conflict(f"job {source} is {word} and has no final model; name a checkpoint", reason="NO_MODEL")
        return job.model_uri
    # The contract asks for a job's checkpoints only, and an id does not say whose it is.
    kept = (checkpoint for job in client.list_jobs() for checkpoint in client.list_checkpoints(job.job_id))
    checkpoint = next((each for each in kept if each.checkpoint_id == source), None)
    if checkpoint is None:
        raise NotFound(f"there is no checkpoint {source!r}", reason="CHECKPOINT_NOT_FOUND")
    if not checkpoint.policy_uri:
        raise Conflict(f"checkpoint {source} holds the state to go on from and no model", reason="NO_MODEL")
    return checkpoint.policy_uri


def _kind(checkpoint: jobs_pb2.Checkpoint) -> str:
    return jobs_pb2.CheckpointKind.Name(checkpoint.kind).removeprefix("CHECKPOINT_KIND_").lower().replace("_", "-")


def _validation(checkpoint: jobs_pb2.Checkpoint) -> str:
    if not checkpoint.HasField("validation"):
        return ""
    shown = checkpoint.validation
    return console.interval(shown.reward_mean, shown.reward_low, shown.reward_high)
