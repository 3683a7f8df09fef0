"""The maths grader on math-verify's own labelled cases, beside math-verify.

    git clone https://github.com/huggingface/Math-Verify
    python -m benchmarks.grading.published Math-Verify

Reads the cases out of that checkout's tests: every test whose parameters have `gold` and `pred` and a label. Prints how
many labels this grader, math-verify with its defaults and math-verify with each test's own options agree with, and the
cases in which this grader does not.
"""

import argparse
import contextlib
import importlib
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.grading import graders

MODULES = ("test_all", "test_numina_cases", "test_boxed", "test_open_thoughts", "test_strict", "test_yujianll")
GRADER = wire.GraderSpec(json=json.dumps({"type": "math", "reference": "{{item.answer}}"}))
SHOWN = 120


@dataclass(frozen=True)
class Case:
    """A pair of answers with what the test says of it."""

    test: str
    """Where it stands."""
    gold: str
    """The reference."""
    answer: str
    """The text to grade."""
    label: bool
    """Whether it is right."""
    options: dict[str, Any] | None
    """What the test sets; None where it calls math-verify without options."""


def main() -> None:
    """Grade and print."""
    parser = argparse.ArgumentParser(description="The maths grader on math-verify's own labelled cases.")
    parser.add_argument("checkout", type=Path, help="a clone of Math-Verify")
    found = list(cases(parser.parse_args().checkout))
    logging.disable(logging.CRITICAL)
    ours = [grade(case) for case in found]
    judges: dict[str, list[bool | None]] = {
        "this grader": ours,
        "math-verify, defaults": [*map(by_defaults, found)],
        "math-verify, each test's options": [*map(by_options, found)],
    }
    for judge, answers in judges.items():
        agreed = sum(answer == case.label for answer, case in zip(answers, found, strict=True))
        print(f"{judge:34} agrees with {agreed} of {len(found)} labels")
    for case, answer in zip(found, ours, strict=True):
        if answer != case.label:
            print(f"{case.test}: label {case.label}, graded {answer}")
            print(f"  {case.gold[-SHOWN:]!r}\n  {case.answer[-SHOWN:]!r}")


def cases(checkout: Path) -> Iterator[Case]:
    """Yield the labelled pairs of a checkout's tests."""
    sys.path.insert(0, str(checkout.resolve()))
    for name in MODULES:
        module = importlib.import_module(f"tests.{name}")
        options: dict[str, Any] = {}
        calls_helper = hasattr(module, "compare_strings")
        if calls_helper:
            vars(module)["compare_strings"] = lambda gold, pred, options=options, **given: options.update(given)
        for test, pairs in parametrised(module):
            for pair in pairs:
                options.clear()
                with contextlib.suppress(AssertionError):
                    if calls_helper:
                        vars(module)[test](**pair)
                label = pair["expected"] if "expected" in pair else pair["result"]
                yield Case(
                    f"{name}::{test}", pair["gold"], pair["pred"], bool(label), dict(options) if calls_helper else None
                )


def parametrised(module: ModuleType) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the tests of a module that have pairs, with their parameters by name."""
    for test, function in vars(module).items():
        for mark in getattr(function, "pytestmark", []):
            if mark.name != "parametrize" or function.__module__ != module.__name__:
                continue
            names = [name.strip() for name in mark.args[0].split(",")]
            if {"gold", "pred"} <= set(names):
                yield test, [dict(zip(names, values, strict=True)) for values in mark.args[1]]


def grade(case: Case) -> bool | None:
    """Return whether this grader calls the answer right; None for an error."""
    request = wire.GradeRequest(
        grader=GRADER, items_json=[json.dumps({"answer": case.gold})], output_texts=[case.answer], samples_json=[""]
    )
    (one,) = wire.GradeResponse.FromString(graders.grade(request.SerializeToString()).reply).grades
    return one.score == 1.0 if one.HasField("score") else None


def by_defaults(case: Case) -> bool:
    """Return what math-verify says without options."""
    return bool(verify(parse(case.gold), parse(case.answer)))


def by_options(case: Case) -> bool:
    """Return what math-verify says with the options of the case's test, as its own helper sets them."""
    if case.options is None:
        return by_defaults(case)
    options = dict(case.options)
    kinds = options.pop("match_types", ["latex", "expr"])
    targets = [
        LatexExtractionConfig(boxed_match_priority=0) if kind == "latex" else ExprExtractionConfig() for kind in kinds
    ]
    return bool(
        verify(
            parse(case.gold, targets),
            parse(case.answer, targets),
            float_rounding=options.pop("precision", 6),
            **{"strict": True, "allow_set_relation_comp": False} | options,
        )
    )


if __name__ == "__main__":
    main()
