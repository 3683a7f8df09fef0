"""Metrics are named by one rule, explained, and stand in one file of their room. Read from the source, not run."""

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "services" / "pinetune"
KINDS = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
MEASURED_IN = ("seconds", "bytes", "ratio", "tokens", "samples", "steps", "count", "score")
"""Last words of a histogram: what its buckets count."""
FOREIGN_UNITS = re.compile(r"_(ms|millis|milliseconds|minutes|hours|kb|mb|gb|kilobytes|megabytes|percent)(_|$)")
PROMETHEUS_LABELS = {"job", "instance", "namespace", "pod", "room", "process"}
"""Labels that scraping gives to every series; a metric's own of that name would arrive as `exported_…`."""
ENDLESS_LABELS = {"item", "item_id", "sample", "sample_id", "completion", "completion_id", "rollout", "prompt", "call"}


@dataclass(frozen=True)
class Metric:
    """A metric as the source declares it."""

    file: Path
    kind: str
    name: str
    documentation: str
    labels: tuple[str, ...]

    def __str__(self) -> str:
        return self.name


def declared(path: Path) -> Iterator[Metric]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in KINDS:
            continue
        texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        if not texts or not str(texts[0]).startswith("pinetune"):
            continue
        lists = [argument for argument in node.args if isinstance(argument, ast.List | ast.Tuple)]
        lists += [keyword.value for keyword in node.keywords if keyword.arg == "labelnames"]  # type: ignore[misc]
        labels = [label.value for group in lists for label in group.elts if isinstance(label, ast.Constant)]
        yield Metric(path, node.func.id, str(texts[0]), str(texts[1]), tuple(map(str, labels)))


METRICS = [
    metric
    for path in sorted(PACKAGE.rglob("*.py"))
    if "api" not in path.relative_to(PACKAGE).parts
    for metric in declared(path)
]


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_a_metric_follows_the_rule(metric: Metric) -> None:
    room = metric.file.relative_to(PACKAGE).parts[0]
    # The worker is a process of its own that lives in the room of jobs.
    words = "jobs|worker" if room == "jobs" else room
    assert re.fullmatch(rf"pinetune_({words})_[a-z][a-z0-9_]*", metric.name)
    assert metric.file.name.endswith("metrics.py"), "a room's metrics stand in its metrics.py"
    assert (metric.kind == "Counter") == metric.name.endswith("_total")
    assert not FOREIGN_UNITS.search(metric.name), "seconds, bytes and ratios only"
    if metric.kind == "Histogram":
        assert metric.name.endswith(MEASURED_IN)
    assert metric.documentation.endswith("."), "one sentence that says what it measures"
    assert not PROMETHEUS_LABELS & set(metric.labels), "a job's id is `job_id`"
    assert not ENDLESS_LABELS & set(metric.labels), "a label with a value per sample grows without end"


def test_no_name_is_used_twice() -> None:
    names = sorted(metric.name for metric in METRICS)
    assert [a for a, b in itertools.pairwise(names) if a == b] == []


def test_the_pods_metrics_are_among_those_read() -> None:
    # Guards the reader above: a list that is empty by mistake would pass everything.
    assert {"pinetune_pod_calls_total", "pinetune_pod_call_seconds"} <= {metric.name for metric in METRICS}
