import json
from pathlib import Path

import pytest
from tests.fakes import history
from tests.fakes.jobs_service import FakeJobs
from tests.unit.cli.conftest import Run

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.pod.errors import InvalidInput

ROWS = b'{"id": "1", "question": "2 + 2?", "answer": "4"}\n'


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_bytes(ROWS)
    return path


@pytest.fixture
def grader_file(tmp_path: Path) -> Path:
    path = tmp_path / "grader.yaml"
    path.write_text('type: number\nreference: "{{item.answer}}"\n')
    return path


def test_help_names_every_noun(run: Run) -> None:
    outcome = run("--help")
    assert outcome.code == 0
    for noun in ("up", "jobs", "datasets", "graders", "evals", "rollouts", "checkpoints"):
        assert f"\n  {noun} " in outcome.out


def test_a_data_set_is_uploaded_once(pinetune: Run, data_file: Path) -> None:
    first, second = pinetune("datasets", "upload", data_file), pinetune("datasets", "upload", data_file)
    assert (first.code, first.out, second.out) == (0, "file-1\n", "file-1\n")
    assert "uploaded as file-1 (1 rows, 49 B)" in first.err


def test_a_refused_data_set_is_named(pinetune: Run, jobs: FakeJobs, data_file: Path) -> None:
    jobs.refuse("CreateDataset", InvalidInput("line 6: not JSON", reason="INVALID_DATASET"))
    outcome = pinetune("datasets", "upload", data_file)
    assert (outcome.code, outcome.err.splitlines()[-1]) == (2, f"error: {data_file.name}: line 6: not JSON")


def test_data_sets_are_listed_over_all_pages(pinetune: Run, jobs: FakeJobs) -> None:
    for number in range(9):
        jobs.add_dataset(f"part-{number}.jsonl", ROWS * (number + 1))
    listed = json.loads(pinetune("datasets", "list", "--json").out)["datasets"]
    assert [each["row_count"] for each in listed] == list(range(9, 0, -1))
    assert "part-0.jsonl" in pinetune("datasets", "list").out


def test_two_data_sets_are_checked_from_files_and_ids(pinetune: Run, jobs: FakeJobs, data_file: Path) -> None:
    there = jobs.add_dataset("valid.jsonl", ROWS + ROWS)
    outcome = pinetune("datasets", "check", data_file, there.dataset_id)
    assert outcome.code == 0
    assert "2 of 9" in outcome.out


def test_a_file_that_is_not_there_is_said_in_one_sentence(pinetune: Run, tmp_path: Path) -> None:
    outcome = pinetune("datasets", "upload", tmp_path / "no.jsonl")
    assert (outcome.code, outcome.err) == (2, f"error: {tmp_path / 'no.jsonl'}: no such file\n")


def test_a_grader_is_validated(pinetune: Run, grader_file: Path) -> None:
    outcome = pinetune("graders", "validate", grader_file)
    assert outcome.code == 0
    assert json.loads(outcome.out) == {"type": "number", "reference": "{{item.answer}}"}
    assert "fingerprint f00d" in outcome.err


def test_a_wrong_grader_is_refused_in_the_services_words(pinetune: Run, tmp_path: Path) -> None:
    path = tmp_path / "grader.yaml"
    path.write_text("type: nuber\n")
    outcome = pinetune("graders", "validate", path)
    assert (outcome.code, outcome.out) == (2, "")
    assert "did you mean number?" in outcome.err


def test_one_text_is_graded(pinetune: Run, grader_file: Path) -> None:
    outcome = pinetune("graders", "run", grader_file, "--sample", "it is 4", "--item", '{"answer": "4"}', "--json")
    assert json.loads(outcome.out)["reward"] == 1.0


def test_the_grader_of_a_job_file_grades_a_file_of_samples(pinetune: Run, tmp_path: Path) -> None:
    path, samples = tmp_path / "job.yaml", tmp_path / "samples.jsonl"
    path.write_text("method: {type: reinforcement, reinforcement: {grader: {type: number}}}\n")
    rows = [
        {"model_sample": "so 4", "item": {"answer": "4"}},
        {"model_sample": "so 5", "item": {"answer": "4"}},
        {"model_sample": "so 6", "item": {}},
    ]
    samples.write_text("\n".join(map(json.dumps, rows)))
    outcome = pinetune("graders", "run", path, "--samples", samples)
    assert outcome.code == 0
    assert "invalid_variable" in outcome.out
    assert outcome.err == "mean 0.5000, 2 graded, 1 ungraded\n"


