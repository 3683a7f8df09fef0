"""Draws dashboards without Grafana: `python -m tools.dashboards.picture URL MINUTES FOLDER` writes an SVG for each.

The panels are asked of the Prometheus at URL over the last MINUTES and drawn plainly: lines, numbers, tables, and
heatmaps as lines. It shows that queries answer and what with, not how Grafana looks.
"""

import html
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.dashboards.__main__ import BOARDS
from tools.dashboards.grafana import placed
from tools.dashboards.panel import Board, Panel
from tools.dashboards.prometheus import Series, ask

COLUMN_PIXELS, ROW_PIXELS, MARGIN_PIXELS = 50, 30, 8
POINT_COUNT = 60
LEGEND_COUNT = 4
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f")
Named = tuple[str, Series]


def draw(url: str, *, begin: float, end: float, folder: Path) -> None:
    """Write a picture of each dashboard from `begin` to `end` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for board in BOARDS:
        (folder / f"{board.uid}.svg").write_text(picture(board, url, begin, end), encoding="utf-8")


def picture(board: Board, url: str, begin: float, end: float) -> str:
    """Return a dashboard as SVG."""
    parts, bottom = [], 0
    for panel, place in placed(board.panels):
        series = [
            (one.name(query.legend), one)
            for query in panel.queries
            for one in ask(url, query.expression, begin=begin, end=end, step_seconds=(end - begin) / POINT_COUNT)
        ]
        x, y = place["x"] * COLUMN_PIXELS, place["y"] * ROW_PIXELS
        width, height = place["w"] * COLUMN_PIXELS - MARGIN_PIXELS, place["h"] * ROW_PIXELS - MARGIN_PIXELS
        body = "".join(_drawn(panel, series, width, height, begin, end))
        parts.append(f'<g transform="translate({x},{y})">{_frame(panel, width, height)}{body}</g>\n')
        bottom = max(bottom, y + height)
    size = f'width="{24 * COLUMN_PIXELS}" height="{bottom + MARGIN_PIXELS}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">\n'
    return f'{head}<rect width="100%" height="100%" fill="#f4f5f5"/>\n{"".join(parts)}</svg>\n'


def _frame(panel: Panel, width: int, height: int) -> str:
    box = f'<rect width="{width}" height="{height}" fill="white" stroke="#ddd"/>'
    return f'{box}<text x="8" y="16" font-weight="bold">{html.escape(panel.title)} ({panel.unit})</text>'


def _drawn(panel: Panel, series: Sequence[Named], width: int, height: int, begin: float, end: float) -> Iterator[str]:
    if not series:
        yield f'<text x="{width // 2 - 20}" y="{height // 2}" fill="#999">no data</text>'
    elif panel.kind == "stat":
        value, place = _short(series[0][1].points[-1][1]), f'x="{width // 2}" y="{height // 2 + 18}"'
        yield f'<text {place} font-size="26" text-anchor="middle">{value}</text>'
    elif panel.kind == "table":
        for row, (name, _) in enumerate(series[: (height - 30) // 16]):
            yield f'<text x="8" y="{36 + 16 * row}">{html.escape(name[: width // 6])}</text>'
    else:
        yield from _lines(panel, series, width, height, begin, end)


def _lines(panel: Panel, series: Sequence[Named], width: int, height: int, begin: float, end: float) -> Iterator[str]:
    values = [value for _, one in series for _, value in one.points]
    low = min(values) if panel.minimum is None else panel.minimum
    high = max(values) if panel.maximum is None else panel.maximum
    high = high if high > low else low + 1.0
    left, top, right, bottom = 52, 26, width - 10, height - 20 - 14 * min(len(series), LEGEND_COUNT)
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * (bottom - top)
        yield f'<path d="M{left} {y:.0f}H{right}" stroke="#eee"/>'
        tick = _short(low + share * (high - low))
        yield f'<text x="{left - 4}" y="{y + 4:.0f}" text-anchor="end" fill="#666">{tick}</text>'
    for number, (name, one) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(
            f"{left + (at - begin) / (end - begin) * (right - left):.0f},"
            f"{bottom - (value - low) / (high - low) * (bottom - top):.1f}"
            for at, value in one.points
        )
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        if number < LEGEND_COUNT:
            said = f"{name}: {_short(one.points[-1][1])}" + (
                " …" if number == LEGEND_COUNT - 1 < len(series) - 1 else ""
            )
            yield f'<text x="{left}" y="{bottom + 18 + 14 * number}" fill="{colour}">{html.escape(said)}</text>'


def _short(value: float) -> str:
    """Return a number in few letters: 12.3M, 0.25, 1e-07."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{letter}"
    return f"{value:.3g}"


if __name__ == "__main__":
    now = time.time()
    draw(sys.argv[1].rstrip("/"), begin=now - 60 * float(sys.argv[2]), end=now, folder=Path(sys.argv[3]))
