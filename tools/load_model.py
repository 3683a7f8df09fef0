"""What a run of many GPUs asks of everything that is no GPU: `python -m tools.load_model --gpus 10 100 1000`.

A step is: sample, grade, learn, bring the new policy to the samplers. From the size of the run and from unit costs this
says how long each takes, how many bytes move, how many calls and database writes there are a second, and how busy each
shared part is: its time a step over the step's time. The busiest one is the first bottleneck; above 1 the run waits for
it. docs/scaling.md has a table and what follows from it.

Unit costs were measured on two threads of one machine (docs/scaling.md says how). Rates of GPUs, network and storage
are assumptions: give your own.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

GB = 1e9


@dataclass(frozen=True)
class Run:
    """The size of a run, and what hardware it has; each field is an option of the command."""

    gpus: int = 100
    """GPUs of all jobs together."""
    gpus_per_job: int = 0
    """GPUs of one job; 0 for a single job on all of them."""
    learner_share: float = 0.3
    """Share of a job's GPUs that learn; the others sample."""
    gpus_per_replica: int = 1
    """GPUs of one sampler."""
    parameters_billion: float = 8.0
    """Weights of the model."""
    weight_bytes: float = 2.0
    """Bytes a weight that travels has."""
    changed_share: float = 1.0
    """Share of the weights that travel: 1 for a whole model, about 0.005 for an adapter."""
    prompts_per_gpu: float = 8.0
    """Prompts of a step for each of the job's GPUs."""
    samples: int = 8
    """Completions of a prompt."""
    prompt_tokens: int = 500
    """Tokens of a prompt."""
    completion_tokens: int = 1500
    """Tokens of a completion."""
    sampled_tokens_per_second: float = 2500.0
    """Of one sampling GPU. Assumed."""
    learned_tokens_per_second: float = 6000.0
    """Of one learning GPU, all passes of a step included. Assumed."""
    network_gb_per_second: float = 3.0
    """Of one machine. Assumed: 25 Gbit/s."""
    storage_gb_per_second: float = 5.0
    """Of the shared storage, all readers together. Assumed."""
    grading_cores: int = 8
    """Cores of all grading pods."""
    graded_us: float = 0.0
    """Processor time of the grader for a completion beside the messages: 5 for math, 60 for Python, in µs."""
    way: str = "shared_storage"
    """How weights reach the samplers: shared_storage, stream or broadcast."""


@dataclass(frozen=True)
class UnitCosts:
    """What was measured: `python -m benchmarks.steps`, `python -m benchmarks.weights`."""

    worker_us: float = 400.0
    """Processor time of a job's worker for a completion, in µs."""
    grading_us: float = 140.0
    """Processor time of the grading service for a completion with a number grader, messages included, in µs."""
    jobs_ms: float = 54.0
    """Processor time of the jobs service for a step of a job, in ms."""
    calls: float = 9.0
    """Calls of a step, of one job with one sampler: three go to each sampler."""
    sampler_calls: float = 3.0
    """Calls of a step to each sampler."""
    writes: float = 3.6
    """Writing transactions of a step."""
    write_ms: float = 3.5
    """Time of a writing transaction, in ms; they wait for each other."""
    rollout_bytes_per_token: float = 15.0
    """Bytes of a rollout file a token."""
    message_bytes_per_token: float = 9.0
    """Bytes of an answer's token between sampler and worker, and of a trajectory's between worker and learner."""
    write_seconds_per_gb: float = 1.3
    """Writing a policy with its hashes."""
    load_seconds_per_gb: float = 0.67
    """Reading and checking a policy at one sampler, from memory."""
    send_seconds_per_gb: float = 3.3
    """Sending a policy to one sampler, which receives, checks and loads it; by a stream or a broadcast."""


@dataclass(frozen=True)
class Part:
    """A part that something has to pass through."""

    name: str
    """What it is."""
    seconds: float
    """How long a step keeps it busy."""


@dataclass(frozen=True)
class Load:
    """What one step of one job takes, and what all jobs ask together."""

    jobs: int
    """Jobs at once."""
    replicas: int
    """Samplers of one job."""
    completions: float
    """Completions of a step of one job."""
    sampling_seconds: float
    """Time to sample them."""
    learning_seconds: float
    """Time of the update."""
    weights_seconds: float
    """Time until all samplers hold the new policy."""
    weights_gb: float
    """Weights that move in a step, over all samplers of one job, in GB."""
    messages_gb: float
    """Answers and trajectories of a step, in GB."""
    rollouts_gb: float
    """Rollouts of a step, in GB."""
    calls_per_second: float
    """Calls of all jobs."""
    writes_per_second: float
    """Writing transactions of all jobs."""
    parts: tuple[Part, ...]
    """The shared parts."""

    @property
    def step_seconds(self) -> float:
        """Time of a step: its parts follow each other."""
        return self.sampling_seconds + self.learning_seconds + self.weights_seconds

    def busy(self, part: Part) -> float:
        """Return how busy a part is; above 1 it holds the run up."""
        return part.seconds / self.step_seconds

    @property
    def bottleneck(self) -> Part:
        """The busiest part."""
        return max(self.parts, key=lambda part: part.seconds)


