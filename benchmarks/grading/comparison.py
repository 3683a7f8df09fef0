"""One kind of grader beside one peer: what both grade, how long each takes, and where they disagree."""

import importlib
import importlib.util
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.client.grade_requests import encode_grade_request
from pinetune.grading import graders

TOLERANCE = 1e-9
"""Scores that differ by no more agree."""

Score = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
"""From texts and their reference answers to scores."""
Clock = Callable[[], float]


@dataclass(frozen=True)
class Answers:
    """Sampled answers, each with its reference."""

    texts: Sequence[str]
    """[N] what was sampled."""
    references: Sequence[str]
    """[N] what was expected; answers in a row with an equal reference belong to one item."""

    def first(self, count: int) -> "Answers":
        """Return the first `count` of them."""
        return Answers(self.texts[:count], self.references[:count])


@dataclass(frozen=True)
class Comparison:
    """A kind and a peer."""

    kind: str
    """What is graded, for the table."""
    grader: Mapping[str, Any]
    """Ours, in its JSON spelling; the reference is `{{item.answer}}`."""
    answers: Answers
    peer: str
    """Name of the other side."""
    score: Score
    """The other side; NaN is a score that it does not give."""
    bar: float | None = None
    """How many times as fast ours must be; None where nothing is asked."""
    differences: str = "none expected"
    """Every class of disagreement, in one line."""
    takes_all_cores: bool = False
    """Whether the peer has threads of its own for them."""

    def request(self) -> bytes:
        """Return the request for the core: one item for each run of equal references."""
        return encoder(self.grader, self.answers)()


@dataclass(frozen=True)
class Timing:
    """Seconds an answer, by round."""

    ours: Sequence[float]
    theirs: Sequence[float]

    def ratio(self) -> float:
        """Return how many times as fast ours is, least over least."""
        return min(self.theirs) / min(self.ours)

    def median_ratio(self) -> float:
        """Return the median of the rounds' ratios."""
        return statistics.median(theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True))


def encoder(grader: Mapping[str, Any], answers: Answers) -> Callable[[], bytes]:
    """Return what makes the `GradeRequest` of these answers."""
    items: list[str] = []
    indexes: list[int] = []
    for place, reference in enumerate(answers.references):
        if place == 0 or reference != answers.references[place - 1]:
            items.append(json.dumps({"answer": reference}, ensure_ascii=False))
        indexes.append(len(items) - 1)
    spec = wire.GraderSpec(json=json.dumps(grader)).SerializeToString()
    return lambda: encode_grade_request(spec, items, answers.texts, indexes)


def library(name: str, package: str) -> Any:
    """Return the module `name`; None, with a line, where `package` is not installed."""
    if importlib.util.find_spec(name.split(".")[0]) is None:
        print(f"{package} is not installed and left out; `pip install pinetune[bench]` brings it")
        return None
    return importlib.import_module(name)


def agreeing(comparison: Comparison) -> int:
    """Return with how many answers both sides agree."""
    reply = wire.GradeResponse.FromString(graders.grade(comparison.request()).reply)
    theirs = comparison.score(comparison.answers.texts, comparison.answers.references)
    pairs = zip(reply.grades, theirs, strict=True)
    return sum(grade.HasField("score") and abs(grade.score - score) <= TOLERANCE for grade, score in pairs)


def measure(comparison: Comparison, rounds: int, clock: Clock) -> Timing:
    """Time both sides in turn."""
    request, answers = comparison.request(), comparison.answers
    # So many calls that the clock's step and the first call's page faults do not show.
    calls = max(1, 2048 // len(answers.texts))
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        ours.append(_seconds(lambda: graders.grade(request), calls, clock) / len(answers.texts))
        theirs.append(
            _seconds(lambda: comparison.score(answers.texts, answers.references), 1, clock) / len(answers.texts)
        )
    return Timing(ours, theirs)


def _seconds(run: Callable[[], object], calls: int, clock: Clock) -> float:
    begin = clock()
    for _ in range(calls):
        run()
    return (clock() - begin) / calls


def cpu_clock() -> float:
    """Return the process's CPU seconds."""
    return time.process_time()
