"""Answers with one right result: numbers, expressions, choices, ranked lists, texts and patterns."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.grading.comparison import Answers, Comparison, Score, library
from benchmarks.grading.texts import gene_lists, latex_answers, solutions

SAMPLES = 4096
FEW = 64
"""Answers for peers that take milliseconds each."""
NUMBER = re.compile(r"-?\$?\d[\d,]*(?:\.\d+)?")
STRICT_NUMBER = re.compile(r"####\s*(-?[\d.,]+)")
STRICT_TAIL = 300
"""Characters at the end in which the strict recipe looks."""
CHOICE = re.compile(r"answer is:?\s*\(?([A-Ea-e])\b", re.IGNORECASE)
REFERENCE = {"reference": "{{item.answer}}"}


def comparisons() -> Iterator[Comparison]:
    """Return every kind of this file beside its peers."""
    yield from numbers()
    yield from maths()
    yield from lists()
    yield from texts()


def strict_number(text: str, reference: str) -> float:
    """Grade as RL recipes do: the text behind the last `####` at the end, compared letter by letter."""
    found = STRICT_NUMBER.findall(text[-STRICT_TAIL:])
    return float(bool(found) and found[-1].replace(",", "").replace("$", "") == reference)


def last_number(text: str, reference: str) -> float:
    """Grade as GSM8K cookbooks do: the last number by a regular expression, without marks, compared as a float."""
    found = NUMBER.findall(text)
    answer = float(found[-1].replace(",", "").replace("$", "")) if found else None
    return float(answer is not None and abs(answer - float(reference)) < 1e-6)


def each(function: Any) -> Score:
    """Return a function of one answer as one of many."""
    return lambda texts, references: [
        function(text, reference) for text, reference in zip(texts, references, strict=True)
    ]


def math_verify() -> Score | None:
    """Return math-verify's `parse` and `verify`, the usual verifier; None where it is not installed."""
    verifier = library("math_verify", "math-verify")
    if verifier is None:
        return None

    def grade(text: str, reference: str) -> float:
        return float(verifier.verify(verifier.parse(f"${reference}$"), verifier.parse(text)))

    return each(grade)


def numbers() -> Iterator[Comparison]:
    """The number of a worked solution."""
    answers = solutions(SAMPLES)
    marked = {"type": "number", "location": {"marker": "####", "marker_required": True}, **REFERENCE}
    yield Comparison("number, marked", marked, answers, "verl's strict recipe", each(strict_number), 7.0)
    plain = {"type": "number", **REFERENCE}
    yield Comparison("number, last", plain, answers, "cookbook recipe", each(last_number))
    if verifier := math_verify():
        yield Comparison("number, last", plain, answers.first(FEW), "math-verify", verifier, 500.0)


def maths() -> Iterator[Comparison]:
    """Expressions in LaTeX."""
    if verifier := math_verify():
        answers = latex_answers(FEW)
        yield Comparison("math", {"type": "math", **REFERENCE}, answers, "math-verify", verifier, 500.0)
    answers = latex_answers(SAMPLES)
    same = "the recipe compares letters: an expression written otherwise is wrong to it"
    yield Comparison(
        "math", {"type": "math", **REFERENCE}, answers, "boxed text, equal letters", each(_boxed), None, same
    )


def _boxed(text: str, reference: str) -> float:
    start = text.rfind("\\boxed{")
    depth = 0
    for place in range(start + len("\\boxed"), len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return float(text[start + len("\\boxed{") : place].replace(" ", "") == reference.replace(" ", ""))
    return 0.0


def lists() -> Iterator[Comparison]:
    """Ranked lists and choices."""
    genes = gene_lists(SAMPLES)
    ranked = {"type": "ranked_list", "curve": {"kind": "reciprocal"}, **REFERENCE}
    yield Comparison("ranked list", ranked, genes, "plain Python", each(_reciprocal_rank))
    picked = [f"Weighing the options one by one, the answer is ({'ABCDE'[place % 5]})." for place in range(SAMPLES)]
    choices = Answers(picked, ["ABCDE"[place % 3] for place in range(SAMPLES)])
    grader = {"type": "multiple_choice", **REFERENCE}
    yield Comparison("multiple choice", grader, choices, "plain Python, a pattern", each(_choice))


def _reciprocal_rank(text: str, reference: str) -> float:
    listed: Sequence[str] = [line.split(". ", 1)[-1].strip().casefold() for line in text.splitlines() if line.strip()]
    wanted = reference.casefold()
    return 1 / (listed.index(wanted) + 1) if wanted in listed else 0.0


def _choice(text: str, reference: str) -> float:
    found = CHOICE.findall(text)
    return float(bool(found) and found[-1].upper() == reference)


def texts() -> Iterator[Comparison]:
    """Equal texts and patterns."""
    answers = gene_lists(SAMPLES)
    equal = {"type": "string_check", "operation": "ilike", "input": "{{sample.output_text}}", **REFERENCE}
    lower = each(lambda text, reference: float(reference.lower() in text.lower()))
    yield Comparison("string check", equal, answers, "plain Python", lower)
    pattern = re.compile(r"####\s*(-?[\d,]+)\s*$")
    marked = solutions(SAMPLES)
    matched = each(lambda text, reference: float(pattern.search(text) is not None))
    yield Comparison("regex", {"type": "regex", "pattern": pattern.pattern}, marked, "Python's re", matched)