def bringing(run: Run, costs: UnitCosts, policy_gb: float, replicas: int) -> tuple[float, float]:
    """Return the seconds until all samplers hold a policy, and how long the shared part of its way is busy."""
    if run.way == "shared_storage":
        transfer = policy_gb * replicas / run.storage_gb_per_second
        return policy_gb * costs.write_seconds_per_gb + max(transfer, policy_gb * costs.load_seconds_per_gb), transfer
    # A stream for each leaves the learner's machine; of a broadcast, which goes on as a tree, log2 of so many.
    copies = replicas if run.way == "stream" else math.ceil(math.log2(replicas + 1))
    transfer = policy_gb * copies / run.network_gb_per_second
    return max(transfer, policy_gb * costs.send_seconds_per_gb), transfer


def load_of(run: Run, costs: UnitCosts) -> Load:
    """Return what a run asks of everything that is no GPU."""
    job_gpus = run.gpus_per_job or run.gpus
    jobs = max(1, run.gpus // job_gpus)
    learners = max(1, round(job_gpus * run.learner_share))
    replicas = max(1, (job_gpus - learners) // run.gpus_per_replica)
    completions = run.prompts_per_gpu * job_gpus * run.samples
    sampled, learned = completions * run.completion_tokens, completions * (run.prompt_tokens + run.completion_tokens)
    policy_gb = run.parameters_billion * run.weight_bytes * run.changed_share
    weights_gb = policy_gb * replicas
    messages_gb = (sampled + learned) * costs.message_bytes_per_token / GB
    sampling = sampled / (replicas * run.gpus_per_replica * run.sampled_tokens_per_second)
    learning = learned / (learners * run.learned_tokens_per_second)
    weights, transfer = bringing(run, costs, policy_gb, replicas)
    step = sampling + learning + weights
    return Load(
        jobs,
        replicas,
        completions,
        sampling,
        learning,
        weights,
        weights_gb,
        messages_gb,
        completions * (run.prompt_tokens + run.completion_tokens) * costs.rollout_bytes_per_token / GB,
        jobs * (costs.calls + costs.sampler_calls * (replicas - 1)) / step,
        jobs * costs.writes / step,
        parts=(
            Part("worker of a job, one core", completions * costs.worker_us / 1e6),
            Part("grading cores", jobs * completions * (costs.grading_us + run.graded_us) / 1e6 / run.grading_cores),
            Part("shared storage", transfer * jobs)
            if run.way == "shared_storage"
            else Part("network of a learner", transfer),
            Part("network of a worker", messages_gb / run.network_gb_per_second),
            Part("jobs service, one core", jobs * costs.jobs_ms / 1e3),
            Part("database, one writer", jobs * costs.writes * costs.write_ms / 1e3),
        ),
    )


def rows(loads: list[Load]) -> Iterator[tuple[str, list[str]]]:
    """Yield the lines of the table: what, and a cell for each run."""
    yield "jobs x samplers", [f"{one.jobs} x {one.replicas}" for one in loads]
    yield "completions a step of a job", [f"{one.completions:,.0f}" for one in loads]
    yield "step, s", [f"{one.step_seconds:,.0f}" for one in loads]
    yield "  sampling", [f"{one.sampling_seconds:,.0f}" for one in loads]
    yield "  learning", [f"{one.learning_seconds:,.0f}" for one in loads]
    yield "  weights", [f"{one.weights_seconds:,.0f}" for one in loads]
    yield "weights moved a step of a job, GB", [f"{one.weights_gb:,.1f}" for one in loads]
    yield "answers and trajectories, GB", [f"{one.messages_gb:,.2f}" for one in loads]
    yield "rollouts written, GB", [f"{one.rollouts_gb:,.2f}" for one in loads]
    yield "calls a second, all jobs", [f"{one.calls_per_second:,.1f}" for one in loads]
    yield "database writes a second, all jobs", [f"{one.writes_per_second:,.2f}" for one in loads]
    for place, part in enumerate(loads[0].parts):
        yield f"busy: {part.name}", [f"{one.busy(one.parts[place]):.3f}" for one in loads]
    yield "first bottleneck", [one.bottleneck.name for one in loads]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What a run of many GPUs asks of everything that is no GPU.")
    parser.add_argument("--gpus", type=int, nargs="+", default=[10, 100, 1000])
    for settings in (Run, UnitCosts):
        for field in fields(settings):
            if field.name == "gpus":
                continue
            name = f"--{field.name.replace('_', '-')}"
            choices = ("shared_storage", "stream", "broadcast") if field.name == "way" else None
            parser.add_argument(name, type=type(field.default), default=field.default, choices=choices)
    given = vars(parser.parse_args())
    run = Run(**{field.name: given[field.name] for field in fields(Run) if field.name != "gpus"})
    costs = UnitCosts(**{field.name: given[field.name] for field in fields(UnitCosts)})
    loads = [load_of(replace(run, gpus=gpus), costs) for gpus in given["gpus"]]
    width = max(len(name) for name, _ in rows(loads))
    print(f"{'GPUs':{width}} " + " ".join(f"{gpus:>26,}" for gpus in given["gpus"]))
    for name, cells in rows(loads):
        print(f"{name:{width}} " + " ".join(f"{cell:>26}" for cell in cells))


if __name__ == "__main__":
    main()
