"""What a training step costs beside the model: calls, database writes, processor time and bytes, per room.

    python -m benchmarks.steps [--steps 12] [--prompts 16] [--samples 8]

Runs a job of a nano model under `pinetune up`, reads every process's /metrics while it trains, and prints the
differences between two steps, divided by steps and by completions. No peer: these are the unit costs of the load model
(`python -m tools.load_model`, docs/scaling.md). What sampling and learning cost depends on the model; their processor
time is printed to be left out.
"""

import argparse
import json
import subprocess
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from examples.word_problems import demo
from prometheus_client.parser import text_string_to_metric_families as parse

POLL_SECONDS = 0.5
CPU, CALLS, WRITES = (
    "process_cpu_seconds_total",
    "pinetune_pod_calls_total",
    "pinetune_jobs_database_write_seconds",
)
STEP = "pinetune_jobs_step"
HEALTH = "/grpc.health.v1.Health/"
JOB_ROOMS = {"worker", "learning", "generation"}


@dataclass(frozen=True)
class Reading:
    """The counters of all processes at one moment."""

    step: int
    """The job's last committed step."""
    cpu_seconds: Mapping[str, float]
    """Processor time by room."""
    calls: Mapping[str, float]
    """Calls answered, by room and method."""
    writes: float
    """Writing transactions of the jobs service."""
    write_seconds: float
    """Time that they took."""


def main() -> None:
    """Run the job and print what its steps cost."""
    parser = argparse.ArgumentParser(description="What a training step costs beside the model.")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--samples", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        job_file = write_inputs(Path(folder), arguments.steps, arguments.prompts, arguments.samples)
        data_dir = Path(folder) / "pinetune"
        with demo.deployment(data_dir) as pinetune:
            order = [*demo.PINETUNE, "jobs", "create", "-f", str(job_file), "--server", pinetune.server]
            job_id = subprocess.run(order, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
            watch = subprocess.Popen([*demo.PINETUNE, "jobs", "watch", job_id, "--server", pinetune.server])
            readings = list(until_ended(watch, data_dir / "run"))
            steps = pinetune.read("jobs", "steps", job_id)["steps"]
        rollout_bytes = sum(file.stat().st_size for file in data_dir.glob("artifacts/jobs/*/rollouts/train*"))
    if watch.returncode:
        raise SystemExit(f"the job did not succeed; `pinetune jobs watch` ended with {watch.returncode}")
    trained = [reading for reading in readings if 0 < reading.step < arguments.steps]
    completions = arguments.prompts * arguments.samples
    print(
        f"{completions} completions a step, {rollout_bytes / arguments.steps / completions:,.0f} bytes of rollouts each"
    )
    tokens = sum(step.get("completion_tokens_mean", 0.0) for step in steps) / max(1, arguments.steps)
    print(f"{tokens:.0f} tokens a completion")
    report(trained[0], trained[-1], completions)


def write_inputs(folder: Path, steps: int, prompts: int, samples: int) -> Path:
    """Write data and the job file."""
    demo.ROWS.update(train=256, validation=16, test=1)
    demo.make_inputs(folder, seed=1)
    job_file = folder / "job.yaml"
    text = job_file.read_text(encoding="utf-8")
    for old, new in {
        "max_steps: 12": f"max_steps: {steps}",
        "epochs: 4": "epochs: 1",
        "batch_size: 64, eval_interval: 4": f"batch_size: {prompts}, eval_interval: 1000",
        "samples_per_prompt: 4": f"samples_per_prompt: {samples}",
        "  evaluation: {test_file: data/test.jsonl}\n": "",
    }.items():
        assert old in text, f"{old!r} is not in the demo's job any more"
        text = text.replace(old, new)
    job_file.write_text(text, encoding="utf-8")
    return job_file


def until_ended(watch: "subprocess.Popen[bytes]", run: Path) -> Iterator[Reading]:
    """Yield readings until the job has ended."""
    while watch.poll() is None:
        texts: dict[str, list[str]] = defaultdict(list)
        for name in ("targets.json", "targets-services.json"):
            for target in json.loads((run / name).read_text(encoding="utf-8")):
                for address in target["targets"]:
                    texts[target["labels"]["room"]].append(scrape(address))
        if texts.keys() >= JOB_ROOMS and all(text for of_room in texts.values() for text in of_room):
            yield reading_of(texts)
        time.sleep(POLL_SECONDS)


def scrape(address: str) -> str:
    """Return a process's metrics; empty where it is not there yet, or any more."""
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""


def reading_of(texts: Mapping[str, list[str]]) -> Reading:
    """Add up what the processes of each room say."""
    cpu: dict[str, float] = defaultdict(float)
    calls: dict[str, float] = defaultdict(float)
    writes, write_seconds, step = 0.0, 0.0, 0
    for room, of_room in texts.items():
        for sample in (one for text in of_room for family in parse(text) for one in family.samples):
            if sample.name == CPU:
                cpu[room] += sample.value
            elif sample.name == CALLS and HEALTH not in sample.labels["method"]:
                calls[f"{room} {sample.labels['method'].rpartition('/')[2]}"] += sample.value
            elif sample.name == f"{WRITES}_count":
                writes += sample.value
            elif sample.name == f"{WRITES}_sum":
                write_seconds += sample.value
            elif sample.name == STEP:
                step = int(sample.value)
    return Reading(step, cpu, calls, writes, write_seconds)


def report(first: Reading, last: Reading, completions: int) -> None:
    """Print what the steps between two readings cost."""
    steps = last.step - first.step
    print(f"{steps} steps; processor time a step in ms, a completion in µs")
    for room, seconds in sorted(last.cpu_seconds.items()):
        a_step = (seconds - first.cpu_seconds.get(room, 0.0)) / steps
        print(f"  {room:12} {a_step * 1e3:10.1f} {a_step / completions * 1e6:10.0f}")
    print("calls answered a step")
    for name, count in sorted(last.calls.items()):
        a_step = (count - first.calls.get(name, 0.0)) / steps
        if a_step:
            print(f"  {name:32} {a_step:6.1f}")
    writes = last.writes - first.writes
    mean = (last.write_seconds - first.write_seconds) / writes * 1e3
    print(f"writing transactions a step: {writes / steps:.1f}, of {mean:.1f} ms each")


if __name__ == "__main__":
    main()
