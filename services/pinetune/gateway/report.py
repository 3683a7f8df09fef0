"""Renders HTML: the pages of the gateway, and the report to keep, which is the same HTML with everything inside.

The templates are in `templates/`. Whatever comes from users, models or data sets is escaped by Jinja; figures go into
the page as JSON that cannot end its script element.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from pinetune.gateway.charts import charts_of
from pinetune.gateway.intervals import Scale
from pinetune.gateway.records import JobHistory, JobRecord, RolloutsPage, RunTable, Sample

REFRESH_SECONDS = 10
"""How often the page of a job that is under way loads itself again."""


def report(histories: Sequence[JobHistory], table: RunTable) -> str:
    """Return one self-contained page about jobs: no other file and no network is needed to read it."""
    return _render(
        "report.html",
        title="Pinetune report: " + ", ".join(history.job.title for history in histories),
        histories=histories,
        charts={history.job.job_id: charts_of(history) for history in histories},
        table=_table(table),
        plotly=Markup(plotly_script()),
        pages=False,
        refresh_seconds=0,
    )


def job_page(history: JobHistory, table: RunTable) -> str:
    """Return the page of one job, which loads itself again while the job is under way."""
    return _render(
        "report.html",
        title=history.job.title,
        histories=[history],
        charts={history.job.job_id: charts_of(history)},
        table=_table(table),
        plotly="",
        pages=True,
        refresh_seconds=REFRESH_SECONDS if history.job.under_way else 0,
    )


def jobs_page(jobs: Sequence[JobRecord]) -> str:
    """Return the list of jobs."""
    refresh = REFRESH_SECONDS if any(job.under_way for job in jobs) else 0
    return _render("jobs.html", title="Jobs", jobs=jobs, pages=True, refresh_seconds=refresh)


def comparison_page(table: RunTable) -> str:
    """Return evaluations side by side."""
    return _render("comparison.html", title="Comparison", table=_table(table), pages=True, refresh_seconds=0)


def rollouts_page(job_id: str, page: RolloutsPage, *, step: int | None, purpose: str) -> str:
    """Return one page of a job's rollouts."""
    return _render(
        "rollouts.html",
        title=f"Rollouts of {job_id}",
        job_id=job_id,
        page=page,
        step=step,
        purpose=purpose,
        pages=True,
        refresh_seconds=0,
    )


@cache
def plotly_script() -> str:
    """Return plotly.js, which comes with the plotly wheel; no network is asked."""
    script = (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    # Inside of an HTML script element only this could end it.
    return script.replace("</script", "<\\/script")


def _table(table: RunTable) -> dict[str, object]:
    """Return what the table's template needs: rows with dots, ticks, and the statistics beside the headline."""
    headline = table.headline
    shown = [run for run in table.runs if headline in run.statistics]
    scale = Scale([run.statistics[headline] for run in shown])
    others = dict.fromkeys(name for run in table.runs for name in run.statistics if name != headline)
    spread = Scale([each.interval for each in table.differences])
    return {
        "headline": headline,
        "rows": [(run, run.statistics[headline], scale.dot(run.statistics[headline])) for run in shown],
        "ticks": scale.ticks(),
        "others": list(others),
        "differences": [(each, spread.dot(each.interval)) for each in table.differences],
        "difference_ticks": spread.ticks(),
        "difference_zero": spread.position(0.0),
        "note": table.note,
        "chosen_by": any(run.items == "validation" for run in shown),
    }


def _grade(sample: Sample) -> str:
    return "ungraded" if sample.score is None else f"{sample.score:.2f}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pinetune.gateway"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["grade"] = _grade
    return environment


def _render(template: str, **values: object) -> str:
    return (
        _environment()
        .get_template(template)
        .render(now=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), version=version("pinetune"), **values)
    )
