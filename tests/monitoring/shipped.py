"""What is shipped for Prometheus and Grafana, read from deploy/monitoring for the tests."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
PROMETHEUS = MONITORING / "prometheus"
RULES = PROMETHEUS / "rules"
DASHBOARDS = MONITORING / "grafana" / "dashboards"
RUNBOOKS = ROOT / "docs" / "runbooks"
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_:]*")
TEXT = re.compile(r'"[^"]*"')
Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One query of a panel."""

    board: str
    panel: str
    panel_id: int
    expression: str

    def __str__(self) -> str:
        return f"{self.board}: {self.panel}: {self.expression}"


def rules(file: str) -> list[Json]:
    groups = yaml.safe_load((RULES / file).read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def recordings() -> dict[str, str]:
    return {rule["record"]: rule["expr"] for rule in rules("recording.yaml")}


def alerts() -> dict[str, Json]:
    return {rule["alert"]: rule for rule in rules("alerts.yaml")}


def dashboards() -> dict[str, Json]:
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))}


def questions() -> Iterator[Asked]:
    for board, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield Asked(board, panel["title"], panel["id"], target["expr"])


def names_in(expression: str) -> set[str]:
    """Return the metrics and recordings of ours that an expression names."""
    return {name for name in NAME.findall(TEXT.sub("", expression)) if "pinetune_" in name}
