"""`python -m tools.dashboards`: writes the dashboards into deploy/monitoring/grafana/dashboards."""

import json
from collections.abc import Mapping
from pathlib import Path

from tools.dashboards import fleet, generation, grading, job, learning
from tools.dashboards.grafana import dashboard

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "monitoring" / "grafana" / "dashboards"
BOARDS = (fleet.BOARD, job.BOARD, grading.BOARD, generation.BOARD, learning.BOARD)


def made() -> Mapping[str, str]:
    """Return the text of each file, by name."""
    return {f"{board.uid}.json": json.dumps(dashboard(board, BOARDS), indent=2) + "\n" for board in BOARDS}


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in made().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
