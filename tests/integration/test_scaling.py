"""A job whose samplers become more and then fewer by its backlog: real processes, a tiny model, nothing faked but the
grader, which lets the test look on between sampling and learning of each step."""

import json
import os
import queue
import signal
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest
from tests.fakes.jobs_room import GRADER, FakeGrading, registered_grading
from tests.integration.test_generation_replicas import metrics_of, pid_of, story

from pinetune.api.grading.v1 import grading_pb2
from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.client.jobs import ENDED, JobsClient
from pinetune.jobs.__main__ import build
from pinetune.jobs.backlog import STEPS_BEFORE_FEWER, TOLERANCE
from pinetune.jobs.config import JobsSettings
from pinetune.jobs.rollout_files import read_rollouts
from pinetune.pod.channel import connect
from pinetune.pod.server import PodSettings, start

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 240.0
ITEMS, SAMPLES, STEPS = 8, 4, STEPS_BEFORE_FEWER + 3
BACKLOG_SECONDS = 4.0
"""A step takes two samplers a tenth of it, and one that is held up longer."""
pytestmark = pytest.mark.timeout(2 * PATIENCE_SECONDS)


class HoldingGrading(FakeGrading):
    """Answers each call when the test says so, once it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.holds = False
        self._asked: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._may_answer: queue.SimpleQueue[None] = queue.SimpleQueue()

    def Grade(self, request: grading_pb2.GradeRequest, context: grpc.ServicerContext) -> grading_pb2.GradeResponse:
        if self.holds:
            self._asked.put(len(request.item_indexes))
            self._may_answer.get(timeout=PATIENCE_SECONDS)
        return super().Grade(request, context)

    def next_call(self) -> int:
        """Return how many completions the next call has, once it is there."""
        return self._asked.get(timeout=PATIENCE_SECONDS / 2)

    def answer(self) -> None:
        """Let the call go on that is there."""
        self._may_answer.put(None)


def create_job(client: JobsClient) -> str:
    rows = [
        {"id": f"i{n}", "question": f"What is {n} plus {n + 1}?", "answer": str(2 * n + 1), "cot": f"{2 * n + 1}."}
        for n in range(ITEMS + 2)
    ]
    files = []
    for part in (rows[:ITEMS], rows[ITEMS:]):
        content = "".join(json.dumps(row) + "\n" for row in part).encode()
        files.append(client.create_dataset(content, filename="rows.jsonl").dataset_id)
    hyperparameters = {"n_epochs": STEPS, "batch_size": ITEMS, "eval_interval": STEPS}
    order = {
        "model": "nano",
        "training_file": files[0],
        "validation_file": files[1],
        "method": {"type": "reinforcement", "reinforcement": {"grader": GRADER, "hyperparameters": hyperparameters}},
        "pinetune": {
            "dataset": {"prompt": "{{item.question}}"},
            "warm_up": {"epochs": 1, "batch_size": ITEMS},
            "sampling": {"samples_per_prompt": SAMPLES, "max_tokens": 24},
            "evaluation": {"final_comparison": False},
            "engine": {"max_replicas": 2, "backlog_seconds": BACKLOG_SECONDS, "threads": 1},
            "nano": {"layer_count": 2, "width": 64, "head_count": 4, "vocabulary_size": 300, "max_tokens": 128},
        },
    }
    return client.create_job(json.dumps(order)).job_id


class Run:
    """The job under way, and where to look at it."""

    def __init__(self, folder: Path, client: JobsClient, grading: HoldingGrading) -> None:
        self.folder, self.client, self.grading = folder, client, grading
        self.job_id = create_job(client)
        grading.holds = True  # The service has tried the grader when it took the order.

    @property
    def told(self) -> list[str]:
        return story(self.client, self.job_id)

    def wait_for(self, what: str, look: Callable[[], bool]) -> None:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not look():
            job = self.client.get_job(self.job_id)
            assert job.state not in ENDED, (what, job.error, self.told)
            assert time.monotonic() < give_up, (what, self.told)
            time.sleep(0.05)

    def wait_until_told(self, beginning: str) -> None:
        self.wait_for(beginning, lambda: any(one.startswith(beginning) for one in self.told))

    def wait_for_step(self) -> None:
        """Wait until the next step has sampled all of its completions."""
        assert self.grading.next_call() == ITEMS * SAMPLES

    def sampled_by(self, name: str) -> float:
        """Return how many completions a sampler has answered."""
        with urlopen(f"http://{metrics_of(self.folder, name)}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith(COMPLETIONS))


COMPLETIONS = "pinetune_generation_completions_total{"


def test_a_job_gets_a_second_sampler_while_its_backlog_is_long_and_gives_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "services"))
    grading = HoldingGrading()
    graders = start("grading", PodSettings(grace_seconds=1.0), lambda _: [registered_grading(grading)])
    settings = JobsSettings(data_dir=tmp_path, grading_address=graders.grpc_address, stop_grace_seconds=5.0)
    pod = start("jobs", PodSettings(grace_seconds=1.0), lambda pod: build(pod, settings))
    try:
        with connect(pod.grpc_address) as channel:
            run = Run(tmp_path, JobsClient(channel), grading)
            hold_up_the_first_step(run)
            grow(run)
            shrink(run)
            end(run)
    finally:
        for _ in range(2 * STEPS):
            grading.answer()
        pod.close()
        graders.close()


def hold_up_the_first_step(run: Run) -> None:
    """Have the only sampler take longer than it should over the first step."""
    assert run.grading.next_call() == 2, "the validation before the first step"
    sampler = pid_of(run.folder, run.job_id, "generation-0")
    os.kill(sampler, signal.SIGSTOP)
    try:
        run.grading.answer()
        asked = f"{ITEMS * SAMPLES} completions"
        run.wait_for(asked, lambda: run.client.get_job(run.job_id).waiting_for == asked)
        time.sleep(BACKLOG_SECONDS * (1 + 2 * TOLERANCE))
    finally:
        os.kill(sampler, signal.SIGCONT)


def grow(run: Run) -> None:
    run.wait_for_step()
    run.wait_until_told("generation-1 has joined after ")
    (why,) = [one for one in run.told if one.startswith("sampling took ")]
    assert why.endswith(f" s, above engine.backlog_seconds of {BACKLOG_SECONDS:g}: 2 samplers wanted instead of 1")
    assert metrics_of(run.folder, "generation-1")
    assert run.sampled_by("generation-1") == 0
    run.grading.answer()


def shrink(run: Run) -> None:
    """Look on while some steps are short, and the last of them sends the second sampler away."""
    second = pid_of(run.folder, run.job_id, "generation-1")
    for step in range(STEPS_BEFORE_FEWER):
        run.wait_for_step()
        if step == 0:
            assert 0 < run.sampled_by("generation-1") < ITEMS * SAMPLES, "both did a part of the step"
        if step < STEPS_BEFORE_FEWER - 1:
            assert not [one for one in run.told if "1 sampler wanted" in one]
            run.grading.answer()
    run.wait_until_told("generation-1 is not needed any more")
    run.wait_for("its end", lambda: not Path(f"/proc/{second}").exists())
    assert not metrics_of(run.folder, "generation-1")
    assert any(one.endswith(f"of {BACKLOG_SECONDS:g}: 1 sampler wanted instead of 2") for one in run.told)
    run.grading.answer()


def end(run: Run) -> None:
    """See the job through the rest of its steps, with one sampler; each step is there once, and whole."""
    for _ in range(STEPS - 1 - STEPS_BEFORE_FEWER):
        run.wait_for_step()
        run.grading.answer()
    assert run.grading.next_call() == 2, "the last validation"
    run.grading.answer()
    *_, last = run.client.watch(run.job_id)
    told = run.told
    assert last.job.state == wire.JOB_STATE_SUCCEEDED, (last.job.error, told)
    assert last.job.attempt == 1
    assert not [one for one in told if "is lost" in one or "started again" in one]
    steps = list(run.client.list_steps(run.job_id, phase=wire.JOB_PHASE_TRAINING))
    assert [step.number for step in steps] == list(range(STEPS + 1))
    for step in steps[1:]:
        assert step.training_grades.sampled_count == ITEMS * SAMPLES
        ids = [rollout.completion.completion_id for rollout in read_rollouts(step.rollouts_uri)]
        assert sorted(ids) == sorted(
            f"training-{step.number:06d}-i{item}-{index}" for item in range(ITEMS) for index in range(SAMPLES)
        )
