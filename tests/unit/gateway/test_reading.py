import json
import math

import pytest
from tests.fakes.jobs_service import FakeJobs

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.gateway.charts import charts_of
from pinetune.gateway.reading import Reader
from pinetune.gateway.records import JobHistory
from pinetune.gateway.report import comparison_page
from pinetune.pod.errors import InvalidInput, NotFound


def test_steps_are_told_apart_by_phase_and_read_over_all_pages(trained: JobHistory) -> None:
    assert [step.number for step in trained.warm_up] == [1, 2, 3]
    assert [step.number for step in trained.training] == list(range(11))
    assert [step.number for step in trained.training if step.validation] == [0, 5, 10]
    first = trained.training[0]
    assert (first.train_reward, first.kl, first.ungraded_share) == (None, None, None)
    assert trained.training[1].ungraded_share == pytest.approx(1 / 128)


def test_a_validation_of_which_nothing_was_graded_is_no_point_of_the_curve(reader: Reader, jobs: FakeJobs) -> None:
    validation = jobs.histories["ftjob-rl"].steps[3].validation
    validation.reward_mean = math.nan
    validation.grades.CopyFrom(wire.GradeCounts(sampled_count=4, ungraded_count=4))
    trained = reader.history("ftjob-rl")
    assert [step.number for step in trained.training if step.validation] == [5, 10]
    for chart in charts_of(trained):
        json.dumps(chart.figure, allow_nan=False)


def test_the_same_items_are_compared_between_the_first_and_the_last_validation(trained: JobHistory) -> None:
    changes = trained.changes
    assert changes is not None
    assert (changes.first_step, changes.last_step) == (0, 10)
    assert (changes.item_count, changes.better_count, changes.worse_count) == (4, 2, 0)
    assert [pair.first.item_id for pair in changes.shown] == ["item-1", "item-2", "item-0", "item-3"]
    assert all(pair.first.item_id == pair.last.item_id for pair in changes.shown)
    assert (changes.shown[0].first.score, changes.shown[0].last.score) == (0.0, 1.0)
    assert changes.shown[0].first.reference == "14"


def test_runs_of_several_jobs_stand_from_base_to_best_with_all_paired_differences(reader: Reader) -> None:
    table = reader.runs_of(["ftjob-rl", "ftjob-sft"])
    assert [run.name for run in table.runs] == ["base", "warm_up", "sft", "fine_tuned"]
    assert table.headline == "accuracy"
    assert {(each.name, each.baseline) for each in table.differences} == {
        ("warm_up", "base"),
        ("sft", "base"),
        ("fine_tuned", "base"),
        ("sft", "warm_up"),
        ("fine_tuned", "warm_up"),
        ("fine_tuned", "sft"),
    }
    assert {each.statistic for each in table.differences} == {"accuracy"}


def test_the_same_base_measured_by_two_jobs_is_shown_once(reader: Reader, jobs: FakeJobs) -> None:
    base = jobs.histories["ftjob-rl"].evaluations[0]
    base.content_hash = "aa"
    again = wire.Evaluation()
    again.CopyFrom(base)
    again.evaluation_id, again.order.job_id = "eval-again", "ftjob-sft"
    sft = jobs.histories["ftjob-sft"]
    assert isinstance(sft.evaluations, list)
    sft.evaluations.append(again)
    assert [run.name for run in reader.runs_of(["ftjob-rl", "ftjob-sft"]).runs] == [
        "base",
        "warm_up",
        "sft",
        "fine_tuned",
    ]


def test_two_runs_of_one_name_are_told_apart_by_their_jobs(reader: Reader, jobs: FakeJobs) -> None:
    jobs.histories["ftjob-sft"].job.spec.method.type = "reinforcement"
    names = [run.name for run in reader.runs_of(["ftjob-rl", "ftjob-sft"]).runs]
    assert names[2:] == ["fine_tuned (ftjob-rl)", "fine_tuned (ftjob-sft)"]


def test_jobs_with_words_of_their_own_are_told_apart_by_these(reader: Reader, jobs: FakeJobs) -> None:
    spec = jobs.histories["ftjob-sft"].job.spec
    spec.method.type, spec.suffix = "reinforcement", "longer"
    names = [run.name for run in reader.runs_of(["ftjob-rl", "ftjob-sft"]).runs]
    assert names[2:] == ["fine_tuned (sums)", "fine_tuned (longer)"]


def test_runs_on_different_items_have_no_differences_and_a_reason(reader: Reader, jobs: FakeJobs) -> None:
    jobs.histories["ftjob-sft"].evaluations[0].order.dataset_id = "file-other"
    table = reader.runs_of(["ftjob-rl", "ftjob-sft"])
    assert (len(table.runs), table.differences) == (4, [])
    assert "their items differ" in table.note


@pytest.mark.parametrize(("dataset_id", "items"), [("file-test", "test"), ("file-valid", "validation"), ("file-x", "")])
def test_a_run_says_whether_its_items_chose_the_checkpoint(
    reader: Reader, jobs: FakeJobs, dataset_id: str, items: str
) -> None:
    history = jobs.histories["ftjob-rl"]
    history.job.spec.pinetune.evaluation.test_file = "file-test" if items != "validation" else "file-valid"
    for evaluation in history.evaluations:
        evaluation.order.dataset_id = dataset_id
    table = reader.runs_of(["ftjob-rl"])
    named = reader.runs([run.evaluation_id for run in table.runs])
    assert {run.items for run in (*table.runs, *named.runs)} == {items}
    assert ("by which the checkpoint was chosen" in comparison_page(table)) == (items == "validation")


def test_unfinished_evaluations_are_left_out(reader: Reader, jobs: FakeJobs) -> None:
    jobs.histories["ftjob-rl"].evaluations[2].state = wire.JOB_STATE_RUNNING
    assert [run.name for run in reader.runs_of(["ftjob-rl"]).runs] == ["base", "warm_up"]


def test_the_order_shows_its_grader_as_an_object(trained: JobHistory) -> None:
    order = json.loads(trained.job.order_json)
    assert order["method"]["reinforcement"]["grader"] == {
        "type": "number",
        "name": "answer",
        "reference": "{{item.answer}}",
    }
    assert dict(trained.job.facts)["Grader"] == "number"


def test_data_sets_are_called_by_their_file_and_a_deleted_one_by_its_id(reader: Reader, jobs: FakeJobs) -> None:
    there = jobs.add_dataset("train.jsonl", b"{}\n{}\n")
    jobs.histories["ftjob-rl"].job.spec.training_file = there.dataset_id
    facts = dict(reader.history("ftjob-rl").job.facts)
    assert facts["Training data"] == "train.jsonl (2 rows)"
    assert facts["Validation data"] == "file-valid"


def test_an_ungraded_rollout_says_why(reader: Reader) -> None:
    page = reader.rollouts("ftjob-rl", step=3)
    ungraded = [sample for sample in page.samples if sample.score is None]
    assert [sample.error for sample in ungraded] == ["truncated: the sample was cut off after 128 tokens"]


def test_an_unknown_job_raises_what_the_service_said(reader: Reader) -> None:
    with pytest.raises(NotFound, match="ftjob-9"):
        reader.history("ftjob-9")


def test_comparing_an_unknown_evaluation_raises(reader: Reader) -> None:
    with pytest.raises((NotFound, InvalidInput)):
        reader.runs(["eval-base", "eval-9"])
