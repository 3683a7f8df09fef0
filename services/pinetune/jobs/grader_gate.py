"""Holds an order's grader to a labelled set: an order whose grader does not hold to it is refused."""

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from pinetune.client.grader_labels import Case, read_case
from pinetune.client.grader_test import Limits, Miss, Report
from pinetune.jobs.grader_check import GraderCheck
from pinetune.jobs.rows import Finding, read_rows, refusal
from pinetune.jobs.spec import GraderTestSpec
from pinetune.pod.errors import InvalidInput, NotFound
from pinetune.pod.storage import reading

GRADER_TEST_FIELD = "pinetune.policies.grader_test"
CASES_MAX = 2000
"""Most rows of a labelled set: it is graded while the order waits."""


def refuse_failing(
    graders: GraderCheck, grader: Mapping[str, JsonValue], test: GraderTestSpec, uri: str, *, field: str
) -> None:
    """Raise InvalidInput GRADER_TEST_FAILED, which lists what is missed, where the grader of `field` does not pass.

    Raises InvalidInput INVALID_DATASET that lists the rows which are no labelled cases.
    """
    limits = Limits(test.repeats, test.tolerance, test.min_agreement, test.max_seconds)
    report = graders.test(grader, read_cases(uri), limits, field=field)
    if not report.passed:
        raise refusal(list(_findings(report, field)), reason="GRADER_TEST_FAILED")


def read_cases(uri: str) -> list[Case]:
    """Read the labelled cases of a data set; raises InvalidInput that lists the bad rows, and NotFound."""
    cases, faults = list[Case](), list[Finding]()
    try:
        with reading(uri) as file:
            for row in read_rows(file):
                faults += row.faults
                try:
                    if not row.faults:
                        cases.append(read_case(row.table, row.line))
                except InvalidInput as error:
                    faults.append(Finding(row.line, "", error.message))
    except FileNotFoundError as error:
        raise NotFound(f"the data set at {uri} is not there any more", reason="DATASET_NOT_FOUND", uri=uri) from error
    if faults:
        raise refusal(faults)
    if len(cases) > CASES_MAX:
        raise InvalidInput(
            f"{GRADER_TEST_FIELD}.file: {len(cases)} cases, at most {CASES_MAX} are graded when a job is ordered; test "
            "more of them with `pinetune graders test`",
            reason="TOO_MANY_CASES",
            field=f"{GRADER_TEST_FIELD}.file",
        )
    return cases


def _findings(report: Report, field: str) -> Iterator[Finding]:
    for sentence in report.failures:
        yield Finding(0, "", f"the grader of {field} fails its test: {sentence}")
    for miss in (*report.disagreements, *report.order_violations):
        yield _finding(miss)
    shown = {miss.line for miss in (*report.disagreements, *report.order_violations)}
    yield from (_finding(miss) for miss in report.unstable if miss.line not in shown)


def _finding(miss: Miss) -> Finding:
    return Finding(miss.line, "", str(miss))