def test_bad_samples_are_named_by_line(pinetune: Run, grader_file: Path, tmp_path: Path) -> None:
    samples = tmp_path / "samples.jsonl"
    samples.write_text('{"model_sample": "x"}\n{"sample": "x"}\nnot json\n')
    outcome = pinetune("graders", "run", grader_file, "--samples", samples)
    assert outcome.code == 2
    *faults, reason = outcome.err.splitlines()
    assert [line.split(": ")[1] for line in faults] == [f"{samples}:2", f"{samples}:3"]
    assert reason == "reason BAD_ROW"


def test_evaluations_are_compared_with_intervals_and_differences(pinetune: Run) -> None:
    outcome = pinetune("evals", "compare", "eval-base", "eval-fine_tuned")
    assert outcome.code == 0
    assert "0.020 [0.001, 0.039]" in outcome.out
    assert "+0.435 [+0.385, +0.485]" in outcome.out


def test_one_evaluation_is_no_comparison(pinetune: Run) -> None:
    assert pinetune("evals", "compare", "eval-base").code == 2


def test_evaluations_are_shown_and_listed(pinetune: Run) -> None:
    assert "0.455 [0.386, 0.524]" in pinetune("evals", "get", "eval-fine_tuned").out
    listed = json.loads(pinetune("evals", "list", "--job", "ftjob-rl", "--json").out)["evaluations"]
    assert [each["order"]["name"] for each in listed] == ["fine_tuned", "warm_up", "base"]


def test_an_evaluation_is_ordered_from_a_file(pinetune: Run, jobs: FakeJobs, data_file: Path) -> None:
    path = data_file.with_name("eval.yaml")
    path.write_text(
        "name: base\nmodel: nano\ndataset_id: train.jsonl\ngrader: {type: number}\nsampling: {max_tokens: 64}\n"
    )
    outcome = pinetune("evals", "create", "-f", path, "--model", "job:ftjob-rl", "--name", "mine")
    assert (outcome.code, outcome.out) == (0, "eval-new\n")
    order = jobs.evaluation_orders[0]
    assert (order.name, order.model, order.dataset_id) == ("mine", "job:ftjob-rl", "file-1")
    assert (json.loads(order.grader.json), order.sampling.max_tokens) == ({"type": "number"}, 64)


def test_an_unknown_key_of_an_evaluation_is_refused(pinetune: Run, jobs: FakeJobs, tmp_path: Path) -> None:
    path = tmp_path / "eval.yaml"
    path.write_text("name: base\nmodle: nano\ndataset_id: file-1\ngrader: {type: number}\n")
    outcome = pinetune("evals", "create", "-f", path)
    assert (outcome.code, jobs.evaluation_orders) == (2, [])
    assert "modle" in outcome.err


def test_rollouts_are_listed_up_to_a_limit(pinetune: Run) -> None:
    listed = json.loads(pinetune("rollouts", "list", "ftjob-rl", "--purpose", "training", "--limit", "9", "--json").out)
    assert [each["step"] for each in listed["rollouts"]] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert "truncated" in pinetune("rollouts", "list", "ftjob-rl", "--step", "3").out


def test_one_rollout_is_shown_whole(pinetune: Run) -> None:
    outcome = pinetune("rollouts", "get", "ftjob-rl", "s10-p2-i1")
    assert outcome.code == 0
    assert "Rosa picked 19 apples and gave 5 to her brother." in outcome.out
    assert "19 - 5 = 14" in outcome.out


def test_rollouts_of_an_evaluation_are_found_by_its_id(pinetune: Run) -> None:
    outcome = pinetune("rollouts", "list", "eval-fine_tuned", "--json")
    assert len(json.loads(outcome.out)["rollouts"]) == 3


