"""The demo as a user runs it: what the README says of it must come out on every seed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_demos_fine_tuned_model_beats_warm_up_and_equal_compute_imitation(tmp_path: Path, seed: int) -> None:
    demo = [sys.executable, "examples/word_problems/demo.py", "--seed", str(seed), "--out", str(tmp_path / "demo")]
    subprocess.run(demo, cwd=ROOT, check=True)
    result = json.loads((tmp_path / "demo/result.json").read_text())
    accuracy = {run["name"]: run["accuracy"] for run in result["runs"]}
    assert accuracy.keys() == {"base", "warm_up", "sft", "fine_tuned"}
    assert accuracy["fine_tuned"]["low"] > accuracy["warm_up"]["high"]
    assert accuracy["fine_tuned"]["low"] > accuracy["sft"]["high"]
    rewards = [one["value"] for one in result["validation_reward"]]
    assert rewards[-1] > rewards[0] + 0.2
    assert (tmp_path / "demo/report.html").stat().st_size > 0
