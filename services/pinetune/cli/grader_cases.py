"""Reads files with a case a line, and grades those that bring graders of their own.

    {"grader": {"type": "number", …}, "sample": "It is 4", "item": {"answer": "4"}}

Every line gets one answer in its place: the openai API's response, or what is wrong with the line.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from pinetune.cli.console import error_table
from pinetune.cli.yaml_files import read_text
from pinetune.client.grader_run import run_response
from pinetune.client.grader_samples import BAD_ROW, Sample, read_row, sample_of
from pinetune.client.grading import GradingClient
from pinetune.pod.errors import InvalidInput, Unsupported


@dataclass(frozen=True)
class Case:
    """A line that could be read."""

    line: int
    """1-based."""
    grader: dict[str, JsonValue]
    """The grader, as it was written."""
    sample: Sample
    """What to grade."""


@dataclass(frozen=True)
class Answer:
    """What a line is answered with."""

    content: dict[str, JsonValue]
    """The response, or the error and its line."""
    wrong: bool = False
    """True where the line, or its grader, is wrong."""
    note: str = ""
    """Why there is no grade, which a response has no place for; empty where there is one."""


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that are not blank, numbered from 1."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            yield number, line


def answers(path: Path, client: GradingClient) -> list[Answer]:
    """Return an answer for each line of `path`, in their order; cases with the same grader are graded together."""
    found: dict[int, Answer | None] = {}
    cases: dict[str, list[Case]] = defaultdict(list)
    for line, text in numbered_lines(path):
        found[line] = None
        try:
            case = _case(line, text)
            cases[json.dumps(case.grader, sort_keys=True, ensure_ascii=False)].append(case)
        except InvalidInput as error:
            found[line] = _refusal(line, error)
    for grader_json, alike in cases.items():
        try:
            found.update(_graded(client, grader_json, alike))
        except (InvalidInput, Unsupported) as error:
            found.update((case.line, _refusal(case.line, error)) for case in alike)
    return [answer for answer in found.values() if answer is not None]


def _case(line: int, text: str) -> Case:
    row = read_row(text)
    grader = row.get("grader")
    if not isinstance(grader, dict):
        raise InvalidInput("grader: must be a JSON object", reason=BAD_ROW, field="grader")
    return Case(line, grader, sample_of(row))


def _graded(client: GradingClient, grader_json: str, cases: list[Case]) -> Iterator[tuple[int, Answer]]:
    """Yield line and answer of cases with one grader.

    The service times and counts the whole batch: a case is given its even share of the time, and tokens of judge
    models only where it is alone. Raises InvalidInput where the grader is wrong.
    """
    checked = client.validate(grader_json).json
    grader = json.loads(checked)
    batch = client.grade_samples(checked, [case.sample for case in cases])
    tokens = batch.judge_tokens if len(cases) == 1 else None
    seconds = batch.grading_seconds / len(cases)
    for case, grade in zip(cases, batch.grades, strict=True):
        response = run_response(grader, grade, seconds=seconds, judge_tokens=tokens)
        yield case.line, Answer(response, note=f"line {case.line}: {grade.error.detail}" if grade.error else "")


def _refusal(line: int, error: InvalidInput | Unsupported) -> Answer:
    return Answer({"error": {**error_table(error)}, "line": line}, wrong=True)
