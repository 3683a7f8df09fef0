"""Measures and prints: `python -m benchmarks.grading`."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.grading import answers, documents, pod, similarity
from benchmarks.grading.comparison import Clock, Comparison, agreeing, cpu_clock, measure
from benchmarks.grading.processes import on_all_cores
from pinetune.grading import graders


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The graders against the fastest peers.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="kinds whose name holds this")
    parser.add_argument("--all-cores", action="store_true", help="all cores against all cores, by wall time")
    parser.add_argument(
        "--instructions", choices=("portable", "avx2", "avx512"), help="the best that the processor has by default"
    )
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if arguments.all_cores else 1
    # Read when a peer's pool of threads starts: one thread, or one in each of its processes.
    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    graders.use_threads(cores)
    if arguments.instructions:
        graders.use_instructions(arguments.instructions)
    instructions = f", {arguments.instructions} code" if arguments.instructions else ""
    print(
        f"{processor()}{instructions}, {'all cores, wall time' if arguments.all_cores else 'one thread, CPU time'}",
        flush=True,
    )
    clock = time.perf_counter if arguments.all_cores else cpu_clock
    for comparison in chosen(arguments.only, cores):
        if arguments.all_cores and not comparison.takes_all_cores:
            with on_all_cores(comparison) as spread:
                show(spread, arguments.rounds, clock)
        else:
            show(comparison, arguments.rounds, clock)
    if arguments.all_cores:
        return
    if arguments.only in "grpc":
        pod.main(arguments.rounds)
    if not arguments.only:
        # A process of its own: the number of threads is set once.
        again = [sys.executable, "-m", "benchmarks.grading", "--all-cores", "--rounds", str(arguments.rounds)]
        again += ["--instructions", arguments.instructions] if arguments.instructions else []
        subprocess.run(again, check=True)


def show(comparison: Comparison, rounds: int, clock: Clock) -> None:
    """Measure one kind and print its line."""
    agreed, count = agreeing(comparison), len(comparison.answers.texts)
    timing = measure(comparison, rounds, clock)
    bar = f"bar {comparison.bar:g}" if comparison.bar is not None else ""
    ours, theirs = min(timing.ours) * 1e6, min(timing.theirs) * 1e6
    print(
        f"{comparison.kind:24} {ours:8.3f} µs | {comparison.peer:38} {theirs:10.3f} µs | "
        f"{timing.ratio():8.2f}x (median {timing.median_ratio():.2f}) {bar:7} | agree {agreed} of {count}",
        flush=True,
    )
    if agreed < count:
        print(f"{'':24} differ: {comparison.differences}", flush=True)


def chosen(name: str, cores: int) -> Iterator[Comparison]:
    """Return the comparisons whose kind holds `name`."""
    for every in (similarity.comparisons(cores), answers.comparisons(), documents.comparisons()):
        yield from (comparison for comparison in every if name in comparison.kind)


def processor() -> str:
    """Return the processor's name and what vectors it has."""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        fields = {name.strip(): value for name, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", "").split()
    vectors = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"
    return f"{fields.get('model name', 'unknown processor').strip()} ({vectors}, {os.cpu_count()} cores)"


if __name__ == "__main__":
    main()
