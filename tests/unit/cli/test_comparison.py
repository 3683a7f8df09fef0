"""Evaluations side by side in the terminal."""

from io import StringIO

from rich.console import Console

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.api.jobs.v1.spec_pb2 import JobSpec
from pinetune.cli.comparison import comparison_table, items_compared


def shown(comparison: jobs_pb2.Comparison) -> str:
    console = Console(file=StringIO(), width=160)
    console.print(comparison_table(comparison))
    file = console.file
    assert isinstance(file, StringIO)
    return file.getvalue()


def evaluation(evaluation_id: str, name: str) -> jobs_pb2.Evaluation:
    return jobs_pb2.Evaluation(evaluation_id=evaluation_id, order=jobs_pb2.EvaluationOrder(name=name))


def test_evaluations_of_one_name_are_told_apart_by_the_end_of_their_ids() -> None:
    comparison = jobs_pb2.Comparison(
        evaluations=[
            evaluation("eval-1", "base"),
            evaluation("eval-0aaaa", "tuned"),
            evaluation("eval-0bbbb", "tuned"),
        ],
        differences=[jobs_pb2.Difference(evaluation_id="eval-0bbbb", baseline_id="eval-1")],
    )
    head, *_, difference = [line for line in shown(comparison).splitlines() if "tuned" in line]
    assert head.split() == ["base", "tuned", "…aaaa", "tuned", "…bbbb"]
    assert difference.split()[:4] == ["tuned", "…bbbb", "-", "base"]


def test_the_items_of_a_job_s_result_are_called_what_they_are() -> None:
    comparison = jobs_pb2.Comparison(evaluations=[evaluation("eval-1", "base")])
    spec = JobSpec(validation_file="file-v")
    for test_file, words in (("file-v", "validation items"), ("file-t", "test items")):
        spec.pinetune.evaluation.test_file = test_file
        console = Console(file=StringIO(), width=160)
        console.print(comparison_table(comparison, items=items_compared(spec)))
        assert isinstance(console.file, StringIO)
        assert words in console.file.getvalue()
