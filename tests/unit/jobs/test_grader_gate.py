"""An order's grader against its labelled set, at the real grading service."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from pinetune.grading.__main__ import build
from pinetune.jobs.grader_check import GraderCheck
from pinetune.jobs.grader_gate import CASES_MAX, read_cases, refuse_failing
from pinetune.jobs.rows import LISTED_MAX, MESSAGE_CHARACTERS_MAX
from pinetune.jobs.spec import GraderTestSpec
from pinetune.pod.channel import connect
from pinetune.pod.errors import InvalidInput, NotFound, Unavailable
from pinetune.pod.server import PodSettings, start

NUMBER: dict[str, JsonValue] = {"type": "number", "reference": "{{item.answer}}"}
FIELD = "method.reinforcement.grader"
RIGHT: dict[str, Any] = {"sample": "it is 4", "item": {"answer": "4"}, "score": 1}
WRONG: dict[str, Any] = {**RIGHT, "score": 0.25}
ORDER: dict[str, Any] = {"better": "5", "worse": "4", "item": {"answer": "4"}}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    pod = start("grading", PodSettings(grace_seconds=1.0), build)
    yield pod.grpc_address
    pod.close()


@pytest.fixture(scope="module")
def graders(address: str) -> Iterator[GraderCheck]:
    with connect(address) as channel:
        yield GraderCheck(channel, address)


def written(folder: Path, *rows: dict[str, Any]) -> str:
    path = folder / "cases.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def refused(graders: GraderCheck, uri: str, **limits: Any) -> InvalidInput:
    test = GraderTestSpec(file="file-1", **limits)
    with pytest.raises(InvalidInput) as caught:
        refuse_failing(graders, NUMBER, test, uri, field=FIELD)
    return caught.value


def test_a_grader_that_holds_is_let_through(graders: GraderCheck, tmp_path: Path) -> None:
    test = GraderTestSpec(file="file-1", max_seconds=60.0)
    refuse_failing(graders, NUMBER, test, written(tmp_path, RIGHT), field=FIELD)
    allowed = GraderTestSpec(file="file-1", min_agreement=0.5)
    refuse_failing(graders, NUMBER, allowed, written(tmp_path, RIGHT, WRONG), field=FIELD)


def test_a_grader_that_does_not_is_refused_with_the_rows(graders: GraderCheck, tmp_path: Path) -> None:
    error = refused(graders, written(tmp_path, RIGHT, WRONG, ORDER))
    assert error.reason == "GRADER_TEST_FAILED"
    assert error.message.splitlines() == [
        f"the grader of {FIELD} fails its test: 1 of 3 cases hold, a share of 0.3333; min_agreement is 1",
        "line 2: expected 0.25, got 1: it is 4",
        "line 3: expected better above worse, got 0 and 1: 5",
    ]


def test_many_misses_are_counted_beyond_what_a_message_holds(graders: GraderCheck, tmp_path: Path) -> None:
    error = refused(graders, written(tmp_path, *[WRONG] * (LISTED_MAX + 5)))
    assert len(error.message) < MESSAGE_CHARACTERS_MAX + 100
    assert error.message.splitlines()[-1] == "and 6 more"


def test_a_grader_may_be_too_slow(graders: GraderCheck, tmp_path: Path) -> None:
    error = refused(graders, written(tmp_path, RIGHT), max_seconds=1e-9)
    assert "max_seconds is 1e-09" in error.message


def test_a_test_that_takes_longer_than_an_order_may_wait_is_given_up(address: str, tmp_path: Path) -> None:
    with connect(address) as channel:
        error = refused(GraderCheck(channel, address, test_seconds_max=0.0), written(tmp_path, RIGHT))
    assert error.reason == "GRADER_TEST_TOO_SLOW"
    assert "longer than 0 s" in error.message


def test_a_set_of_more_cases_than_an_order_may_test_is_refused_by_its_size(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_cases(written(tmp_path, *[RIGHT] * (CASES_MAX + 1)))
    assert caught.value.reason == "TOO_MANY_CASES"
    assert f"{CASES_MAX + 1} cases, at most {CASES_MAX}" in caught.value.message


def test_rows_that_are_no_cases_are_listed(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_cases(written(tmp_path, RIGHT, {"question": "x"}, {**RIGHT, "score": "1"}))
    first, second = caught.value.message.splitlines()
    assert first.startswith("line 2: needs exactly one of score, error")
    assert second.startswith("line 3: score: must be a number")


def test_a_set_that_is_gone_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_cases(str(tmp_path / "none.jsonl"))


def test_without_a_grading_service_no_grader_is_let_through(tmp_path: Path) -> None:
    test = GraderTestSpec(file="file-1")
    with pytest.raises(Unavailable):
        refuse_failing(GraderCheck(None, ""), NUMBER, test, written(tmp_path, RIGHT), field=FIELD)
