"""A cluster backed up under a job and restored, by the commands that the documentation gives."""

import os
import re
import subprocess
from pathlib import Path

from tests.cluster.jobs import assert_whole, await_jobs_service, demo_order, jobs_client, reached
from tests.cluster.kubectl import ROOT

PAGE = ROOT / "docs" / "backup.md"
STEP_COUNT = 30


def commands_of(section: str) -> list[str]:
    """Return the blocks of commands in a section of the page."""
    text = PAGE.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^ *```\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)


def run(commands: str, folder: Path) -> None:
    """Run commands as a person pastes them, with $B as the folder of the backup; the last line decides."""
    environment = os.environ | {"B": str(folder)}
    done = subprocess.run(
        ["bash", "-c", commands], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_cluster_that_was_restored_goes_on_from_its_backup(tmp_path: Path, token: str) -> None:
    _, back_up, stop, restore = commands_of("A cluster")
    backup = tmp_path / "backup"
    backup.mkdir()
    with jobs_client(token) as client:
        job_id = client.create_job(demo_order(client, tmp_path, step_count=STEP_COUNT)).job_id
        reached(client, job_id, step=3)
        # tar ends with 1 where the job writes a file meanwhile.
        run(re.sub(r"^( *in_jobs tar .*?)(#.*)?$", r"\1 || [ $? = 1 ]", back_up, flags=re.MULTILINE), backup)
        later = client.create_dataset(b'{"question": "2+2", "answer": "4"}\n', filename="later.jsonl")
        reached(client, job_id, step=5)
    run(stop, backup)
    run(restore, backup)
    run("kubectl -n pinetune scale statefulset/pinetune-jobs --replicas 1", backup)
    await_jobs_service()
    with jobs_client(token) as client:
        assert later.dataset_id not in [dataset.dataset_id for dataset in client.list_datasets()]
        assert assert_whole(client, job_id, step_count=STEP_COUNT).attempt == 2
        told = [event.message for event in client.list_events(job_id)]
    assert any("goes on after step" in one for one in told), told
