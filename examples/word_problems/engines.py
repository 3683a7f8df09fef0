"""The same job on both engines, with nothing changed but `engine.name`: do their reward curves agree?

    .venv-vllm/bin/python -m examples.word_problems.engines --seeds 1 2 3 --out out/engines

Runs the word-problem job once for each seed and engine, from the root folder, with a Python that has pinetune and vLLM
(`.venv-vllm` after `make test-vllm`). Prints a row a step: the mean training reward of each engine over the seeds, and
their difference with its standard error, from the seeds' own differences; rows of one seed have none.
Engines draw with generators of their own: from the first step on samples differ, and so do the policies after it.

Ends with the difference over all steps and its standard error; the exit code is 1 where it is more than three of them.
"""

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.word_problems import demo

ENGINES = ("transformers", "vllm")
KV_CACHE_MEMORY_BYTES = 256 << 20
ERRORS_MAX = 3.0
"""Standard errors that the curves may lie apart."""


@dataclass(frozen=True)
class Curve:
    """How the reward of one run went."""

    training: tuple[float, ...]
    """Mean reward of each step's samples."""
    sample_count: int
    """Samples of all steps together."""
    validation: Mapping[int, float]
    """Mean reward of the greedy answers, by the step after which they were given."""


def main() -> int:
    """Run the jobs and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/engines"), help="folder for everything that is made")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="seeds of data and jobs")
    parser.add_argument("--steps", type=int, default=12, help="PPO steps of each job")
    parser.add_argument("--rows", type=int, default=1280, help="training rows")
    parser.add_argument("--validation", type=int, default=150, help="validation rows")
    arguments = parser.parse_args()
    out: Path = arguments.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    demo.ROWS.update(train=arguments.rows, validation=arguments.validation, test=1)
    curves: dict[str, list[Curve]] = {engine: [] for engine in ENGINES}
    for seed in arguments.seeds:
        for engine in ENGINES:
            curves[engine].append(run(out / f"{engine}-{seed}", engine, seed, arguments.steps))
    result = [
        *rows(
            "training reward",
            {engine: [dict(enumerate(one.training, 1)) for one in curves[engine]] for engine in ENGINES},
        ),
        *rows("validation reward", {engine: [one.validation for one in curves[engine]] for engine in ENGINES}),
    ]
    (out / "result.json").write_text(
        json.dumps({engine: [vars(one) for one in of_engine] for engine, of_engine in curves.items()}, indent=1) + "\n",
        encoding="utf-8",
    )
    print("\n".join(result))
    difference, error = apart(*(curves[engine] for engine in ENGINES))
    agree = abs(difference) <= ERRORS_MAX * error
    print(
        f"over all steps {ENGINES[1]} is {difference:+.4f} from {ENGINES[0]}, with a standard error of {error:.4f}: "
        f"the curves {'agree' if agree else 'differ'}"
    )
    return 0 if agree else 1


def run(folder: Path, engine: str, seed: int, step_count: int) -> Curve:
    """Run one job to its end."""
    demo.make_inputs(folder, seed)
    job_file = folder / "job.yaml"
    text = job_file.read_text(encoding="utf-8").replace("max_steps: 12", f"max_steps: {step_count}")
    text = text.replace("  evaluation: {test_file: data/test.jsonl}\n", "")
    text += f"  engine: {{name: {engine}, kv_cache_memory_bytes: {KV_CACHE_MEMORY_BYTES}}}\n"
    job_file.write_text(text, encoding="utf-8")
    with demo.deployment(folder / "pinetune") as pinetune:
        job_id = demo.run_job(pinetune, job_file)
        steps = [
            step for step in pinetune.read("jobs", "steps", job_id)["steps"] if step["phase"] == "JOB_PHASE_TRAINING"
        ]
    return Curve(
        training=tuple(step["train_reward_mean"] for step in steps if "train_reward_mean" in step),
        sample_count=sum(int(step["training_grades"]["sampled_count"]) for step in steps if "training_grades" in step),
        validation={
            int(step.get("number", 0)): step["validation"]["reward_mean"] for step in steps if "validation" in step
        },
    )


def apart(first: Sequence[Curve], second: Sequence[Curve]) -> tuple[float, float]:
    """Return how far the second curves lie above the first over all steps, and the standard error of that.

    The error is that of the seeds' own differences, but at least what the draws alone make: a reward from 0 to 1 with
    mean r has a variance of r (1 - r) at the most.
    """
    means = [[statistics.mean(one.training) for one in curves] for curves in (first, second)]
    differences = [other - one for one, other in zip(*means, strict=True)]
    reward = statistics.mean(means[0] + means[1])
    draws = (
        reward * (1 - reward) * sum(1 / sum(one.sample_count for one in curves) for curves in (first, second))
    ) ** 0.5
    seeds = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else 0.0
    return statistics.mean(differences), max(draws, seeds)


def rows(title: str, curves: Mapping[str, Sequence[Mapping[int, float]]]) -> list[str]:
    """Return a table: for each step the engines' means over the seeds, and their difference."""
    first, second = (curves[engine] for engine in ENGINES)
    lines = [
        f"{title}, mean over {len(first)} seeds",
        f"{'step':>5} {ENGINES[0]:>13} {ENGINES[1]:>13} {'difference':>20}",
    ]
    for step in sorted(first[0]):
        of_first, of_second = ([one[step] for one in of_engine] for of_engine in (first, second))
        difference = describe([one - other for one, other in zip(of_second, of_first, strict=True)])
        lines.append(f"{step:5} {statistics.mean(of_first):13.3f} {statistics.mean(of_second):13.3f} {difference:>20}")
    return lines


def describe(differences: Sequence[float]) -> str:
    """Return the mean of differences with its standard error."""
    mean = statistics.mean(differences)
    if len(differences) == 1:
        return f"{mean:+.3f}"
    return f"{mean:+.3f} ± {statistics.stdev(differences) / len(differences) ** 0.5:.3f}"


if __name__ == "__main__":
    sys.exit(main())
