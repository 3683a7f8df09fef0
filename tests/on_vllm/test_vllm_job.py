"""One job on both engines, with nothing changed but the engine's name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(1200)
def test_the_rewards_of_a_job_agree_on_both_engines_within_what_the_draws_make(tmp_path: Path) -> None:
    out = tmp_path / "engines"
    command = [sys.executable, "-m", "examples.word_problems.engines", "--out", str(out), "--seeds", "1"]
    command += ["--steps", "4", "--rows", "640", "--validation", "60"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.rstrip().endswith("the curves agree")
    curves = json.loads((out / "result.json").read_text())
    ours, theirs = curves["transformers"][0], curves["vllm"][0]
    assert [len(one["training"]) for one in (ours, theirs)] == [4, 4]
    # Rewards that could differ: neither nothing nor everything is right.
    assert all(0.05 < reward < 0.95 for one in (ours, theirs) for reward in one["training"])
    # Both begin from the same warmed-up policy, and the likeliest answers are the same.
    assert ours["validation"]["0"] == theirs["validation"]["0"]
