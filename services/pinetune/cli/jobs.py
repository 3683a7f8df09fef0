"""`pinetune jobs`: create, list, get, watch, cancel, pause, resume, report."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.cli import console
from pinetune.cli.connection import DEFAULT_SERVER, Server, jobs_at, watch_command
from pinetune.cli.console import AsJson, out, print_json, say
from pinetune.cli.job_file import read_job_file
from pinetune.cli.report import DEFAULT_HTTP, Http, download_report
from pinetune.cli.uploads import upload
from pinetune.cli.watch import watch_job
from pinetune.client.jobs import JobsClient
from pinetune.pod.errors import InvalidInput

app = typer.Typer(no_args_is_help=True, help="Order training jobs, follow and steer them.")

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
STATES = {
    "validating": jobs_pb2.JOB_STATE_VALIDATING,
    "queued": jobs_pb2.JOB_STATE_QUEUED,
    "running": jobs_pb2.JOB_STATE_RUNNING,
    "paused": jobs_pb2.JOB_STATE_PAUSED,
    "succeeded": jobs_pb2.JOB_STATE_SUCCEEDED,
    "failed": jobs_pb2.JOB_STATE_FAILED,
    "cancelled": jobs_pb2.JOB_STATE_CANCELLED,
}


@app.command("create")
def create(
    file: Annotated[Path, typer.Option("--file", "-f", metavar="JOB.YAML", help="The job file.")],
    watch: Annotated[bool, typer.Option("--watch", help="Follow the job until it ends.")] = False,
    request_id: Annotated[str | None, typer.Option(help="Makes a repeated call harmless; made up by default.")] = None,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Order a job; local files that it names are uploaded first."""
    job_file = read_job_file(file)
    with jobs_at(server) as client:
        order = job_file.to_json(lambda local: upload(client, local.path).dataset_id)
        job = client.create_job(order, request_id=request_id)
        if watch:
            say(f"job {job.job_id} is {console.state(job.state).plain}")
            raise typer.Exit(watch_job(client, job.job_id, server=server, as_json=as_json))
    if as_json:
        print_json(job)
        return
    print(job.job_id)
    say(f"{console.state(job.state).plain}; follow it with `{watch_command(job.job_id, server)}`")


@app.command("list")
def list_jobs(
    state: Annotated[list[str] | None, typer.Option(help="Only jobs in this state; may be given again.")] = None,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """List the jobs, newest first."""
    unknown = [word for word in state or () if word not in STATES]
    if unknown:
        raise InvalidInput(f"--state: {unknown[0]!r} is none of {', '.join(STATES)}", reason="UNKNOWN_STATE")
    with jobs_at(server) as client:
        jobs = list(client.list_jobs([STATES[word] for word in state or ()]))
    if as_json:
        print_json(jobs_pb2.ListJobsResponse(jobs=jobs))
        return
    rows = [
        (
            job.job_id,
            console.state(job.state),
            job.spec.method.type,
            job.spec.model,
            f"{job.step}/{job.total_steps}" if job.total_steps else "",
            console.time(job.create_time),
        )
        for job in jobs
    ]
    out().print(console.table(["id", "state", "method", "model", "step>", "created"], rows))


@app.command("get")
def get(job_id: JobId, server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Show one job."""
    with jobs_at(server) as client:
        job = client.get_job(job_id)
    _show(job, as_json)


@app.command("watch")
def watch(job_id: JobId, server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Follow a job until it ends; Ctrl-C stops watching, not the job. Exits with 1 where the job did not succeed."""
    with jobs_at(server) as client:
        client.get_job(job_id)  # A watch is patient with a server that goes away, but not with one that never was.
        raise typer.Exit(watch_job(client, job_id, server=server, as_json=as_json))


@app.command("cancel")
def cancel(job_id: JobId, server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Stop a job for good; what it made stays."""
    _steer(server, job_id, JobsClient.cancel_job, as_json)


@app.command("pause")
def pause(job_id: JobId, server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Stop a job at its next step, to be resumed."""
    _steer(server, job_id, JobsClient.pause_job, as_json)


@app.command("resume")
def resume(job_id: JobId, server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Queue a paused job again."""
    _steer(server, job_id, JobsClient.resume_job, as_json)


@app.command("steps")
def steps(job_id: JobId, server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """List a job's steps, oldest first: the history that its curves are drawn from."""
    with jobs_at(server) as client:
        found = list(client.list_steps(job_id))
    if as_json:
        print_json(jobs_pb2.ListStepsResponse(steps=found))
        return
    rows = [
        (
            jobs_pb2.JobPhase.Name(step.phase).removeprefix("JOB_PHASE_").lower(),
            str(step.number),
            f"{step.train_reward_mean:.3f}" if step.HasField("train_reward_mean") else "",
            f"{step.validation.reward_mean:.3f}" if step.HasField("validation") else "",
            f"{step.update.kl_to_reference:.3f}" if step.HasField("update") else "",
            str(step.training_grades.ungraded_count) if step.HasField("training_grades") else "",
            f"{step.timing.total_seconds:.1f}",
        )
        for step in found
    ]
    headings = ["phase", "step>", "train reward>", "validation reward>", "KL>", "ungraded>", "seconds>"]
    out().print(console.table(headings, rows))


@app.command("report")
def report(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB...", help="The jobs to set side by side.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write the page.")] = Path(
        "report.html"
    ),
    http: Http = DEFAULT_HTTP,
) -> None:
    """Write one self-contained page about one or more jobs: results, curves, samples, settings."""
    size_bytes = download_report(http, job_ids, output)
    print(output)
    say(f"{console.size(size_bytes)}, readable without a network")


def _steer(server: str, job_id: str, steer: Callable[[JobsClient, str], jobs_pb2.Job], as_json: bool) -> None:
    with jobs_at(server) as client:
        job = steer(client, job_id)
    if as_json:
        print_json(job)
    else:
        say(f"job {job.job_id} is {console.state(job.state).plain}")


def _show(job: jobs_pb2.Job, as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    error = f"{job.error.message} ({job.error.reason})" if job.HasField("error") else ""
    left = console.duration(job.estimated_seconds_left) if job.HasField("estimated_seconds_left") else ""
    running = job.state == jobs_pb2.JOB_STATE_RUNNING
    out().print(
        console.pairs(
            [
                ("job", job.job_id),
                ("state", console.state(job.state)),
                ("error", error),
                ("doing", console.phase(job.phase) if running else ""),
                ("waits for", job.waiting_for),
                ("time left", left if running else ""),
                ("warm-up steps", _of(job.warm_up_step, job.total_warm_up_steps)),
                ("steps", _of(job.step, job.total_steps)),
                ("method", job.spec.method.type),
                ("model", job.spec.model),
                ("training file", job.spec.training_file),
                ("validation file", job.spec.validation_file),
                ("created", console.time(job.create_time)),
                ("started", console.time(job.start_time)),
                ("ended", console.time(job.end_time)),
                ("worker time", console.duration(job.usage.seconds) if job.usage.seconds else ""),
                ("tokens sampled", f"{job.usage.sampled_token_count:,}" if job.usage.sampled_token_count else ""),
                ("fine-tuned model", job.fine_tuned_model),
                ("model folder", job.model_uri),
            ]
        )
    )


def _of(done: int, total: int) -> str:
    return f"{done} of {total}" if total else ""
