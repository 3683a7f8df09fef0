import json
import threading
from pathlib import Path

import pytest
from tests.fakes import history
from tests.fakes.jobs_service import FakeJobs
from tests.unit.cli.conftest import Run

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.pod.errors import Broken, InvalidInput

ROWS = b'{"id": "1", "question": "2 + 2?", "answer": "4"}\n'
ORDER = """
model: nano
training_file: train.jsonl
validation_file: file-there
method: {type: reinforcement, reinforcement: {grader: {type: number, reference: "{{item.answer}}"}}}
pinetune:
  algorithm: {learning_rate: 1e-4}
  evaluation: {test_file: train.jsonl}
"""


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    (tmp_path / "train.jsonl").write_bytes(ROWS)
    path = tmp_path / "job.yaml"
    path.write_text(ORDER)
    return path


def test_a_job_is_created_with_its_local_files_uploaded_once(pinetune: Run, jobs: FakeJobs, job_file: Path) -> None:
    outcome = pinetune("jobs", "create", "-f", job_file)
    assert (outcome.code, outcome.out) == (0, "ftjob-1\n")
    assert list(jobs.contents.values()) == [ROWS]
    order = json.loads(jobs.orders[0])
    assert order["training_file"] == "file-1" == order["pinetune"]["evaluation"]["test_file"]
    assert order["validation_file"] == "file-there"
    assert order["pinetune"]["algorithm"] == {"learning_rate": 1e-4}
    assert "pinetune jobs watch ftjob-1" in outcome.err


def test_a_file_uploaded_before_is_not_sent_again(pinetune: Run, jobs: FakeJobs, job_file: Path) -> None:
    there = jobs.add_dataset("train.jsonl", ROWS)
    outcome = pinetune("jobs", "create", "-f", job_file)
    assert outcome.code == 0
    assert json.loads(jobs.orders[0])["training_file"] == there.dataset_id
    assert len(jobs.datasets) == 1
    assert f"already there as {there.dataset_id}" in outcome.err


def test_a_labelled_set_for_the_grader_is_uploaded_with_the_job(pinetune: Run, jobs: FakeJobs, job_file: Path) -> None:
    cases = b'{"sample": "it is 4", "item": {"answer": "4"}, "score": 1}\n'
    (job_file.parent / "cases.jsonl").write_bytes(cases)
    job_file.write_text(f"{ORDER}  policies: {{grader_test: {{file: cases.jsonl, min_agreement: 0.9}}}}\n")
    assert pinetune("jobs", "create", "-f", job_file).code == 0
    test = json.loads(jobs.orders[0])["pinetune"]["policies"]["grader_test"]
    assert test["min_agreement"] == 0.9
    assert jobs.contents[test["file"]] == cases


@pytest.mark.parametrize("model", ["models/qwen", "./models/qwen"])
def test_a_model_s_folder_is_found_beside_the_job_file(
    pinetune: Run, jobs: FakeJobs, job_file: Path, model: str
) -> None:
    folder = job_file.parent / "models" / "qwen"
    folder.mkdir(parents=True)
    job_file.write_text(ORDER.replace("nano", model))
    assert pinetune("jobs", "create", "-f", job_file).code == 0
    assert json.loads(jobs.orders[0])["model"] == str(folder.resolve())


def test_a_model_s_name_that_is_no_folder_is_left_to_the_service(pinetune: Run, jobs: FakeJobs, job_file: Path) -> None:
    (job_file.parent / "nano").mkdir()
    for model in ("nano", "org/name", "job:ftjob-1"):
        job_file.write_text(ORDER.replace("nano", model))
        assert pinetune("jobs", "create", "-f", job_file).code == 0
        assert json.loads(jobs.orders[-1])["model"] == model
    job_file.write_text(ORDER.replace("nano", "./gone"))
    assert pinetune("jobs", "create", "-f", job_file).code == 0
    assert json.loads(jobs.orders[-1])["model"] == str(job_file.parent.resolve() / "gone")


