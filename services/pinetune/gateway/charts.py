"""Curves of a job as Plotly figures: plain dictionaries that plotly.js draws in the reader's browser.

One y-axis a figure, units on every axis, a legend only where there is more than one series. Colours are names of the
style sheet's variables (`style.css`); the page's script puts in what they are in the reader's light or dark scheme. The
palette is Okabe and Ito's, which the colour-blind can tell apart.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pinetune.gateway.records import JobHistory, StepRecord

FIRST, SECOND, FIRST_BAND = "var(--series-1)", "var(--series-2)", "var(--series-1-band)"
Point = tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """A figure with the words around it."""

    title: str
    """What is drawn."""
    figure: dict[str, object]
    """`data` and `layout`, for Plotly.newPlot."""


def charts_of(history: JobHistory) -> list[Chart]:
    """Return the charts of a job; what was never measured has none."""
    training = history.training
    drawn = [
        _warm_up_loss(history.warm_up),
        _rewards("Reward", "training step", training),
        _rewards("Reward in the warm-up", "warm-up step", history.warm_up),
        _single(
            "KL to the reference policy", "KL (nats per completion)", [(s.number, s.kl) for s in training], zero=True
        ),
        _single(
            "Length of completions",
            "mean length (tokens)",
            [(s.number, s.completion_tokens) for s in training],
            zero=True,
        ),
        _single("Sampling speed", "tokens per second", [(s.number, s.tokens_per_second) for s in training], zero=True),
        _shares(training),
    ]
    return [chart for chart in drawn if chart is not None]


def _rewards(title: str, steps_name: str, steps: Sequence[StepRecord]) -> Chart | None:
    train = _known((step.number, step.train_reward) for step in steps)
    measured = [(step.number, step.validation) for step in steps if step.validation is not None]
    series = []
    if measured:
        numbers = [number for number, _ in measured]
        series += _band(numbers, [each.low for _, each in measured], [each.high for _, each in measured])
        validation = _line("validation", [(number, each.value) for number, each in measured], FIRST, marked=True)
        # A single validation is a point, and its interval would be a band without width.
        if len(measured) == 1:
            only = measured[0][1]
            validation["error_y"] = {
                "type": "data",
                "symmetric": False,
                "array": [only.high - only.value],
                "arrayminus": [only.value - only.low],
                "color": FIRST,
                "thickness": 1.5,
            }
        series.append(validation)
    if train:
        series.append(_line("training", train, SECOND, thin=True))
    if not series:
        return None
    return Chart(title, _figure(series, steps_name, "mean score (0 to 1)", legend=bool(train and measured)))


def _warm_up_loss(steps: Sequence[StepRecord]) -> Chart | None:
    points = [(step.number, step.loss) for step in steps]
    return _single("Warm-up loss", "cross-entropy (nats per token)", points, steps_name="warm-up step", zero=True)


def _shares(steps: Sequence[StepRecord]) -> Chart | None:
    truncated = _known((step.number, None if s is None else 100 * s) for step in steps for s in [step.truncated_share])
    ungraded = _known((step.number, None if s is None else 100 * s) for step in steps for s in [step.ungraded_share])
    if not truncated and not ungraded:
        return None
    series = [_line("cut off", truncated, FIRST), _line("ungraded", ungraded, SECOND)]
    return Chart(
        "Completions cut off and ungraded", _figure(series, "training step", "share (%)", legend=True, zero=True)
    )


def _single(
    title: str,
    y_name: str,
    points: Iterable[tuple[int, float | None]],
    *,
    steps_name: str = "training step",
    zero: bool = False,
) -> Chart | None:
    known = _known(points)
    if not known:
        return None
    return Chart(title, _figure([_line(y_name, known, FIRST)], steps_name, y_name, legend=False, zero=zero))


def _known(points: Iterable[tuple[int, float | None]]) -> list[Point]:
    return [(number, value) for number, value in points if value is not None]


def _line(
    name: str, points: Sequence[Point], colour: str, *, marked: bool = False, thin: bool = False
) -> dict[str, object]:
    marked = marked or len(points) == 1
    return {
        "type": "scatter",
        "mode": "lines+markers" if marked else "lines",
        "name": name,
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "line": {"color": colour, "width": 1.25 if thin else 2},
        "marker": {"color": colour, "size": 6},
        "hovertemplate": "%{y:.4~g}",
    }


def _band(numbers: Sequence[int], low: Sequence[float], high: Sequence[float]) -> list[dict[str, object]]:
    edge = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
    return [
        {**edge, "x": list(numbers), "y": list(low)},
        {**edge, "x": list(numbers), "y": list(high), "fill": "tonexty", "fillcolor": FIRST_BAND},
    ]


def _figure(
    series: Sequence[dict[str, object]], x_name: str, y_name: str, *, legend: bool, zero: bool = False
) -> dict[str, object]:
    axis = {"gridcolor": "var(--grid)", "linecolor": "var(--axis)", "zeroline": False, "ticks": "", "automargin": True}
    layout = {
        "xaxis": {
            **axis,
            "title": {"text": x_name, "standoff": 6},
            "showgrid": False,
            "showline": True,
            "rangemode": "tozero",
        },
        "yaxis": {**axis, "title": {"text": y_name, "standoff": 8}, "rangemode": "tozero" if zero else "normal"},
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": "var(--card)", "bordercolor": "var(--grid)"},
        "margin": {"l": 56, "r": 12, "t": 28 if legend else 10, "b": 44},
        "height": 260,
        "font": {"color": "var(--muted)", "size": 12, "family": "system-ui, sans-serif"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }
    return {"data": list(series), "layout": layout}
