"""Several replicas of a sampler against one: tokens a second of a step, as the loop asks for them.

    python -m benchmarks.replicas [--replicas 2] [--rounds 5] [--size 5M]

Each replica is a generation pod in a process of its own, with the transformers engine on one thread and a model of
random weights, so that nearly all completions reach the token limit. The same step (64 prompts of 64 tokens, 4 samples
of 64 tokens each) is sampled in interleaved rounds

    one           by one replica through `GenerationReplicas`: one call, all rows in one batch
    spread        by all of them through `GenerationReplicas`: units, large ones first, pulled as they end
    side by side  by all of them, each given its share in one call by a caller of its own: what the machine has to give

spread / one is what a job gains. It ends at the machine: replicas on one thread each cannot be faster than the cores
that they get, and two hardware threads of one core are less than two cores, so the line of cores at the top belongs to
the number; a virtual machine may call threads of one core cores. spread / side by side leaves the machine out: it is
what spreading costs (smaller batches, more calls) or gains (a replica that is held up holds up one unit only). Smaller
batches cost most where a token's fixed work does, with small models. Wall-clock time: other work on the machine counts.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path

from benchmarks.generation import END_TOKEN_ID, SHAPES, VOCABULARY_SIZE, make_model
from benchmarks.generation_pod import generation_pod
from pinetune.client.generation import GenerationClient
from pinetune.client.generation_replicas import GenerationReplicas
from pinetune.client.prompts import Message, Prompt, Sampling
from pinetune.client.replica_set import Replica
from pinetune.client.rollout import Completion

PROMPT_COUNT, PROMPT_WORDS = 64, 64
SAMPLING = Sampling(sample_count=4, max_tokens=64)
TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"

Sample = Callable[[Sequence[Prompt], Sampling], list[list[Completion]]]


def prompts() -> list[Prompt]:
    """Return the step's prompts; a word is a token."""
    starts = range(END_TOKEN_ID + 1, VOCABULARY_SIZE, PROMPT_WORDS)[:PROMPT_COUNT]
    texts = (" ".join(f"w{word}" for word in range(start, start + PROMPT_WORDS)) for start in starts)
    return [Prompt(f"p{number}", (Message("user", text),)) for number, text in enumerate(texts)]


def side_by_side(clients: Sequence[GenerationClient]) -> Sample:
    """Return how every replica samples its share by itself."""

    def sample(step: Sequence[Prompt], sampling: Sampling) -> list[list[Completion]]:
        shares = [step[number :: len(clients)] for number in range(len(clients))]
        with ThreadPoolExecutor(len(clients)) as pool:
            answers = pool.map(lambda pair: pair[0].generate(pair[1], sampling), zip(clients, shares, strict=True))
            return list(chain.from_iterable(answers))

    return sample


def speed(sample: Sample, seed: int) -> float:
    """Return the tokens a second of one step."""
    step, began = prompts(), time.perf_counter()
    groups = sample(step, replace(SAMPLING, seed=seed))
    seconds = time.perf_counter() - began
    return sum(len(completion.token_ids) for group in groups for completion in group) / seconds


def cores() -> str:
    """Say on what this process may run, as the system tells it."""
    threads = sorted(os.sched_getaffinity(0))
    siblings = {Path(TOPOLOGY.format(thread)) for thread in threads}
    if not all(path.exists() for path in siblings):
        return f"{len(threads)} hardware threads"
    core_count = len({path.read_text() for path in siblings})
    return f"{len(threads)} hardware threads of {core_count} cores"


def main() -> None:
    """Print the speed of each way, and the ratios: median and least over the rounds."""
    parser = argparse.ArgumentParser(description="Several replicas of a sampler against one.")
    parser.add_argument("--replicas", type=int, default=2, help="how many against one")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds")
    parser.add_argument("--size", default="5M", choices=SHAPES, help="the model")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        model = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "model"
        make_model(model, arguments.size)
        names = [f"generation-{number}" for number in range(arguments.replicas)]
        pods = [stack.enter_context(generation_pod(model, "float32", name=name, threads=1)) for name in names]
        clients = [GenerationClient(pod.channel, pod.address) for pod in pods]
        one, spread = (
            GenerationReplicas([Replica(*pair) for pair in zip(names[:count], clients, strict=False)])
            for count in (1, arguments.replicas)
        )
        ways: dict[str, Sample] = {
            "one": one.generate,
            "spread": spread.generate,
            "side by side": side_by_side(clients),
        }
        for sample in ways.values():
            speed(sample, seed=0)
        rounds = [
            {name: speed(sample, number) for name, sample in ways.items()} for number in range(1, arguments.rounds + 1)
        ]
        for replicas in (one, spread):
            replicas.close()
    print(f"{arguments.size} float32, {arguments.replicas} replicas on one thread each; {cores()}")
    for name in ways:
        print(f"{name:22} {statistics.median(one_round[name] for one_round in rounds):9,.0f} tokens a second")
    for peer in ("one", "side by side"):
        ratios = [one_round["spread"] / one_round[peer] for one_round in rounds]
        print(f"spread / {peer:13} {statistics.median(ratios):9.2f} median, {min(ratios):.2f} least")


if __name__ == "__main__":
    main()
