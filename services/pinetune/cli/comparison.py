"""Evaluations side by side, as a table for the terminal."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.api.jobs.v1.spec_pb2 import JobSpec
from pinetune.cli.console import interval, table


def items_compared(spec: JobSpec) -> str:
    """Return what a job's result was measured on: items that chose its checkpoint, or items kept for the end."""
    return "validation items" if spec.pinetune.evaluation.test_file == spec.validation_file else "test items"


def statistics_table(evaluations: Sequence[jobs_pb2.Evaluation], *, items: str = "items") -> Table:
    """Return a row for each statistic and a column for each evaluation, with 95% intervals; `items` says of what."""
    names = list(dict.fromkeys(statistic.name for evaluation in evaluations for statistic in evaluation.statistics))
    rows = [[name, *(_statistic(evaluation, name) for evaluation in evaluations)] for name in names]
    rows.append([items, *(str(evaluation.grades.sampled_count) for evaluation in evaluations)])
    rows.append(["ungraded", *(str(evaluation.grades.ungraded_count) for evaluation in evaluations)])
    return table(["", *(f"{label}>" for label in _labels(evaluations).values())], rows)


def comparison_table(comparison: jobs_pb2.Comparison, *, items: str = "items") -> Group:
    """Return the statistics, and each evaluation's differences to the first one, paired per item."""
    names = _labels(comparison.evaluations)
    rows: list[list[str | Text]] = [
        [
            f"{names[difference.evaluation_id]} - {names[difference.baseline_id]}",
            difference.statistic.name,
            _difference(difference.statistic),
            str(difference.better_count),
            str(difference.worse_count),
        ]
        for difference in comparison.differences
    ]
    differences = table(["paired difference", "", "with 95% interval>", "better>", "worse>"], rows)
    return Group(statistics_table(comparison.evaluations, items=items), differences)


def _labels(evaluations: Sequence[jobs_pb2.Evaluation]) -> dict[str, str]:
    """Return each evaluation's name by its id; names that several have are told apart by the end of the id."""
    counts = Counter(evaluation.order.name for evaluation in evaluations)
    return {
        evaluation.evaluation_id: f"{evaluation.order.name} …{evaluation.evaluation_id[-4:]}"
        if counts[evaluation.order.name] > 1
        else evaluation.order.name
        for evaluation in evaluations
    }


def _statistic(evaluation: jobs_pb2.Evaluation, name: str) -> str:
    found = next((statistic for statistic in evaluation.statistics if statistic.name == name), None)
    return interval(found.value, found.low, found.high) if found else ""


def _difference(statistic: jobs_pb2.Statistic) -> Text:
    """Return the difference, coloured only where its interval leaves out zero."""
    style = "green" if statistic.low > 0 else "red" if statistic.high < 0 else ""
    return Text(interval(statistic.value, statistic.low, statistic.high, signed=True), style)
