"""`pinetune graders` against the real grading service."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai.types.fine_tuning.alpha import GraderRunResponse
from tests.unit.cli.conftest import Run

from pinetune.grading.__main__ import build
from pinetune.pod.server import PodSettings, start

NUMBER = {"type": "number", "name": "sum", "reference": "{{item.answer}}"}
RANKED = {"type": "ranked_list", "reference": "{{item.answer}}"}
FOUR = {"answer": "4"}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    pod = start("grading", PodSettings(grace_seconds=1.0), build)
    yield pod.grpc_address
    pod.close()


@pytest.fixture
def graders(run: Run, address: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("PINETUNE_SERVER", address)
    return lambda *arguments: run("graders", *arguments)


@pytest.fixture
def number(tmp_path: Path) -> Path:
    return written(tmp_path / "grader.json", NUMBER)


def written(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# validate


@pytest.mark.parametrize("name", ["g.json", "g.yaml"])
def test_a_right_grader_comes_back_normalised(graders: Run, tmp_path: Path, name: str) -> None:
    outcome = graders("validate", written(tmp_path / name, NUMBER), "--json")
    assert outcome.code == 0
    told = json.loads(outcome.out)
    assert told["grader"]["absolute_tolerance"] == 1e-6
    assert (json.loads(told["json"]), len(told["fingerprint"])) == (told["grader"], 32)


def test_a_wrong_grader_is_refused_with_reason_field_and_message(graders: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "g.json", {**NUMBER, "partial": 1})
    outcome = graders("validate", path)
    assert (outcome.code, outcome.out) == (2, "")
    message, reason = outcome.err.splitlines()
    assert message.startswith("error: partial: unknown field")
    assert reason == "reason GRADER_FIELD_UNKNOWN, field partial"
    outcome = graders("validate", path, "--json")
    error = json.loads(outcome.out)["error"]
    assert (outcome.code, error["reason"], error["field"]) == (2, "GRADER_FIELD_UNKNOWN", "partial")
    assert error["message"] == message.removeprefix("error: ")


def test_a_file_that_is_no_grader_is_refused_alike(graders: Run, tmp_path: Path) -> None:
    outcome = graders("validate", written(tmp_path / "g.json", "{"), "--json")
    assert (outcome.code, json.loads(outcome.out)["error"]["reason"]) == (2, "FILE_MALFORMED")


HALVES = [
    ("g.json", '{"type": "string_check", "input": "a\\ud800", "reference": "a", "operation": "eq"}', "input"),
    ("g.yaml", 'type: string_check\ninput: "a\\ud800"\nreference: a\noperation: eq\n', "input"),
    ("g.json", '{"type": "number", "a\\ud800": 1}', "a\\ud800"),
    ("g.yaml", '"a\\ud800": 1\n', "a\\ud800"),
]


@pytest.mark.parametrize(("name", "text", "field"), HALVES, ids=["json", "yaml", "key in json", "key in yaml"])
def test_half_a_character_in_a_grader_is_refused_by_every_command(
    graders: Run, tmp_path: Path, name: str, text: str, field: str
) -> None:
    path, cases = written(tmp_path / name, text), written(tmp_path / "cases.jsonl", *CASES)
    for command in (
        ("validate", path),
        ("run", "--grader", path, "--sample", "4"),
        ("test", path, "--cases", cases),
        ("replay", path, "--job", "ftjob-1"),
    ):
        outcome = graders(*command, "--json")
        error = json.loads(outcome.out)["error"]
        assert (outcome.code, error["reason"], error["field"]) == (2, "FILE_MALFORMED", field)
        assert "has half a character" in outcome.err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("g.json", '{"type": "number", "reference": "4", "partial_score": 1e400}'),
        ("g.yaml", "type: number\nreference: '4'\npartial_score: 1e400\n"),
    ],
)
def test_a_number_beyond_all_numbers_is_refused_by_its_key(graders: Run, tmp_path: Path, name: str, text: str) -> None:
    outcome = graders("validate", written(tmp_path / name, text), "--json")
    error = json.loads(outcome.out)["error"]
    assert (outcome.code, error["field"]) == (2, "partial_score")
    assert "partial_score: 1e400 is beyond" in error["message"]


@pytest.mark.parametrize("score", ["1e400", "1" + "0" * 400], ids=["decimal", "whole"])
def test_a_label_beyond_all_numbers_is_refused(graders: Run, tmp_path: Path, number: Path, score: str) -> None:
    cases = written(tmp_path / "cases.jsonl", f'{{"sample": "4", "item": {{"answer": "4"}}, "score": {score}}}')
    outcome = graders("test", number, "--cases", cases)
    assert (outcome.code, f"{cases}:1: score: " in outcome.err) == (2, True)


def test_a_grader_inside_another_key_is_told_to_be_taken_out(graders: Run, tmp_path: Path) -> None:
    outcome = graders("validate", written(tmp_path / "g.json", {"grader": NUMBER}), "--json")
    error = json.loads(outcome.out)["error"]
    assert (outcome.code, error["reason"], error["field"]) == (2, "GRADER_NOT_FOUND", "grader")
    assert "stands inside `grader`" in error["message"]


def test_a_part_that_decides_nothing_is_told(graders: Run, tmp_path: Path) -> None:
    parts = dict.fromkeys(("used", "idle", "watched", "gate"), NUMBER)
    multi = {
        "type": "multi",
        "graders": parts,
        "calculate_output": "2*used",
        "gate": "gate",
        "shadow": ["watched"],
    }
    outcome = graders("validate", written(tmp_path / "g.json", multi))
    (note,) = [line for line in outcome.err.splitlines() if line.startswith("note: ")]
    assert (outcome.code, note.split(" is in neither")[0]) == (0, "note: graders.idle")


def test_a_gzipped_data_set_is_read(graders: Run, tmp_path: Path, number: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"answer": "4"}\n{"answer": "5"}\n'))
    assert graders("validate", number, "--dataset", path).code == 0
    path.write_bytes(path.read_bytes()[:-9])
    outcome = graders("validate", number, "--dataset", path)
    assert (outcome.code, "is no whole gzip file" in outcome.err) == (2, True)


# run


@pytest.mark.parametrize("option", [(), ("--grader",)], ids=["argument", "option"])
def test_one_text_is_answered_as_the_openai_api_does(graders: Run, number: Path, option: tuple[str, ...]) -> None:
    outcome = graders("run", *option, number, "--sample", "it is 4", "--item", json.dumps(FOUR), "--json")
    assert outcome.code == 0
    (line,) = outcome.out.splitlines()
    response = GraderRunResponse.model_validate_json(line)
    assert (response.reward, response.metadata.name, response.metadata.type) == (1.0, "sum", "number")
    assert response.metadata.execution_time > 0


def test_a_text_that_cannot_be_graded_has_no_reward_and_a_reason(graders: Run, number: Path) -> None:
    outcome = graders("run", "--grader", number, "--sample", "4", "--item", '{"answer": "four"}', "--json")
    response = json.loads(outcome.out)
    assert (outcome.code, response["reward"], response["metadata"]["errors"]["other_error"]) == (0, None, True)
    assert "four" in outcome.err


def test_a_wrong_grader_grades_nothing(graders: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "g.json", {"type": "nuber"})
    outcome = graders("run", "--grader", path, "--sample", "4", "--json")
    assert (outcome.code, json.loads(outcome.out)["error"]["reason"]) == (2, "GRADER_KIND_UNKNOWN")


@pytest.mark.parametrize(
    "arguments",
    [("--sample", "4"), ("g", "--grader", "g", "--sample", "4"), ("g",), ("g", "--cases", "c"), ("--sample", "4", "g")],
    ids=["no grader", "two graders", "nothing to grade", "cases and a grader", "no such file"],
)
def test_half_a_question_is_refused(graders: Run, arguments: tuple[str, ...]) -> None:
    assert graders("run", *arguments).code == 2


def test_cases_are_answered_in_their_order_whatever_their_graders(graders: Run, tmp_path: Path) -> None:
    rows = [
        {"grader": NUMBER, "sample": f"it is {n}", "item": FOUR}
        if n % 2
        else {"grader": RANKED, "sample": f"1. {n}", "item": FOUR}
        for n in range(9)
    ]
    outcome = graders("run", "--cases", written(tmp_path / "cases.jsonl", *rows))
    assert outcome.code == 0
    responses = [GraderRunResponse.model_validate(line) for line in lines(outcome.out)]
    assert [response.metadata.type for response in responses] == [row["grader"]["type"] for row in rows]  # type: ignore[index]
    assert [response.reward for response in responses] == [float(n == 4) for n in range(9)]


def test_a_wrong_case_is_answered_in_its_place_and_the_exit_code_says_so(graders: Run, tmp_path: Path) -> None:
    path = written(
        tmp_path / "cases.jsonl",
        {"grader": NUMBER, "sample": "4", "item": FOUR},
        "{",
        {"grader": {"type": "nuber"}, "sample": "4", "item": FOUR},
        "",
        {"grader": "grader.json", "sample": "4"},
        {"grader": NUMBER, "sample": {"output_text": 4}},
        {"grader": NUMBER, "sample": "4", "item": {"answer": "four"}},
    )
    outcome = graders("run", "--cases", path, "--json")
    answers = lines(outcome.out)
    told = [(a["line"], a["error"]["reason"], a["error"]["field"]) if "error" in a else a["reward"] for a in answers]
    assert told == [
        1.0,
        (2, "BAD_ROW", ""),
        (3, "GRADER_KIND_UNKNOWN", "type"),
        (5, "BAD_ROW", "grader"),
        (6, "BAD_ROW", "sample.output_text"),
        None,
    ]
    assert outcome.code == 1
    assert [line.split(":")[0] for line in outcome.err.splitlines()] == ["line 7", "4 of 6 cases are wrong"]


def test_every_case_without_a_grade_says_why_in_its_response(graders: Run, tmp_path: Path) -> None:
    rows = [{"grader": NUMBER, "sample": "4", "item": {"answer": f"none {n}"}} for n in range(14)]
    outcome = graders("run", "--cases", written(tmp_path / "cases.jsonl", *rows))
    assert [f"`none {n}`" in answer["detail"] for n, answer in enumerate(lines(outcome.out))] == [True] * 14
    assert "and 4 more without a grade" in outcome.err


def test_cases_of_tool_calls_and_of_read_json_can_be_tried(graders: Run, tmp_path: Path) -> None:
    call = {"function": {"name": "find", "arguments": '{"gene": "NF1"}'}}
    tools = {"type": "tool_calls", "reference": "{{item.calls}}"}
    name = "{{sample.output_tools[0].function.name}}"
    called = {"type": "string_check", "input": name, "reference": "find", "operation": "eq"}
    text = {"type": "string_check", "input": "{{sample.output_json.gene}}", "reference": "NF1", "operation": "eq"}
    path = written(
        tmp_path / "cases.jsonl",
        {"grader": tools, "sample": {"output_tools": [call]}, "item": {"calls": [call]}},
        {"grader": called, "sample": {"output_text": None, "output_tools": [call]}, "item": {}},
        {"grader": text, "sample": {"output_text": "…", "output_json": {"gene": "NF1"}}, "item": {}},
        {"grader": text, "sample": '{"gene": "NF1"}', "item": {}},
    )
    outcome = graders("run", "--cases", path)
    assert [answer["reward"] for answer in lines(outcome.out)] == [1.0, 1.0, 1.0, 1.0]


# test

CASES: list[dict[str, Any]] = [
    {"sample": "1. NF1\n2. BRCA1", "item": {"answer": "NF1"}, "score": 1},
    {"sample": "1. NF1\n2. BRCA1", "item": {"answer": "BRCA1"}, "score": {"min": 0.5, "max": 0.9}},
    {"sample": "NF1", "item": {"answer": ""}, "error": "INVALID_REFERENCE"},
    {"better": "NF1, BRCA1", "worse": "BRCA1, NF1", "item": {"answer": "NF1"}},
]


def test_a_grader_that_holds_to_its_set_passes(graders: Run, tmp_path: Path) -> None:
    path, cases = written(tmp_path / "g.json", RANKED), written(tmp_path / "cases.jsonl", *CASES)
    outcome = graders("test", path, "--cases", cases, "--max-seconds", "5", "--json")
    report = json.loads(outcome.out)
    assert (outcome.code, report["passed"], report["failures"]) == (0, True, [])
    assert (report["agreement"]["agreed"], report["agreement"]["cases"]) == (4, 4)
    assert report["determinism"] == {"repeats": 3, "unstable": []}
    assert 0 < report["latency"]["worst_seconds"] < 5


def test_a_grader_that_does_not_fails_with_what_it_misses(graders: Run, tmp_path: Path) -> None:
    flat = {**RANKED, "curve": {"table": [1, 1]}}
    path, cases = written(tmp_path / "g.json", flat), written(tmp_path / "cases.jsonl", *CASES)
    outcome = graders("test", path, "--cases", cases, "--json")
    report = json.loads(outcome.out)
    assert (outcome.code, report["passed"], report["agreement"]["agreed"]) == (1, False, 2)
    assert report["disagreements"] == [
        {"line": 2, "expected": "0.5 to 0.9", "got": "1", "text": "1. NF1 2. BRCA1"},
    ]
    assert [violation["line"] for violation in report["order_violations"]] == [4]
    outcome = graders("test", path, "--cases", cases)
    assert (outcome.code, "0.5 to 0.9" in outcome.out) == (1, True)
    assert "error: 2 of 4 cases hold" in outcome.err
    assert graders("test", path, "--cases", cases, "--min-agreement", "0.5").code == 0


def test_rows_that_are_no_cases_are_named_by_line(graders: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "cases.jsonl", CASES[0], {"sample": "x"}, "{")
    outcome = graders("test", written(tmp_path / "g.json", RANKED), "--cases", path)
    assert outcome.code == 2
    *faults, reason = outcome.err.splitlines()
    assert [line.split(": ")[1] for line in faults] == [f"{path}:2", f"{path}:3"]
    assert reason == "reason BAD_ROW"


def test_an_empty_set_tests_nothing(graders: Run, tmp_path: Path, number: Path) -> None:
    outcome = graders("test", number, "--cases", written(tmp_path / "cases.jsonl"))
    assert (outcome.code, "no cases" in outcome.err) == (2, True)


# Nobody there


def test_where_nobody_serves_a_way_without_a_server_is_named(run: Run, number: Path) -> None:
    outcome = run("graders", "validate", number, "--server", "127.0.0.1:1")
    assert outcome.code == 1
    assert "add --local" in outcome.err


def test_an_outage_is_no_refusal_and_told_as_json_by_every_command(run: Run, tmp_path: Path, number: Path) -> None:
    cases = written(tmp_path / "cases.jsonl", {"sample": "4", "item": FOUR, "score": 1})
    for command in (
        ("validate", number),
        ("run", "--grader", number, "--sample", "4"),
        ("run", "--cases", written(tmp_path / "rows.jsonl", {"grader": NUMBER, "sample": "4", "item": FOUR})),
        ("test", number, "--cases", cases),
        ("replay", number, "--job", "ftjob-1"),
    ):
        outcome = run("graders", *command, "--server", "127.0.0.1:1", "--json")
        error = json.loads(outcome.out)["error"]
        assert (outcome.code, error["reason"], error["field"]) == (1, "NOBODY_THERE", "")


def test_every_command_says_its_exit_codes(run: Run) -> None:
    for command in ("validate", "run", "test", "replay"):
        assert "Exit codes: 0 done; 1 a case" in " ".join(run("graders", command, "--help").out.split())


# what only a look at the grader finds

BROKEN = {"type": "python", "source": "def grade(sample, item)\n    return 1.0\n"}
UNKNOWN = {"type": "score_model", "model": "nobody", "input": [{"role": "user", "content": "{{item.missing}}"}]}


@pytest.mark.parametrize(("grader", "field"), [(BROKEN, "source"), (UNKNOWN, "model")], ids=["python", "judge"])
def test_a_grader_that_can_grade_nothing_is_refused_and_not_tried_sample_by_sample(
    graders: Run, tmp_path: Path, grader: dict[str, Any], field: str
) -> None:
    file = written(tmp_path / "grader.json", grader)
    alone = graders("run", "--grader", str(file), "--sample", "4", "--json")
    assert (alone.code, json.loads(alone.out)["error"]["field"]) == (2, field)
    cases = written(tmp_path / "cases.jsonl", {"grader": grader, "sample": "4", "item": {}})
    answered = graders("run", "--cases", str(cases))
    assert (answered.code, lines(answered.out)[0]["error"]["field"]) == (1, field)
    labelled = written(tmp_path / "labelled.jsonl", {"sample": "4", "item": {}, "score": 1})
    tested = graders("test", str(file), "--cases", str(labelled), "--json")
    assert (tested.code, json.loads(tested.out)["error"]["field"]) == (2, field)


def test_a_grader_without_a_name_is_called_by_its_kind(graders: Run, tmp_path: Path) -> None:
    file = written(tmp_path / "grader.json", RANKED)
    found = graders("run", "--grader", str(file), "--sample", "4", "--item", json.dumps(FOUR), "--json")
    assert json.loads(found.out)["metadata"]["name"] == "ranked_list"
