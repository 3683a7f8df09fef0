"""What a runbook tells a person to type or to look at exists: commands, settings, fields, metrics, panels, alerts."""

import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from pydantic import BaseModel
from tests.monitoring.shipped import RUNBOOKS, alerts, dashboards, recordings
from tools.metric_list import series

from pinetune.cli.main import app
from pinetune.jobs.spec.settings import PinetuneSettings

CODE, PANEL = re.compile(r"`([^`]+)`"), re.compile(r"(?<![\w*])\*([^*]+)\*(?!\*)")
SETTINGS = (
    ("pinetune.jobs.config", "JobsSettings"),
    ("pinetune.jobs.worker_config", "WorkerSettings"),
    ("pinetune.gateway.config", "GatewaySettings"),
    ("pinetune.grading.config", "GradingSettings"),
    ("pinetune.generation.config", "GenerationSettings"),
    ("pinetune.learning.config", "LearningSettings"),
    ("pinetune.pod.settings", "PodSettings"),
    ("pinetune.pod.channel", "ChannelSettings"),
)
"""What reads the environment."""


def settings() -> Iterator[str]:
    """Yield the name of every variable that some process reads."""
    for module, name in SETTINGS:
        kind = getattr(importlib.import_module(module), name)
        for field in kind.model_fields:
            yield f"{kind.model_config['env_prefix']}{field.upper()}"


def fields(kind: type[BaseModel], path: str) -> Iterator[str]:
    """Yield the address of every table and field of an order under `path`."""
    for name, field in kind.model_fields.items():
        yield f"{path}.{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{path}.{name}")


def fault_of(command: str) -> str:
    """Return what is wrong with a command line of ours; empty where nothing is."""
    _, *words = command.split()
    at: Any = typer.main.get_command(app)
    while words and hasattr(at, "commands"):
        if words[0] not in at.commands:
            return f"`{command}`: there is no {words[0]!r} in `{at.name}`"
        at = at.commands[words.pop(0)]
    known = {option for parameter in at.params for option in parameter.opts}
    unknown = [word for word in words if word.startswith("--") and word not in known]
    return f"`{command}`: there is no option {unknown[0]}" if unknown else ""


VARIABLES = set(settings())
ORDER = set(fields(PinetuneSettings, "pinetune"))
METRICS = set(series()) | set(series().values()) | set(recordings())
PANELS = {panel["title"].lower() for dashboard in dashboards().values() for panel in dashboard["panels"]}


def faults(text: str) -> list[str]:
    """Return what a page names that does not exist."""
    text = re.sub(r"\s+", " ", text)
    found = []
    for code in CODE.findall(text):
        word = code.split()[0].split("=")[0]
        if word == "pinetune":
            found.append(fault_of(code))
        elif word.startswith("PINETUNE_") and word not in VARIABLES:
            found.append(f"{word}: no process reads it")
        elif word.startswith("pinetune_") and re.split(r"[{\[(]", word)[0] not in METRICS:
            found.append(f"{word}: there is no such metric")
        elif re.fullmatch(r"pinetune(\.[a-z_0-9]+)+", word) and word not in ORDER:
            found.append(f"{word}: no order has it")
    found += [f"*{name}*: no panel has that title" for name in PANEL.findall(text) if name.lower() not in PANELS]
    found += [
        f"{name}: there is no such alert" for name in re.findall(r"\bPinetune[A-Z]\w+", text) if name not in alerts()
    ]
    return [fault for fault in found if fault]


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_what_a_runbook_names_exists(page: Any) -> None:
    assert faults(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("`pinetune jobs delete`", "`pinetune jobs delete`: there is no 'delete' in `jobs`"),
        ("`pinetune jobs\nsteps --all`", "`pinetune jobs steps --all`: there is no option --all"),
        ("`PINETUNE_JOBS_ROOM=1`", "PINETUNE_JOBS_ROOM: no process reads it"),
        ('`pinetune_jobs_disk{place="state"}`', "pinetune_jobs_disk{place: there is no such metric"),
        ("`pinetune.checkpoints.keep`", "pinetune.checkpoints.keep: no order has it"),
        ("*Free disk* of jobs", "*Free disk*: no panel has that title"),
        ("see PinetuneDiskFull", "PinetuneDiskFull: there is no such alert"),
    ],
    ids=["command", "option", "variable", "metric", "field", "panel", "alert"],
)
def test_a_name_that_does_not_exist_is_found(text: str, fault: str) -> None:
    assert faults(text) == [fault]


def test_names_that_exist_are_found_to_be_there() -> None:
    # Guards the lists above: one that is empty by mistake would find fault with everything, too.
    text = (
        "`pinetune jobs steps --json`, `PINETUNE_JOBS_MAX_RUNNING=2`, `pinetune_jobs_step`, `pinetune.engine.weights`"
    )
    assert faults(f"{text}, *Reward*") == []
