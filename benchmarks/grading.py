"""Grading numbers: the Rust core against what people use in Python, on the same answers, on one thread.

    python -m benchmarks.grading [--rounds 9] [--samples 4096]

Peers: math-verify (`parse` and `verify`, the usual verifier of RL recipes; on fewer answers, for it takes milliseconds
each) and a plain function of the kind that GSM8K cookbooks show, written out below. One process, rounds interleaved so
that all see the same machine; CPU seconds, so that other work on it counts little. "core" is what a pod does with a
call: request bytes to reply bytes. "lists" is what a caller in Python sees: encoding, grading, reading every score. A
ratio above 1: ours grades that many times as many answers a second.
"""

import argparse
import importlib
import importlib.util
import json
import random
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.client.grade_requests import encode_grade_request
from pinetune.grading import graders

GROUP_SIZE = 8
"""Answers to one question, as in a group of GRPO."""
MATH_VERIFY_SAMPLES = 64
GRADER = wire.GraderSpec(json='{"type": "number", "reference": "{{item.answer}}"}').SerializeToString()
NUMBER = re.compile(r"-?\$?\d[\d,]*(?:\.\d+)?")

Grade = Callable[[Sequence[str], Sequence[str]], list[float]]
"""From the texts and their reference answers to scores."""


@dataclass(frozen=True)
class Answers:
    """Sampled answers to word problems."""

    texts: list[str]
    """[N] worked solutions."""
    references: list[str]
    """[N] the right result of each."""

    def first(self, count: int) -> "Answers":
        """Return the first `count` of them."""
        return Answers(self.texts[:count], self.references[:count])


def make_answers(count: int) -> Answers:
    """Make solutions of about 230 characters, a third of them wrong, in groups of GROUP_SIZE; the same ones always."""
    source = random.Random(0)
    texts, references = [], []
    for place in range(count):
        if place % GROUP_SIZE == 0:
            price, days, spent = source.randint(2, 90), source.randint(3, 400), source.randint(1, 50)
        right = price * days - spent
        said = right if source.random() < 2 / 3 else right + source.randint(1, 9)
        texts.append(
            f"Each day the stall sells fresh eggs and takes in ${price}, so over all {days} days of the season it "
            f"takes in {price} * {days} = ${price * days:,}.\nFrom that the family pays ${spent} for feed and straw, "
            f"which leaves {price * days:,} - {spent} = ${said:,}.\nThe answer is ${said:,}."
        )
        references.append(str(right))
    return Answers(texts, references)


def cookbook(texts: Sequence[str], references: Sequence[str]) -> list[float]:
    """Grade as GSM8K cookbooks do: the last number by a regular expression, without marks, compared as a float."""
    scores = []
    for text, reference in zip(texts, references, strict=True):
        found = NUMBER.findall(text)
        answer = float(found[-1].replace(",", "").replace("$", "")) if found else None
        scores.append(1.0 if answer is not None and abs(answer - float(reference)) < 1e-6 else 0.0)
    return scores


def encode(texts: Sequence[str], references: Sequence[str]) -> bytes:
    """Return the request for the core: one item for each group of answers."""
    items = [json.dumps({"answer": reference}) for reference in references[::GROUP_SIZE]]
    indexes = [place // GROUP_SIZE for place in range(len(texts))]
    return encode_grade_request(GRADER, items, texts, indexes)


def lists(texts: Sequence[str], references: Sequence[str]) -> list[float]:
    """Grade with the core, from Python lists to a Python list."""
    reply = graders.grade(encode(texts, references)).reply
    return [grade.score for grade in wire.GradeResponse.FromString(reply).grades]


def math_verify() -> Grade | None:
    """Return the grader that math-verify makes, None where it is not installed."""
    if importlib.util.find_spec("math_verify") is None:
        return None
    library = importlib.import_module("math_verify")

    def grade(texts: Sequence[str], references: Sequence[str]) -> list[float]:
        pairs = zip(texts, references, strict=True)
        return [float(library.verify(library.parse(reference), library.parse(text))) for text, reference in pairs]

    return grade


def cpu_seconds(run: Callable[[], object]) -> float:
    """Return the CPU time that `run` takes."""
    begin = time.process_time()
    run()
    return time.process_time() - begin


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Grading of numbers against Python's usual ways.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--samples", type=int, default=4096)
    arguments = parser.parse_args()
    graders.use_threads(1)
    answers = make_answers(arguments.samples)
    few = answers.first(MATH_VERIFY_SAMPLES)
    request = encode(answers.texts, answers.references)
    verifier = math_verify()
    runs: dict[str, tuple[int, Callable[[], object]]] = {
        "core": (len(answers.texts), lambda: graders.grade(request)),
        "lists": (len(answers.texts), lambda: lists(answers.texts, answers.references)),
        "cookbook": (len(answers.texts), lambda: cookbook(answers.texts, answers.references)),
    }
    expected = lists(answers.texts, answers.references)
    assert cookbook(answers.texts, answers.references) == expected, "the peers must agree on what is right"
    if verifier is None:
        print("math-verify is not installed and left out; `pip install math-verify` adds it")
    else:
        runs["math-verify"] = (len(few.texts), lambda: verifier(few.texts, few.references))
        assert verifier(few.texts, few.references) == expected[: len(few.texts)], "the peers must agree"
    measured: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.rounds):
        for name, (count, run) in runs.items():
            measured[name].append(cpu_seconds(run) / count)
    report(measured)


def report(measured: dict[str, list[float]]) -> None:
    """Print the time of each way, and the ratios of ours to the peers: least and median over the rounds."""
    for name, seconds in measured.items():
        least, median = min(seconds) * 1e9, statistics.median(seconds) * 1e9
        print(f"{name:12} {least:12,.0f} ns an answer at best, median {median:,.0f}")
    for ours in ("core", "lists"):
        for peer in ("cookbook", "math-verify"):
            if peer in measured:
                ratios = [theirs / own for own, theirs in zip(measured[ours], measured[peer], strict=True)]
                print(f"{ours} over {peer}: {min(ratios):,.1f} min, {statistics.median(ratios):,.1f} median")


if __name__ == "__main__":
    main()
