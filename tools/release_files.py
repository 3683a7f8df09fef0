"""Makes `tests/released/VERSION`: what this version of pinetune writes, for later versions to prove that they read it.

`python -m tools.release_files` at a release; until then it may be run again, from then on the folder stays. A real
`pinetune up` runs two jobs on sums and an evaluation, with a model so small that the folder has some 600 KB. In it are

    database-0002.sql    the SQLite database as SQL, one file for each revision of the tables that no older folder has
    answers.json         what the jobs service said of all that is in there
    artifacts/           data sets, the paused job's base model and state, the finished job's model, rollouts of step 1

Addresses in the database are relative (`artifacts/jobs/…`), so that a test can put the folder wherever it works.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.client.jobs import JobsClient
from pinetune.jobs.store.database import MIGRATIONS
from pinetune.pod.channel import connect

ROOT = Path(__file__).resolve().parent.parent
RELEASED = ROOT / "tests" / "released"
ARTIFACTS = "artifacts"
PATIENCE_SECONDS = 300.0
GRADER = {
    "type": "number",
    "reference": "{{item.answer}}",
    "location": {"marker": "The answer is"},
    "partial_score": 0.1,
}
NANO = {"layer_count": 1, "width": 16, "head_count": 2, "vocabulary_size": 300, "max_tokens": 64}


def main() -> None:
    """Write the folder of the version that pyproject.toml names."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    target = RELEASED / version
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        with up(work) as client:
            answers = run_jobs(client)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for revision in revisions_of(version):
            (target / f"database-{revision}.sql").write_text(dump(work / "data" / "jobs.sqlite", revision))
        keep_artifacts(work / ARTIFACTS, target / ARTIFACTS, answers)
    (target / "answers.json").write_text(json.dumps(answers, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def up(work: Path) -> Iterator[JobsClient]:
    """Run `pinetune up` in a folder, and yield a client of it."""
    arguments = ["up", "--data-dir", str(work / "data"), "--http-port", "0", "--grpc-port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pinetune.cli.main", *arguments],
        cwd=work,
        env=os.environ | {"PINETUNE_JOBS_ARTIFACTS_URI": ARTIFACTS, "PYTHONPATH": str(ROOT / "services")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline().split()
        assert line[:1] == ["ready"], f"`pinetune up` said {line}"
        with connect(line[2].removeprefix("grpc://")) as channel:
            yield JobsClient(channel)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)


def run_jobs(client: JobsClient) -> dict[str, Any]:
    """Finish a job, measure its model, pause another; returns all that the service then says."""
    rows = [
        {
            "question": f"What is {a} plus {b}?",
            "answer": str(a + b),
            "cot": f"{a} + {b} = {a + b}. The answer is {a + b}.",
        }
        for a in range(4)
        for b in range(4)
    ]
    names = [
        client.create_dataset(b"".join(json.dumps(row).encode() + b"\n" for row in part), filename=f"{name}.jsonl")
        for name, part in (("train", rows[:8]), ("validation", rows[8:12]), ("test", rows[12:]))
    ]
    files = [one.dataset_id for one in names]
    finished = client.create_job(order(*files, epochs=2))
    wait(lambda: client.get_job(finished.job_id).state == wire.JOB_STATE_SUCCEEDED)
    evaluation = wire.EvaluationOrder(name="again", model=f"job:{finished.job_id}", dataset_id=files[2])
    evaluation.job_id = finished.job_id
    evaluation.grader.json = json.dumps(GRADER)
    evaluation.sampling.max_tokens = 8
    measured = client.create_evaluation(evaluation)
    wait(lambda: client.get_evaluation(measured.evaluation_id).state == wire.JOB_STATE_SUCCEEDED)
    paused = client.create_job(order(*files, epochs=50))
    # The number of steps comes with a heartbeat.
    wait(lambda: min(client.get_job(paused.job_id).step, client.get_job(paused.job_id).total_steps) > 0)
    client.pause_job(paused.job_id)
    wait(lambda: client.get_job(paused.job_id).state == wire.JOB_STATE_PAUSED)
    return answers_of(client, finished.job_id, paused.job_id)


def order(training_file: str, validation_file: str, test_file: str, *, epochs: int) -> str:
    """Return a small job as JSON."""
    hyperparameters = {"n_epochs": epochs, "batch_size": 8, "eval_interval": 2}
    return json.dumps(
        {
            "model": "nano",
            "training_file": training_file,
            "validation_file": validation_file,
            "method": {
                "type": "reinforcement",
                "reinforcement": {"grader": GRADER, "hyperparameters": hyperparameters},
            },
            "seed": 1,
            "pinetune": {
                "dataset": {"prompt": "{{item.question}}"},
                "warm_up": {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3},
                "sampling": {"samples_per_prompt": 2, "max_tokens": 8},
                "evaluation": {"test_file": test_file},
                "checkpoints": {"interval": 1, "keep_best": 1},
                "nano": NANO,
            },
        }
    )


def answers_of(client: JobsClient, finished: str, paused: str) -> dict[str, Any]:
    """Return what the service says, as JSON, by the question."""

    def of_job(job_id: str) -> dict[str, Any]:
        return {
            "job": spelt(client.get_job(job_id)),
            "events": [spelt(one) for one in client.list_events(job_id)],
            "steps": [spelt(one) for one in client.list_steps(job_id)],
            "checkpoints": [spelt(one) for one in client.list_checkpoints(job_id)],
            "evaluations": [spelt(one) for one in client.list_evaluations(job_id)],
            "rollouts_of_step_1": [spelt(one) for one in client.list_rollouts(job_id=job_id, step=1)],
        }

    return {
        "datasets": [spelt(one) for one in client.list_datasets()],
        "finished": of_job(finished),
        "paused": of_job(paused),
    }


def spelt(message: Message) -> dict[str, Any]:
    """Return a message as plain JSON."""
    return MessageToDict(message, preserving_proto_field_name=True)


def revisions_of(version: str) -> list[str]:
    """Return the revisions of the tables whose database no other version's folder has, oldest first."""
    there = {path.name for path in RELEASED.glob("*/database-*.sql") if path.parent.name != version}
    revisions = [one.revision for one in ScriptDirectory.from_config(migrations()).walk_revisions()]
    return [one for one in reversed(revisions) if f"database-{one}.sql" not in there]


def migrations() -> Config:
    """Return what alembic has to know of the migrations."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def dump(database: Path, revision: str) -> str:
    """Return the database as SQL, as it was when the tables were at `revision`: without later tables and columns."""
    with tempfile.TemporaryDirectory() as name, closing(sqlite3.connect(Path(name) / "old.sqlite")) as old:
        engine = sa.create_engine(f"sqlite:///{Path(name) / 'old.sqlite'}")
        config = migrations()
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        engine.dispose()
        old.execute("ATTACH ? AS made", [str(database)])
        for (table,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if table == "alembic_version":
                continue
            columns = ", ".join(column for _, column, *_ in old.execute(f"PRAGMA main.table_info({table})"))
            old.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM made.{table}")
        old.commit()
        old.execute("DETACH made")
        return "\n".join(old.iterdump()) + "\n"


def keep_artifacts(source: Path, target: Path, answers: dict[str, Any]) -> None:
    """Copy what tests open: every data set, the finished job's model, the paused job but for its later rollouts."""
    finished, paused = (answers[name]["job"]["job_id"] for name in ("finished", "paused"))
    shutil.copytree(source / "datasets", target / "datasets")
    shutil.copytree(source / "jobs" / finished / "model", target / "jobs" / finished / "model")
    for folder in ("base", "states"):
        shutil.copytree(source / "jobs" / paused / folder, target / "jobs" / paused / folder)
    for uri in uris_of_step_1(answers):
        path = uri.removeprefix(f"{ARTIFACTS}/")
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, target / path)


def uris_of_step_1(answers: dict[str, Any]) -> list[str]:
    """Return where the rollouts of the first updates are."""
    steps = [step for name in ("finished", "paused") for step in answers[name]["steps"]]
    return [step["rollouts_uri"] for step in steps if step.get("number") == "1" and "rollouts_uri" in step]


def wait(happened: Callable[[], bool]) -> None:
    """Return once it happened."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        if time.monotonic() > give_up:
            raise TimeoutError("it took too long; the logs are in the temporary folder's data/logs")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
