"""Asks a Prometheus what a dashboard would ask it."""

import json
import math
import re
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass

EVERYTHING = {"namespace": ".*", "job_id": ".+"}
"""What the dashboards' variables stand for when all is chosen."""
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Series:
    """One series of an answer."""

    labels: dict[str, str]
    """Its labels."""
    points: Sequence[tuple[float, float]]
    """Unix time in seconds and value; those that are no numbers are left out."""

    def name(self, legend: str) -> str:
        """Return its name by Grafana's template; where that is `__auto`, its labels."""
        if legend == "__auto":
            return ", ".join(f"{key}={value}" for key, value in self.labels.items() if key != "__name__")
        return re.sub(r"\{\{(\w+)\}\}", lambda found: self.labels.get(found[1], ""), legend).strip()


def filled(expression: str) -> str:
    """Return the expression with everything chosen."""
    return re.sub(r"\$(\w+)", lambda found: EVERYTHING[found[1]], expression)


def ask(url: str, expression: str, *, begin: float, end: float, step_seconds: float) -> list[Series]:
    """Return the series of an expression from `begin` to `end`, those without a single number left out."""
    query = {"query": filled(expression), "start": begin, "end": end, "step": step_seconds}
    address = f"{url}/api/v1/query_range?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as reply:
        found = json.load(reply)["data"]["result"]
    series = [
        Series(one["metric"], [(at, float(value)) for at, value in one["values"] if math.isfinite(float(value))])
        for one in found
    ]
    return [one for one in series if one.points]