def test_the_evaluation_rollouts_of_a_job_are_asked_of_the_evaluation(pinetune: Run) -> None:
    outcome = pinetune("rollouts", "list", "ftjob-rl", "--purpose", "evaluation")
    assert outcome.code == 2
    assert "`pinetune evals list --job ftjob-rl`" in outcome.err
    assert pinetune("rollouts", "list", "eval-fine_tuned", "--purpose", "evaluation").code == 0


def test_checkpoints_are_listed_with_their_validation(pinetune: Run) -> None:
    outcome = pinetune("checkpoints", "list", "ftjob-rl")
    assert "ftckpt-10" in outcome.out
    assert "warm-up" in outcome.out


@pytest.fixture
def policy(jobs: FakeJobs, tmp_path: Path) -> Path:
    """A job whose final model, and whose checkpoint `ftckpt-1`, are a folder here."""
    folder = tmp_path / "policies" / "1"
    (folder / "deep").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "deep" / "model.safetensors").write_bytes(b"weights")
    past = history.reinforcement("ftjob-home", step_count=1, eval_interval=1)
    past.job.model_uri = str(folder)
    past.checkpoints[0].policy_uri = f"file://{folder}"
    jobs.add(past)
    return folder


@pytest.mark.parametrize("source", ["ftjob-home", "ftckpt-1"])
def test_a_model_is_exported_whole(pinetune: Run, policy: Path, tmp_path: Path, source: str) -> None:
    target = tmp_path / "home" / "model"
    outcome = pinetune("checkpoints", "export", source, target)
    assert (outcome.code, outcome.out) == (0, f"{target}\n")
    assert (target / "config.json").read_text() == "{}"
    assert (target / "deep" / "model.safetensors").read_bytes() == b"weights"
    assert [path.name for path in target.parent.iterdir()] == ["model"]


def test_an_export_overwrites_nothing(pinetune: Run, policy: Path, tmp_path: Path) -> None:
    outcome = pinetune("checkpoints", "export", "ftjob-home", tmp_path)
    assert outcome.code == 2
    assert "is there already" in outcome.err


def test_a_model_that_this_machine_cannot_see_is_said_to_be_so(pinetune: Run, tmp_path: Path) -> None:
    outcome = pinetune("checkpoints", "export", "ftjob-rl", tmp_path / "model")
    assert outcome.code == 2
    assert "/data/ftjob-rl/model: no such folder as seen from this machine" in outcome.err
    assert not (tmp_path / "model").exists()


def test_a_job_without_a_model_says_so(pinetune: Run, jobs: FakeJobs, tmp_path: Path) -> None:
    jobs.add(history.reinforcement("ftjob-now", step_count=1, ended=False))
    outcome = pinetune("checkpoints", "export", "ftjob-now", tmp_path / "model")
    assert outcome.code == 2
    assert "is running and has no final model" in outcome.err


def test_an_evaluation_is_waited_for(pinetune: Run, jobs: FakeJobs, tmp_path: Path) -> None:
    path = tmp_path / "eval.yaml"
    path.write_text("name: base\nmodel: nano\ndataset_id: file-1\ngrader: {type: number}\n")
    done = wire.Evaluation(evaluation_id="eval-new", state=wire.JOB_STATE_FAILED)
    done.error.reason, done.error.message = "NO_MODEL", "the model is gone"
    jobs.add(history.History(wire.Job(job_id="other"), evaluations=[done]))
    outcome = pinetune("evals", "create", "-f", path, "--wait")
    assert outcome.code == 1
    assert "the model is gone (NO_MODEL)" in outcome.out


def test_a_part_that_could_not_be_graded_is_shown(pinetune: Run, jobs: FakeJobs) -> None:
    rollout = jobs.histories["ftjob-rl"].rollouts[0]
    history.fail_part(rollout, "judge", "the judge refused")
    name = rollout.completion.completion_id
    shown = pinetune("rollouts", "get", "ftjob-rl", name).out
    assert "judge model_refusal: the judge refused" in shown
    told = json.loads(pinetune("rollouts", "get", "ftjob-rl", name, "--json").out)
    assert told["grade"]["part_errors"]["judge"]["detail"] == "the judge refused"
