"""Writes boards as Grafana's dashboard JSON (schema version 39, Grafana 11 and later read it)."""

import string
from collections.abc import Iterator, Sequence
from typing import Any

from tools.dashboards.panel import GRID_WIDTH, Board, Panel, Query

Json = dict[str, Any]
SCHEMA_VERSION = 39
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard(board: Board, all_boards: Sequence[Board]) -> Json:
    """Return the dashboard as Grafana imports it."""
    return {
        "uid": f"pinetune-{board.uid}",
        "title": board.title,
        "description": board.description,
        "tags": ["pinetune"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [
            _link(other.title, other.description, f"/d/pinetune-{other.uid}", outside=False)
            for other in all_boards
            if other is not board
        ],
        "templating": {"list": list(_variables(board))},
        "panels": [_panel(number, panel, place) for number, (panel, place) in enumerate(placed(board.panels), start=1)],
    }


def _link(title: str, tooltip: str, url: str, *, outside: bool) -> Json:
    return {
        "type": "link",
        "title": title,
        "tooltip": tooltip,
        "url": url,
        "icon": "doc" if outside else "dashboard",
        "tags": [],
        "asDropdown": False,
        "includeVars": not outside,
        "keepTime": not outside,
        "targetBlank": outside,
    }


def _variables(board: Board) -> Iterator[Json]:
    yield {
        "name": "datasource",
        "label": "Prometheus",
        "description": "Where the series are.",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
    }
    yield _chosen(
        "namespace", "Namespace", "Kubernetes namespaces; one machine has none.", "pinetune_pod_serving", every=".*"
    )
    if board.by_job:
        serving = 'pinetune_pod_serving{namespace=~"$namespace"}'
        yield _chosen("job_id", "Job", "Jobs and evaluations that had processes.", serving, every=".+")
    yield {
        "name": "runbooks",
        "label": "Runbooks",
        "description": "Address of docs/runbooks where you keep this repository.",
        "type": "textbox",
        "query": "docs/runbooks",
        "current": {"text": "docs/runbooks", "value": "docs/runbooks"},
        "hide": 0,
    }


def _chosen(name: str, label: str, description: str, series: str, *, every: str) -> Json:
    """Return a variable with the values that a label has."""
    query = f"label_values({series}, {name})"
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # with the time range: jobs come and go
        "sort": 2,
        "multi": True,
        "includeAll": True,
        "allValue": every,
        "current": {"text": ["All"], "value": ["$__all"]},
        "hide": 0,
    }


def placed(panels: Sequence[Panel]) -> Iterator[tuple[Panel, Json]]:
    """Put the panels side by side until a row is full."""
    x = y = row_height = 0
    for panel in panels:
        if x + panel.width > GRID_WIDTH:
            x, y, row_height = 0, y + row_height, 0
        yield panel, {"x": x, "y": y, "w": panel.width, "h": panel.height}
        x, row_height = x + panel.width, max(row_height, panel.height)


def _panel(number: int, panel: Panel, place: Json) -> Json:
    defaults: Json = {"unit": panel.unit, "custom": {}}
    if panel.minimum is not None:
        defaults["min"] = panel.minimum
    if panel.maximum is not None:
        defaults["max"] = panel.maximum
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": place,
        "targets": [
            _target(ref, query, panel) for ref, query in zip(string.ascii_uppercase, panel.queries, strict=False)
        ],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel),
        "transformations": _transformations(panel),
        "links": [
            _link(f"Runbook: {alert}", "What it means, what to do.", f"${{runbooks}}/{alert}.md", outside=True)
            for alert in panel.alerts
        ],
    }


def _target(ref: str, query: Query, panel: Panel) -> Json:
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "expr": query.expression,
        "legendFormat": query.legend,
        "range": panel.kind in ("timeseries", "heatmap"),
        "instant": panel.kind in ("stat", "table"),
        "format": {"table": "table", "heatmap": "heatmap"}.get(panel.kind, "time_series"),
    }


def _options(panel: Panel) -> Json:
    if panel.kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "graphMode": "none"}
    if panel.kind == "heatmap":
        return {"calculate": False, "yAxis": {"unit": panel.unit}, "legend": {"show": True}}
    if panel.kind == "table":
        return {"showHeader": True}
    legend = {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "mean"]}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def _transformations(panel: Panel) -> list[Json]:
    if panel.kind != "table":
        return []
    hidden = {"Time": True, "__name__": True, "alertstate": True, "Value": True}
    return [{"id": "organize", "options": {"excludeByName": hidden, "indexByName": {}, "renameByName": {}}}]
