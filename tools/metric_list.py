"""Writes the list of metrics in docs/monitoring.md from the code: `python tools/metric_list.py`; a test compares."""

import importlib
from pathlib import Path

from prometheus_client import REGISTRY

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "monitoring.md"
BEGIN, END = "<!-- metrics: made by tools/metric_list.py -->\n", "<!-- end -->\n"
MODULES = (
    "pod.metrics",
    "gateway.metrics",
    "generation.metrics",
    "grading.metrics",
    "jobs.metrics",
    "jobs.worker_metrics",
    "learning.metrics",
)
"""Where the code's metrics stand."""


def series() -> dict[str, str]:
    """Return the name of each series that the code exports, and the metric it is of as the list writes it."""
    for module in MODULES:
        importlib.import_module(f"pinetune.{module}")
    ours = [family for family in REGISTRY.collect() if family.name.startswith("pinetune_")]
    found: dict[str, str] = {}
    for family in ours:
        metric = f"{family.name}_total" if family.type == "counter" else family.name
        endings = ("_bucket", "_sum", "_count") if family.type == "histogram" else ("",)
        found |= {f"{metric}{ending}": metric for ending in endings}
    return found


def table() -> str:
    """Return the list as a table, one metric a line."""
    metrics = set(series().values())
    rows = [
        f"| `{name}` | {family.type} | {family.documentation} |\n"
        for family in REGISTRY.collect()
        if (name := f"{family.name}_total" if family.type == "counter" else family.name) in metrics
    ]
    return "| metric | kind | what it is |\n|---|---|---|\n" + "".join(sorted(rows))


def page(text: str) -> str:
    """Return the page with the list made anew."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{table()}{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
