"""Python graders: a call in the sandbox against plain ways to run a user's Python, on one grader and answer.

    python -m benchmarks.sandbox [--rounds 9] [--calls 200]

Peers: a new interpreter for each call (`subprocess.run` of `python -I`, what most recipes do) and a bare `fork` for
each call of a small process that has loaded the grader; neither locks anything. "fresh" is a call of a source that
turns no text into code, in its warm process; "processes" one of a source that may, forked and locked for that call
alone. Wall clock of one call at a time, the process that asks included; rounds interleaved so that all see the same
machine. A ratio above 1: ours is that many times as fast.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pinetune.grading.config import GradingSettings
from pinetune.grading.sandbox import wire
from pinetune.grading.sandbox.pool import SandboxPool
from pinetune.grading.sandbox.process import Sandbox

SOURCE = (
    "import re\n\nNUMBER = re.compile(r'-?\\d[\\d,]*(?:\\.\\d+)?')\n\n"
    "def grade(sample, item):\n    found = NUMBER.findall(sample['output_text'])\n"
    "    return 1.0 if found and found[-1].replace(',', '') == item['answer'] else 0.0\n"
)
"""The last number of the text, as cookbooks grade GSM8K."""
FORKED = "import os\n" + SOURCE
QUESTION = json.dumps(
    {
        "item": {"answer": "1144"},
        "sample": {"output_text": "It takes in 24 * 48 = $1,152, less 8. The answer is 1,144."},
    }
)
INTERPRETER = (
    SOURCE + "\nimport json, sys\nasked = json.load(sys.stdin)\nprint(grade(asked['sample'], asked['item']))\n"
)
FORK_SERVER = (
    SOURCE
    + """
import json, os, sys
for line in sys.stdin:
    if os.fork() == 0:
        asked = json.loads(line)
        os.write(1, b"%f\\n" % grade(asked["sample"], asked["item"]))
        os._exit(0)
    os.wait()
"""
)
FEW = 8
"""The share of calls that the slow ways are given: one in so many."""


def in_interpreter() -> float:
    """Grade in a new interpreter."""
    command = [sys.executable, "-I", "-c", INTERPRETER]
    return float(subprocess.run(command, input=QUESTION, text=True, capture_output=True, check=True).stdout)


def by_fork(server: "subprocess.Popen[str]") -> Callable[[], float]:
    """Return a function that has a process fork and its child grade."""
    into, out = server.stdin, server.stdout
    assert into is not None
    assert out is not None

    def grade() -> float:
        into.write(QUESTION + "\n")
        into.flush()
        return float(out.readline())

    return grade


def in_sandbox(sandbox: Sandbox) -> Callable[[], float]:
    """Return a function that grades in a warm sandbox."""

    def grade() -> float:
        answer = sandbox.exchange(wire.GRADE + QUESTION.encode(), time.monotonic() + 60)
        return float(wire.DOUBLE.unpack(answer[1:])[0])

    return grade


def seconds_a_call(run: Callable[[], float], calls: int) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(calls):
        begin = time.perf_counter()
        score = run()
        times.append(time.perf_counter() - begin)
        assert score == 1.0, "the ways must agree on what is right"
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="A sandboxed call against an interpreter and a fork for each.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [sys.executable, "-I", "-c", FORK_SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        pool = SandboxPool(GradingSettings(python_workers=2, python_temporary_root=Path(folder)), 2)
        lent = [pool.lend(source.encode(), time.monotonic() + 60) for source in (SOURCE, FORKED)]
        runs = {
            "fresh": (in_sandbox(lent[0]), arguments.calls),
            "processes": (in_sandbox(lent[1]), arguments.calls // FEW),
            "fork": (by_fork(server), arguments.calls // FEW),
            "interpreter": (in_interpreter, arguments.calls // FEW),
        }
        measured: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(arguments.rounds):
            for name, (run, calls) in runs.items():
                measured[name].append(seconds_a_call(run, max(1, calls)))
        for sandbox in lent:
            pool.give_back(sandbox)
        pool.close()
        server.communicate()
    report(measured)


def report(measured: dict[str, list[float]]) -> None:
    """Print the time of each way, and the ratios of ours to the peers: least and median over the rounds."""
    for name, seconds in measured.items():
        least, median = min(seconds) * 1e6, statistics.median(seconds) * 1e6
        print(f"{name:12} {least:10,.0f} µs a call at best, median {median:,.0f}")
    for ours in ("fresh", "processes"):
        for peer in ("interpreter", "fork"):
            ratios = [theirs / own for own, theirs in zip(measured[ours], measured[peer], strict=True)]
            print(f"{ours} over {peer}: {min(ratios):,.2f} min, {statistics.median(ratios):,.2f} median")


if __name__ == "__main__":
    main()
