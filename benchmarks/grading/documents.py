"""Answers with a form: JSON against a schema, tool calls, length, templates and formulas over several graders."""

import json
import random
import re
from collections.abc import Iterator
from typing import Any

from benchmarks.grading.answers import each
from benchmarks.grading.comparison import Answers, Comparison, library
from benchmarks.grading.texts import GROUP_SIZE, solutions

SAMPLES = 4096
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "price": {"type": "number", "minimum": 0},
        "count": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 8},
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            "required": ["street", "city"],
        },
    },
    "required": ["name", "price", "count", "address"],
    "additionalProperties": False,
}
SHAPE: dict[str, Any] = {"type": "shape", "min_characters": 100, "max_characters": 300, "slope_characters": 100}


def comparisons() -> Iterator[Comparison]:
    """Return every kind of this file beside its peers."""
    yield from schemas()
    yield from forms()


def documents(count: int) -> Answers:
    """Return JSON answers of about 170 characters: every sixth against the schema, every third with a wrong field."""
    draw = random.Random(5)
    texts: list[str] = []
    references: list[str] = []
    for place in range(count):
        if place % GROUP_SIZE == 0:
            right: dict[str, Any] = {
                "name": f"Crate of eggs no. {draw.randint(1, 999)}",
                "price": draw.randint(100, 9999) / 100,
                "count": draw.randint(1, 40),
                "tags": draw.sample(["fresh", "brown", "large", "local"], draw.randint(0, 4)),
                "address": {"street": f"{draw.randint(1, 99)} Mill Lane", "city": "Ghent"},
            }
        said = dict(right)
        if place % 3 == 0:
            said["count"] = right["count"] + 1
        if place % 6 == 1:
            said["price"] = -1
        texts.append(json.dumps(said, indent=2 if place % 2 else None))
        references.append(json.dumps(right))
    return Answers(texts, references)


def schemas() -> Iterator[Comparison]:
    """JSON from text, checked by a schema; ours also gives partial credit by field."""
    orjson, jsonschema = library("orjson", "orjson"), library("jsonschema_rs", "jsonschema-rs")
    if orjson is None or jsonschema is None:
        return
    validator = jsonschema.validator_for(SCHEMA)
    parsed: dict[str, Any] = {}

    def fits(text: str, reference: str) -> float:
        return float(validator.is_valid(orjson.loads(text)))

    def fields(text: str, reference: str) -> float:
        answer = orjson.loads(text)
        if not validator.is_valid(answer):
            return 0.0
        right = parsed.get(reference) or parsed.setdefault(reference, orjson.loads(reference))
        return _share(right, answer)

    grader = {"type": "json_fields", "schema_json": SCHEMA, "reference": "{{item.answer}}"}
    answers = documents(SAMPLES)
    weaker = "the peer checks the schema alone: a wrong field costs it nothing"
    yield Comparison("json schema", grader, answers, "orjson + jsonschema-rs", each(fits), 1.2, weaker)
    yield Comparison("json fields", grader, answers, "orjson + jsonschema-rs + plain Python", each(fields))


def _share(right: Any, answer: Any) -> float:
    if isinstance(right, dict) and right:
        shares = (_share(value, answer[key]) if key in answer else 0.0 for key, value in right.items())
        return sum(shares) / len(right) if isinstance(answer, dict) else 0.0
    if isinstance(right, list) and right:
        if not isinstance(answer, list):
            return 0.0
        shares = (_share(value, other) for value, other in zip(right, answer, strict=False))
        return sum(shares) / max(len(right), len(answer))
    return float(right == answer)


def forms() -> Iterator[Comparison]:
    """Tool calls, length and form, a template around a text, a formula over two graders."""
    calls = documents(SAMPLES)
    yield _tool_calls(calls)
    answers = solutions(SAMPLES)
    yield Comparison("shape", SHAPE, answers, "plain Python", each(_length))
    templated = {
        "type": "string_check",
        "operation": "like",
        "input": "Said: {{sample.output_text}}",
        "reference": "#### {{item.answer}}",
    }
    contains = each(lambda text, reference: float(f"#### {reference}" in f"Said: {text}"))
    yield Comparison("template", templated, answers, "plain Python", contains)
    number = {"type": "number", "reference": "{{item.answer}}"}
    formula = "0.8 * number + 0.2 * shape"
    multi = {"type": "multi", "graders": {"number": number, "shape": SHAPE}, "calculate_output": formula}
    compiled = compile(formula, "formula", "eval")
    last = re.compile(r"-?\d[\d,]*")

    def both(text: str, reference: str) -> float:
        said = float(last.findall(text)[-1].replace(",", "") == reference)
        return float(eval(compiled, {"number": said, "shape": _length(text, reference)}))

    yield Comparison("formula", multi, answers, "plain Python, compiled eval", each(both))


def _length(text: str, reference: str) -> float:
    over = max(SHAPE["min_characters"] - len(text), len(text) - SHAPE["max_characters"], 0)
    return float(max(0.0, 1 - over / SHAPE["slope_characters"]))


def _tool_calls(answers: Answers) -> Comparison:
    def call(arguments: str) -> str:
        return json.dumps([{"name": "order", "arguments": json.loads(arguments)}])

    made = Answers([call(text) for text in answers.texts], [call(reference) for reference in answers.references])
    grader = {"type": "tool_calls", "input": "{{sample.output_text}}", "reference": "{{item.answer}}"}
    same = each(lambda text, reference: float(json.loads(text) == json.loads(reference)))
    partial = "ours gives the share of right calls, the peer all or nothing"
    return Comparison("tool calls", grader, made, "plain Python, json", same, None, partial)