def test_every_missing_file_has_a_line_and_nothing_is_sent(pinetune: Run, jobs: FakeJobs, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("model: nano\ntraining_file: a.jsonl\nvalidation_file: b.jsonl\n")
    outcome = pinetune("jobs", "create", "-f", path)
    assert (outcome.code, outcome.out, jobs.calls) == (2, "", [])
    lines = outcome.err.splitlines()
    assert lines[0].startswith("error: training_file: no file ")
    assert lines[1].startswith("error: validation_file: no file ")
    assert len(lines) == 2


def test_a_fault_that_the_server_finds_is_printed_line_by_line(pinetune: Run, jobs: FakeJobs, job_file: Path) -> None:
    jobs.refuse("CreateJob", InvalidInput("seed: -1 is below 0\nmodel: is empty", reason="INVALID_ORDER"))
    outcome = pinetune("jobs", "create", "-f", job_file)
    assert outcome.code == 2
    assert outcome.err.splitlines()[-2:] == ["error: seed: -1 is below 0", "error: model: is empty"]


def test_bad_yaml_names_file_and_line(pinetune: Run, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("model: nano\nmodel: other\n")
    outcome = pinetune("jobs", "create", "-f", path)
    assert (outcome.code, outcome.err) == (2, f"error: {path}:2:1: 'model' is there twice\n")


def test_no_server_is_said_in_one_sentence(run: Run) -> None:
    outcome = run("jobs", "list", "--server", "127.0.0.1:1")
    assert outcome.code == 2
    assert outcome.err == "error: no pinetune at 127.0.0.1:1; start one with `pinetune up`\n"


def test_an_unknown_job_is_said_in_one_sentence(pinetune: Run) -> None:
    outcome = pinetune("jobs", "get", "ftjob-9")
    assert (outcome.code, outcome.out, outcome.err) == (2, "", "error: there is no job 'ftjob-9'\n")


def test_a_fault_of_the_server_is_no_traceback_here(pinetune: Run, jobs: FakeJobs) -> None:
    jobs.refuse("GetJob", Broken("internal error 12ab; the pod's log has it", reason="UNEXPECTED"))
    outcome = pinetune("jobs", "get", "ftjob-rl")
    assert (outcome.code, outcome.err) == (2, "error: internal error 12ab; the pod's log has it\n")


def test_jobs_are_listed_by_state(pinetune: Run, jobs: FakeJobs) -> None:
    jobs.add(history.reinforcement("ftjob-now", step_count=4, ended=False))
    everything, running = pinetune("jobs", "list"), pinetune("jobs", "list", "--state", "running")
    assert "ftjob-rl" in everything.out
    assert "ftjob-now" in everything.out
    assert "ftjob-rl" not in running.out
    assert "ftjob-now" in running.out
    assert pinetune("jobs", "list", "--state", "sleeping").code == 2


def test_json_has_the_contracts_names_defaults_and_numbers(pinetune: Run) -> None:
    job = json.loads(pinetune("jobs", "get", "ftjob-rl", "--json").out)
    assert (job["job_id"], job["state"], job["step"], job["waiting_for"]) == ("ftjob-rl", "JOB_STATE_SUCCEEDED", 10, "")
    assert job["usage"]["sampled_token_count"] == 812_345
    listed = json.loads(pinetune("jobs", "list", "--json").out)
    assert [each["job_id"] for each in listed["jobs"]] == ["ftjob-rl"]


@pytest.mark.parametrize(("verb", "state"), [("cancel", "cancelled"), ("pause", "paused"), ("resume", "queued")])
def test_a_job_can_be_steered(pinetune: Run, jobs: FakeJobs, verb: str, state: str) -> None:
    jobs.add(history.reinforcement("ftjob-now", step_count=4, ended=False))
    outcome = pinetune("jobs", verb, "ftjob-now")
    assert (outcome.code, outcome.err) == (0, f"job ftjob-now is {state}\n")


def test_steering_an_ended_job_says_why_not(pinetune: Run) -> None:
    outcome = pinetune("jobs", "pause", "ftjob-rl")
    assert outcome.code == 2
    assert "has ended" in outcome.err


def test_a_watch_prints_a_line_for_each_event_and_the_comparison(pinetune: Run) -> None:
    outcome = pinetune("jobs", "watch", "ftjob-rl")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0].endswith("the job is running")
    assert "warm-up 1/3  loss" in lines[1]
    last_step = next(line for line in lines if "training 10/10" in line)
    for word in ("train reward", "validation", "best", "KL", "tokens/s", "ungraded 0.8%"):
        assert word in last_step
    assert "0.455 [0.386, 0.524]" in outcome.out
    for difference in ("warm_up - base", "fine_tuned - base", "fine_tuned - warm_up"):
        assert difference in outcome.out


def test_a_watch_in_json_is_one_message_a_line(pinetune: Run, jobs: FakeJobs) -> None:
    lines = pinetune("jobs", "watch", "ftjob-rl", "--json").out.splitlines()
    messages = [json.loads(line) for line in lines]
    assert len(messages) == len(jobs.histories["ftjob-rl"].messages)
    assert messages[-1]["job"]["state"] == "JOB_STATE_SUCCEEDED"


@pytest.mark.parametrize("state", [wire.JOB_STATE_FAILED, wire.JOB_STATE_CANCELLED])
def test_a_watched_job_that_does_not_succeed_exits_with_1(pinetune: Run, jobs: FakeJobs, state: wire.JobState) -> None:
    past = history.reinforcement("ftjob-bad", step_count=3)
    past.job.state = past.messages[-1].job.state = state
    past.job.error.reason, past.job.error.message = "UNGRADED", "step 3: 70% of completions are ungraded"
    jobs.add(past)
    outcome = pinetune("jobs", "watch", "ftjob-bad")
    assert outcome.code == 1
    assert "error: step 3: 70% of completions are ungraded (UNGRADED)" in outcome.err


def test_create_can_watch_to_the_end(pinetune: Run, jobs: FakeJobs, job_file: Path) -> None:
    ended = wire.WatchJobResponse(job=wire.Job(job_id="ftjob-1", state=wire.JOB_STATE_SUCCEEDED), resume_token="1")
    ended.event.message = "done"
    timer = threading.Timer(0.3, jobs.tell, ("ftjob-1", ended))
    timer.start()
    outcome = pinetune("jobs", "create", "-f", job_file, "--watch")
    timer.join()
    assert outcome.code == 0
    assert "done" in outcome.out


def test_a_report_without_a_gateway_is_said_in_one_sentence(run: Run, tmp_path: Path) -> None:
    outcome = run("jobs", "report", "ftjob-rl", "-o", tmp_path / "r.html", "--http", "http://127.0.0.1:1")
    assert outcome.code == 2
    assert outcome.err == "error: no pinetune at http://127.0.0.1:1; start one with `pinetune up`\n"
    assert list(tmp_path.iterdir()) == []


def test_a_watch_says_at_once_that_nobody_is_there(pinetune: Run) -> None:
    outcome = pinetune("jobs", "watch", "ftjob-1", "--server", "127.0.0.1:9")
    assert (outcome.code, outcome.err) == (2, "error: no pinetune at 127.0.0.1:9; start one with `pinetune up`\n")
