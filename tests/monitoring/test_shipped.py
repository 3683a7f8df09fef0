"""Rules, dashboards, runbooks and the code name the same things. Needs neither Prometheus nor Grafana."""

import re
from typing import Any

import pytest
import yaml
from tests.monitoring.shipped import (
    DASHBOARDS,
    MONITORING,
    PROMETHEUS,
    RULES,
    RUNBOOKS,
    alerts,
    dashboards,
    names_in,
    questions,
    recordings,
)
from tools.dashboards.__main__ import made
from tools.metric_list import PAGE, page, series

LEVELS = ("namespace", "job_id", "room", "grader", "kind", "model", "reason")
PANEL_TYPES = {"timeseries", "stat", "table", "heatmap"}
SHOWN_BY_OTHERS = {
    # The same numbers as those of the jobs room or of learning, for whoever scrapes workers alone.
    "pinetune_worker_train_reward_mean",
    "pinetune_worker_validation_reward_mean",
    "pinetune_worker_sampled_tokens_per_second",
    "pinetune_worker_canary_gap",
    "pinetune_worker_step",
    "pinetune_worker_sampler_gap_mean",
    "pinetune_worker_sampler_gap_p50",
    "pinetune_worker_sampler_gap_p95",
    "pinetune_worker_sampler_gap_p99",
    "pinetune_worker_sampler_gap_max",
    "pinetune_worker_effective_sample_share",
    "pinetune_worker_effective_sequence_share",
    "pinetune_worker_bounded_tokens_total",
    "pinetune_jobs_sampler_gap_p99",
    "pinetune_jobs_effective_sample_share",
    # Sums over jobs of what dashboards show by job.
    "pinetune_jobs_completions_total",
    "pinetune_jobs_endings_total",
    "pinetune_jobs_step_seconds",
    "pinetune_jobs_steps_total",
    "pinetune_jobs_steps_taken_back_total",
    # For a look at one process.
    "pinetune_pod_calls_in_flight",
    "pinetune_pod_serving",
    "pinetune_jobs_events_total",
    "pinetune_jobs_watchers",
}
"""What is exported and on no dashboard, with the reason."""
ALERTS = alerts()
PANELS = [
    pytest.param(panel, id=f"{board}: {panel['title']}")
    for board, dashboard in dashboards().items()
    for panel in dashboard["panels"]
]


def cases() -> dict[str, list[bool]]:
    """Return for each alert whether it fires, in each of its promtool cases."""
    found: dict[str, list[bool]] = {}
    for path in sorted((RULES / "tests").glob("*.yaml")):
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for case in test.get("alert_rule_test", []):
                found.setdefault(case["alertname"], []).append(bool(case["exp_alerts"]))
    return found


def test_every_metric_that_rules_and_dashboards_name_is_one_that_the_code_exports() -> None:
    known = set(series()) | set(recordings())
    expressions = [*recordings().values(), *(rule["expr"] for rule in ALERTS.values())]
    expressions += [asked.expression for asked in questions()]
    assert {name for expression in expressions for name in names_in(expression)} - known == set()


def test_every_metric_that_the_code_exports_is_on_a_dashboard_or_in_a_rule() -> None:
    families = series()
    shown = [names_in(asked.expression) for asked in questions()]
    shown += [names_in(expression) for expression in recordings().values()]
    shown += [names_in(rule["expr"]) for rule in ALERTS.values()]
    named = {families[name] for names in shown for name in names if name in families}
    assert set(families.values()) - named - SHOWN_BY_OTHERS == set()
    assert named & SHOWN_BY_OTHERS == set()


def test_the_list_of_metrics_in_the_documentation_is_what_the_code_exports() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text


@pytest.mark.parametrize("name", recordings())
def test_a_recording_is_named_level_metric_operation(name: str) -> None:
    level, metric, operation = name.split(":")
    assert level in LEVELS
    assert metric.startswith("pinetune_")
    assert re.fullmatch(r"[a-z]+[0-9a-z_]*", operation)


@pytest.mark.parametrize("name", recordings())
def test_every_recording_is_used(name: str) -> None:
    used = [names_in(asked.expression) for asked in questions()]
    used += [names_in(rule["expr"]) for rule in ALERTS.values()]
    used += [names_in(expression) for expression in recordings().values()]
    assert name in set().union(*used)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_was_measured_and_where_to_read_on(name: str) -> None:
    rule = ALERTS[name]
    assert name.startswith("Pinetune")
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert "$value" in rule["annotations"]["description"]
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    page = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    headings = [line for line in page.splitlines() if line.startswith("#")]
    assert headings == [f"# {name}", "## What it means", "## What to look at", "## What to do"]
    assert f"Severity: {rule['labels']['severity']}. Threshold:" in page


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_case_that_fires_and_one_that_does_not(name: str) -> None:
    assert set(cases().get(name, [])) == {True, False}


def test_no_runbook_and_no_case_is_left_of_an_alert_that_is_gone() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(ALERTS) == set(cases())


def test_every_alert_is_linked_from_a_panel_and_every_link_leads_to_a_runbook() -> None:
    linked = {
        re.sub(r".*/(\w+)\.md", r"\1", link["url"])
        for dashboard in dashboards().values()
        for panel in dashboard["panels"]
        for link in panel["links"]
    }
    assert linked == set(ALERTS)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_has_title_description_and_unit_and_a_type_that_is_still_supported(panel: dict[str, Any]) -> None:
    assert panel["type"] in PANEL_TYPES
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]


@pytest.mark.parametrize("name", dashboards())
def test_a_dashboard_picks_datasource_and_namespace_and_begins_with_reward_and_throughput(name: str) -> None:
    dashboard = dashboards()[name]
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert {"datasource", "namespace", "runbooks"} <= variables
    text = str(dashboard["panels"])
    assert set(re.findall(r"\$\{?(\w+)\}?", text)) <= variables
    first, second = (panel["title"].lower() for panel in dashboard["panels"][:2])
    assert "reward" in first or "score" in first
    assert "per second" in second


def test_the_dashboards_are_what_their_maker_makes() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in DASHBOARDS.glob("*.json")} == dict(made())


def test_every_yaml_file_can_be_read() -> None:
    for path in MONITORING.rglob("*.yaml"):
        assert list(yaml.safe_load_all(path.read_text(encoding="utf-8"))), path


@pytest.mark.parametrize("kind", ["PodMonitor", "ServiceMonitor"])
def test_monitors_give_the_labels_that_the_configuration_without_the_operator_gives(kind: str) -> None:
    monitors = yaml.safe_load_all((PROMETHEUS / "monitors.yaml").read_text(encoding="utf-8"))
    (monitor,) = [one for one in monitors if one["kind"] == kind]
    spec = monitor["spec"]
    assert spec["jobLabel"] == "app.kubernetes.io/name"  # whose value is the `job` of the other configurations
    (endpoint,) = spec["podMetricsEndpoints" if kind == "PodMonitor" else "endpoints"]
    assert endpoint["port"] == "metrics"
    given = {(*one["sourceLabels"], one["targetLabel"]) for one in endpoint["relabelings"] if "targetLabel" in one}
    config = yaml.safe_load((PROMETHEUS / "prometheus-kubernetes.yaml").read_text(encoding="utf-8"))
    asked = {
        (*one["source_labels"], one["target_label"])
        for one in config["scrape_configs"][0]["relabel_configs"]
        if one.get("target_label") in ("room", "process", "job_id")
    }
    # The operator adds the namespace itself; services have no job.
    assert given == {one for one in asked if kind == "PodMonitor" or one[-1] != "job_id"}
