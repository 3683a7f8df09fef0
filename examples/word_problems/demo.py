"""The main job on one machine, as a user would do it by hand: `make demo`.

Generates the data, starts `pinetune up`, runs the reinforcement job, then supervised training with the compute that the
job used, and sets the four models side by side: base, warmed up, fine-tuned, and supervised only. Ends with a table,
`report.html` and `result.json` in the output folder. Everything goes through the `pinetune` command.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PINETUNE = [str(Path(sys.executable).with_name("pinetune"))]
STOP_SECONDS = 60
RUNS = ("base", "warm_up", "sft", "fine_tuned")
ROWS = {"train": 2560, "validation": 300, "test": 400}


@dataclass(frozen=True)
class Deployment:
    """A running `pinetune up`."""

    http: str
    """Address of the pages."""
    server: str
    """host:port of the jobs service."""

    def run(self, *arguments: str) -> None:
        """Run a command whose output the user sees."""
        subprocess.run([*PINETUNE, *arguments, "--server", self.server], check=True)

    def read(self, *arguments: str) -> Any:
        """Run a command and return its JSON."""
        command = [*PINETUNE, *arguments, "--json", "--server", self.server]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for everything the demo makes")
    parser.add_argument("--seed", type=int, default=1, help="seed of the data and of both jobs")
    arguments = parser.parse_args()
    began = time.monotonic()
    out: Path = arguments.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    make_inputs(out, arguments.seed)
    with deployment(out / "pinetune") as pinetune:
        print(f"the pages are at {pinetune.http}", flush=True)
        job_id = run_job(pinetune, out / "job.yaml")
        job = pinetune.read("jobs", "get", job_id)
        flops = float(job["usage"]["compute_flops"])
        print(f"supervised training with the same compute, {flops:.3g} operations", flush=True)
        fill_in(out / "sft.yaml", MAX_COMPUTE_FLOPS=f"{flops:.6e}")
        sft_job_id = run_job(pinetune, out / "sft.yaml")
        evaluations = evaluations_of(pinetune, job_id, sft_job_id)
        print()
        pinetune.run("evals", "compare", *(evaluation["evaluation_id"] for evaluation in evaluations.values()))
        print(legend(evaluations), flush=True)
        report = ["jobs", "report", job_id, sft_job_id, "-o", str(out / "report.html"), "--http", pinetune.http]
        subprocess.run([*PINETUNE, *report], check=True)
        result = result_of(pinetune, evaluations, job_id, seconds=time.monotonic() - began)
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{out / 'result.json'}\n{result['seconds']:.0f} s in all")
    return 0


def make_inputs(out: Path, seed: int) -> None:
    """Write the data and the two job files into the output folder."""
    generate = [sys.executable, str(HERE / "generate.py"), "--seed", str(seed), "--out", str(out / "data")]
    generate += [word for name, count in ROWS.items() for word in (f"--{name}", str(count))]
    subprocess.run(generate, check=True)
    for name in ("job.yaml", "sft.yaml"):
        shutil.copy(HERE / name, out / name)
        fill_in(out / name, SEED=str(seed))


def fill_in(path: Path, **values: str) -> None:
    """Replace `${NAME}` in a file."""
    text = path.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    path.write_text(text, encoding="utf-8")


@contextmanager
def deployment(data_dir: Path) -> Iterator[Deployment]:
    """Start `pinetune up` on free ports and stop it at the end."""
    command = [*PINETUNE, "up", "--data-dir", str(data_dir), "--http-port", "0", "--grpc-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline().split()
        if line[:1] != ["ready"]:
            raise SystemExit(f"`pinetune up` did not start; its logs are in {data_dir / 'logs'}")
        yield Deployment(http=line[1], server=line[2].removeprefix("grpc://"))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=STOP_SECONDS)


def run_job(pinetune: Deployment, job_file: Path) -> str:
    """Order a job, follow it to its end, and return its id."""
    order = [*PINETUNE, "jobs", "create", "-f", str(job_file), "--server", pinetune.server]
    job_id = subprocess.run(order, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    pinetune.run("jobs", "watch", job_id)
    return job_id


def evaluations_of(pinetune: Deployment, job_id: str, sft_job_id: str) -> dict[str, dict[str, Any]]:
    """Return the evaluation of each run; the supervised job's result counts as `sft`."""
    found = {}
    for job, names in ((job_id, {"base", "warm_up", "fine_tuned"}), (sft_job_id, {"fine_tuned"})):
        for evaluation in pinetune.read("evals", "list", "--job", job)["evaluations"]:
            name = evaluation["order"]["name"]
            if name in names:
                found["sft" if job == sft_job_id else name] = evaluation
    return {name: found[name] for name in RUNS}


def legend(evaluations: dict[str, dict[str, Any]]) -> str:
    """Return what is behind the two columns of the table that both jobs call `fine_tuned`."""
    meanings = {"sft": "supervised only, equal compute", "fine_tuned": "warmed up and then reinforced"}
    return "\n".join(
        f"fine_tuned …{evaluations[name]['evaluation_id'][-4:]} is {meaning} (`{name}` in result.json)"
        for name, meaning in meanings.items()
    )


def result_of(
    pinetune: Deployment, evaluations: dict[str, dict[str, Any]], job_id: str, *, seconds: float
) -> dict[str, Any]:
    """Return what the demo found: every run's statistics with their intervals, and the validation's course."""
    steps = pinetune.read("jobs", "steps", job_id)["steps"]
    return {
        "runs": [
            {
                "name": name,
                "evaluation_id": evaluation["evaluation_id"],
                **{
                    one["name"]: {key: one[key] for key in ("value", "low", "high")} for one in evaluation["statistics"]
                },
            }
            for name, evaluation in evaluations.items()
        ],
        "validation_reward": [
            {"step": int(step.get("number", 0)), "value": step["validation"]["reward_mean"]}
            for step in steps
            if "validation" in step
        ],
        "seconds": seconds,
    }


if __name__ == "__main__":
    sys.exit(main())
