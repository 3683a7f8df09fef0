"""What a panel shows, in our words. How Grafana writes it is in `grafana.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["timeseries", "stat", "table", "heatmap"]
"""The panel types in use; older ones (graph, singlestat) Grafana no longer has."""
GRID_WIDTH = 24
"""Columns of Grafana's grid."""

NAMESPACE = 'namespace=~"$namespace"'
"""Selects by the dashboard's namespaces; all of them is `.*`, which a series without a namespace matches too."""
JOB = f'{NAMESPACE}, job_id=~"$job_id"'
"""Selects by the dashboard's jobs."""


@dataclass(frozen=True)
class Query:
    """One PromQL query of a panel."""

    expression: str
    """PromQL, with the dashboard's variables."""
    legend: str = "__auto"
    """Name of each series, as a template over its labels."""


@dataclass(frozen=True)
class Panel:
    """One picture with its question."""

    title: str
    """What is shown."""
    description: str
    """How to read it: what is good, what is not."""
    unit: str
    """Grafana's name of the unit."""
    queries: Sequence[Query]
    """What is asked."""
    kind: Kind = "timeseries"
    """How it is drawn."""
    width: int = 12
    """In columns."""
    height: int = 8
    """In rows of the grid."""
    minimum: float | None = None
    """Where the axis begins; None for where the data does."""
    maximum: float | None = None
    """Where it ends."""
    alerts: Sequence[str] = ()
    """Alerts on what is shown here; the panel links to their runbooks."""


@dataclass(frozen=True)
class Board:
    """One dashboard."""

    uid: str
    """Its stable name, as in its file and address."""
    title: str
    """Its heading."""
    description: str
    """Which questions it answers."""
    panels: Sequence[Panel]
    """From the top left, row by row."""
    by_job: bool = True
    """Whether one picks jobs."""


def lines(
    title: str,
    description: str,
    unit: str,
    *queries: tuple[str, str],
    minimum: float | None = None,
    maximum: float | None = None,
    alerts: Sequence[str] = (),
) -> Panel:
    """Return a panel of lines over time, from (expression, legend) pairs."""
    asked = [Query(*query) for query in queries]
    return Panel(title, description, unit, asked, minimum=minimum, maximum=maximum, alerts=alerts)


def share(title: str, description: str, *queries: tuple[str, str], alerts: Sequence[str] = ()) -> Panel:
    """Return a panel of shares, 0 to 100%."""
    return Panel(
        title, description, "percentunit", [Query(*query) for query in queries], minimum=0, maximum=1, alerts=alerts
    )


def number(title: str, description: str, unit: str, expression: str, *, alerts: Sequence[str] = ()) -> Panel:
    """Return a panel with one number, its last."""
    return Panel(title, description, unit, [Query(expression)], kind="stat", width=6, height=4, alerts=alerts)
