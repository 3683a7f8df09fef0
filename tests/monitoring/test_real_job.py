"""A real job under a real Prometheus with what is shipped: every panel and every recording rule gets an answer.

One story: graders that work, fail, hang and are refused; a job whose worker is killed, that goes on and succeeds; a job
that fails. Then everything that the dashboards ask is asked, over the whole time.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.openai_api import OpenaiApi, Reply, judged, status
from tests.monitoring.shipped import PROMETHEUS, Asked, alerts, questions, recordings
from tools.dashboards.picture import draw
from tools.dashboards.prometheus import ask

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.client.grading import GradingClient
from pinetune.client.jobs import ENDED, JobsClient
from pinetune.pod.channel import connect
from pinetune.pod.errors import InvalidInput

pytestmark = [pytest.mark.monitoring, pytest.mark.timeout(420)]
PICTURES = "DASHBOARD_PICTURES"
"""Variable with a folder where the drawn dashboards are to be kept."""
DEADLINE_SECONDS = 240
NO_DATA = {
    # Each is an exception that nobody foresaw, and its series begins with the first: not to be had on purpose.
    'sum by (room) (room:pinetune_pod_unexpected_errors:increase15m{namespace=~"$namespace"})',
    "room:pinetune_pod_unexpected_errors:increase15m",
}
"""What has no data here, with the reason."""
NUMBER = {"type": "number", "name": "sum", "reference": "{{item.answer}}", "location": {"marker": "The answer is"}}
JUDGE = {
    "type": "score_model",
    "name": "judge",
    "model": "judge",
    "input": [{"role": "user", "content": "{{sample.output_text}} for {{item.answer}}?"}],
    "range": [0, 1],
}
BAD = {"type": "python", "name": "bad", "source": "def grade(sample, item):\n    return 1 / 0\n"}
PYTHON = {
    "type": "python",
    "name": "python",
    "source": "def grade(sample, item):\n    while sample['output_text'] == 'broken':\n        pass\n    return 0.5\n",
}


@dataclass(frozen=True)
class Watched:
    """A finished story and the Prometheus that watched it."""

    url: str
    begin: float
    end: float

    def asked(self, expression: str) -> list[Any]:
        return ask(self.url, expression, begin=self.begin, end=self.end, step_seconds=1.0)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    data_dir = folder / "pinetune"
    begin = time.time()
    with OpenaiApi() as api, up(data_dir, api) as (http, address), prometheus(data_dir) as url:
        with connect(address) as channel:
            jobs, grading = JobsClient(channel), GradingClient(channel)
            for _ in range(3):
                try_graders(grading, api)
                urllib.request.urlopen(f"http://{http}/").close()
                time.sleep(2.5)
            # Not before: on a fast machine it would end before its worker is killed.
            job = jobs.create_job(order(jobs, folder, NUMBER))
            until(jobs, job.job_id, lambda now: now.step >= 1)
            os.kill(worker_of(job.job_id), signal.SIGKILL)
            doomed = jobs.create_job(order(jobs, folder, BAD))
            ended = until(jobs, job.job_id, lambda now: now.state in ENDED)
            assert ended.state == jobs_pb2.JOB_STATE_SUCCEEDED, ended.error
            failed = until(jobs, doomed.job_id, lambda now: now.state in ENDED)
            assert failed.error.reason == "TOO_MANY_UNGRADED", failed.error
        time.sleep(3.0)  # a scrape, and an evaluation of the rules after it
        yield Watched(url, begin, time.time())


def test_every_recording_rule_has_data(watched: Watched) -> None:
    assert [name for name in recordings() if name not in NO_DATA and not watched.asked(name)] == []


def test_every_query_of_every_panel_has_data(watched: Watched) -> None:
    def is_silent(one: Asked) -> bool:
        return one.expression not in NO_DATA and not watched.asked(one.expression)

    assert [str(one) for one in questions() if is_silent(one)] == []


def test_series_carry_the_labels_that_are_promised(watched: Watched) -> None:
    seen = {(one.labels["room"], one.labels["job"], "job_id" in one.labels) for one in watched.asked("up")}
    assert seen == {
        *((room, "pinetune", False) for room in ("grading", "jobs", "gateway")),
        *((room, "pinetune", True) for room in ("learning", "generation", "worker")),
    }
    assert watched.asked('{__name__=~"pinetune_.+", exported_job!=""}') == []
    assert watched.asked('{__name__=~"pinetune_.+", process=""}') == []


def test_alerts_fire_for_what_happened_and_for_nothing_else(watched: Watched) -> None:
    fired = watched.asked('ALERTS{alertstate="firing"}')
    assert {(one.labels["alertname"], one.labels.get("reason")) for one in fired} == {
        ("PinetuneJobFailed", "TOO_MANY_UNGRADED"),
        ("PinetuneSandboxKills", "deadline"),
    }
    # Those that wait for their time to fire: a healthy job must not be among them for what it has not measured yet.
    assert {one.labels["alertname"] for one in watched.asked('ALERTS{alertstate="pending"}')} <= {
        "PinetuneGraderErrors",
        "PinetuneJudgeErrors",
        "PinetuneRemoteGraderErrors",
        "PinetuneCompletionsCutOff",  # a model of nothing does not know how to end
        "PinetuneNoLearningSignal",  # nor how to score
        "PinetuneTargetDown",  # while processes start and stop
        "PinetuneRoomMissing",
        "PinetuneQueueStuck",  # between the end of one job and the start of the next
        "PinetuneDiskSpaceLow",  # this machine's own
    }


def test_every_alert_is_loaded_and_evaluates(watched: Watched) -> None:
    with urllib.request.urlopen(f"{watched.url}/api/v1/rules?type=alert") as reply:
        groups = json.load(reply)["data"]["groups"]
    health = {rule["name"]: (rule["health"], rule.get("lastError", "")) for group in groups for rule in group["rules"]}
    assert health == dict.fromkeys(alerts(), ("ok", ""))


def test_the_dashboards_can_be_drawn(watched: Watched, tmp_path: Path) -> None:
    folder = Path(os.environ.get(PICTURES, tmp_path))
    draw(watched.url, begin=watched.begin, end=watched.end, folder=folder)
    assert {path.stem for path in folder.glob("*.svg")} == {asked.board for asked in questions()}
    assert "polyline" in (folder / "job.svg").read_text(encoding="utf-8")


def try_graders(grading: GradingClient, api: OpenaiApi) -> None:
    """Grade by every kind that has metrics of its own, well and badly."""
    remote = {"type": "remote", "name": "team", "endpoint": f"{api.url}/grade"}
    texts = ["The answer is 4", "The answer is 5", "none", "broken"]
    for grader in (NUMBER, PYTHON, BAD, JUDGE, remote):
        for _ in range(2):  # the second time a judge's answers are known
            grading.grade(
                json.dumps(grader), items_json=['{"answer": "4"}'], output_texts=texts, item_indexes=[0] * len(texts)
            )
    grading.grade(
        json.dumps(JUDGE),
        items_json=['{"answer": "4"}'],
        output_texts=["broken", "good"],
        item_indexes=[0, 0],
        fresh_answers=True,
    )
    with pytest.raises(InvalidInput):
        grading.grade('{"type": "unheard_of"}', items_json=["{}"], output_texts=["a"], item_indexes=[0])


def outside(body: dict[str, Any]) -> Reply:
    """Answer as judge or remote grader; badly where asked about what is broken."""
    if "broken" in json.dumps(body):
        return status(400)
    return judged(0.5) if "messages" in body else Reply(b'{"score": 0.5}')


@contextmanager
def up(data_dir: Path, api: OpenaiApi) -> Iterator[tuple[str, str]]:
    """Run `pinetune up`; yields the addresses of pages and of jobs."""
    api.otherwise = outside
    settings = {
        "PINETUNE_GRADING_MODELS": json.dumps({"judge": {"base_url": api.url}}),
        "PINETUNE_GRADING_REMOTE_ENDPOINTS": json.dumps([api.url]),
        "PINETUNE_GRADING_MODEL_PAUSE_SECONDS": "0.01",
        "PINETUNE_GRADING_PYTHON_CALL_TIMEOUT_SECONDS": "2",
    }
    command = [sys.executable, "-m", "pinetune.cli.main", "up", "--data-dir", str(data_dir)]
    command += ["--http-port", "0", "--grpc-port", "0"]
    with subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline().split()
            assert line[:1] == ["ready"], f"`up` said {line}"
            yield line[1].removeprefix("http://"), line[2].removeprefix("grpc://")
        finally:
            process.terminate()
            process.wait(timeout=60)


@contextmanager
def prometheus(data_dir: Path) -> Iterator[str]:
    """Run Prometheus as docs/monitoring.md says, ten times as often; yields its address."""
    folder = shutil.copytree(PROMETHEUS, data_dir / "prometheus")
    config = folder / "prometheus.yaml"
    text = config.read_text(encoding="utf-8")
    for setting in ("scrape_interval: 10s", "evaluation_interval: 10s", "scrape_timeout: 8s"):
        assert setting in text
        text = text.replace(setting, f"{setting.partition(':')[0]}: 1s")
    config.write_text(text, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = ["prometheus", "--config.file", str(config), "--storage.tsdb.path", str(folder / "data")]
    with (
        (data_dir / "prometheus.log").open("w") as log,
        subprocess.Popen([*command, "--web.listen-address", address], stdout=log, stderr=log) as process,
    ):
        try:
            ready(f"http://{address}/-/ready", process, data_dir / "prometheus.log")
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(timeout=60)


def ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    give_up = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.1)
    raise AssertionError(f"Prometheus is not ready: {log.read_text()}")


def order(jobs: JobsClient, folder: Path, grader: dict[str, Any]) -> str:
    rows = [
        {"id": f"{a}-{b}", "question": f"What is {a} plus {b}?", "answer": str(a + b), "cot": f"The answer is {a + b}."}
        for a in range(8)
        for b in range(8)
    ]
    files = {}
    for name, part in (("train", rows[::2]), ("validation", rows[1::8])):
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in part))
        files[name] = jobs.create_dataset(path).dataset_id
    hyperparameters = {"n_epochs": 2, "batch_size": 8, "eval_interval": 2}
    return json.dumps(
        {
            "model": "nano",
            "training_file": files["train"],
            "validation_file": files["validation"],
            "method": {
                "type": "reinforcement",
                "reinforcement": {"grader": grader, "hyperparameters": hyperparameters},
            },
            "pinetune": {
                "dataset": {"prompt": "{{item.question}}"},
                "warm_up": {"epochs": 3, "batch_size": 16, "learning_rate": 3e-3},
                "sampling": {"samples_per_prompt": 4, "max_tokens": 24},
                "checkpoints": {"interval": 2},
                "nano": {"layer_count": 2, "width": 64, "head_count": 4, "vocabulary_size": 400, "max_tokens": 96},
            },
        }
    )


def until(jobs: JobsClient, job_id: str, happened: Callable[[jobs_pb2.Job], bool]) -> jobs_pb2.Job:
    give_up = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < give_up:
        job = jobs.get_job(job_id)
        if happened(job):
            return job
        assert job.state not in ENDED, job.error
        time.sleep(0.2)
    raise AssertionError(f"it never happened to {jobs.get_job(job_id)}")


def worker_of(job_id: str) -> int:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environment = (process / "environ").read_bytes()
            if f"PINETUNE_WORKER_WORK_ID={job_id}".encode() not in environment:
                continue
            if b"pinetune.jobs.worker" in (process / "cmdline").read_bytes():
                return int(process.name)
    raise AssertionError(f"no worker of {job_id} runs")
