"""Has the grading service judge an order's grader, and looks whether every row has what the grader needs."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import grpc
from pydantic import JsonValue

from pinetune.api.grading.v1.grading_pb2 import GraderSpec, ValidateGraderRequest
from pinetune.api.grading.v1.grading_pb2_grpc import GradingServiceStub
from pinetune.client.calls import call
from pinetune.client.grader_kinds import graders_without_asking
from pinetune.client.grader_labels import Case
from pinetune.client.grader_samples import Sample
from pinetune.client.grader_test import Limits, Report, run_test
from pinetune.client.grader_view import samples_json
from pinetune.client.grading import VALIDATE_DEADLINE_SECONDS, GradedBatch, GradingClient
from pinetune.client.rollout import Completion, FinishReason
from pinetune.jobs.dataset import Item
from pinetune.jobs.prompts import paths_named
from pinetune.jobs.rows import Finding, refusal
from pinetune.pod.errors import InvalidInput, PinetuneError, TimedOut, Transient, Unavailable

PROBE_CHARACTERS = 16 << 20
"""Items graded in one call, by the length of their JSON: well below what a message may have."""
TEST_SECONDS_MAX = 240.0
"""Longest time that testing a grader may take; whoever orders a job waits for it, 300 s at the most."""
ROW_ERRORS = ("INVALID_REFERENCE", "INVALID_VARIABLE")
"""Errors that come of the row alone: whatever the model answers, there is no grade."""
REFERENCE_FIELDS = ("reference", "aliases")
READS_SAMPLE = re.compile(r"\{\{\s*sample\.")
ITEM_KEY = re.compile(r"\{\{\s*item\.([^\s.\[\]{}]+)")


NO_ANSWER = Completion("", 0, "", (), (), (), FinishReason.STOP, (), parts_format="hermes")
"""An empty answer without calls, in a format that could have had some."""


class GraderCheck:
    """The grading service, asked about graders."""

    def __init__(
        self, channel: grpc.Channel | None, address: str, *, test_seconds_max: float = TEST_SECONDS_MAX
    ) -> None:
        self._channel = channel
        self._address = address
        self._test_seconds_max = test_seconds_max

    def normalise(self, grader: GraderSpec, *, item_keys: Sequence[str], field: str) -> dict[str, JsonValue]:
        """Return the grader as JSON with every default written out.

        Raises InvalidInput that names the `field`, and Unavailable where the service cannot be asked.
        """
        request = ValidateGraderRequest(grader=grader, item_keys=item_keys)
        with self._asking(field) as channel:
            response = call(
                GradingServiceStub(channel).ValidateGrader, request, deadline_seconds=VALIDATE_DEADLINE_SECONDS
            )
        normalised: dict[str, JsonValue] = json.loads(response.json)
        return normalised

    def refuse_ungradable(self, grader: Mapping[str, JsonValue], items: Sequence[Item], *, field: str) -> None:
        """Raise InvalidInput ITEM_NOT_GRADABLE that lists the rows against which no answer at all could be graded.

        An empty answer is graded against every row: it may well be wrong, but the row must be readable. Judges, Python
        and remote graders are left out: they would be asked, and paid for, about answers that nobody gave.
        """
        for alone in graders_without_asking(grader):
            self._refuse_ungradable(alone, items, field=field)

    def _refuse_ungradable(self, grader: Mapping[str, JsonValue], items: Sequence[Item], *, field: str) -> None:
        faults = []
        for batch in _batches(items):
            with self._asking(field) as channel:
                graded = GradingClient(channel).grade(
                    json.dumps(grader),
                    items_json=[item.fields_json for item in batch],
                    output_texts=[""] * len(batch),
                    item_indexes=range(len(batch)),
                    samples_json=samples_json(grader, [NO_ANSWER] * len(batch)),
                )
            faults += [
                Finding(item.line, "", f"the grader of {field} can grade no answer: {grade.error.detail}")
                for item, grade in zip(batch, graded.grades, strict=True)
                if grade.error is not None and grade.error.error_class in ROW_ERRORS
            ]
        if faults:
            raise refusal(faults, reason="ITEM_NOT_GRADABLE")

    def test(self, grader: Mapping[str, JsonValue], cases: Sequence[Case], limits: Limits, *, field: str) -> Report:
        """Return how the grader does on labelled cases; latency is measured where the limits have one.

        Raises InvalidInput GRADER_TEST_TOO_SLOW where that takes longer than an order may wait.
        """
        grader_json, give_up = json.dumps(grader), time.monotonic() + self._test_seconds_max

        def grade(samples: Sequence[Sample]) -> GradedBatch:
            left_seconds = give_up - time.monotonic()
            if left_seconds <= 0:
                raise InvalidInput(
                    f"the grader of {field} is tested for longer than {self._test_seconds_max:g} s, which is how long "
                    "an order may wait; take fewer cases or repeats, or test it with `pinetune graders test`",
                    reason="GRADER_TEST_TOO_SLOW",
                )
            return client.grade_samples(grader_json, samples, fresh_answers=True, deadline_seconds=left_seconds)

        with self._asking(field) as channel:
            client = GradingClient(channel)
            return run_test(cases, grade, limits, one_by_one=limits.max_seconds is not None)

    @contextmanager
    def _asking(self, field: str) -> Iterator[grpc.Channel]:
        """Give the way to the service; its refusals name the `field`, and its silence is Unavailable."""
        if self._channel is None:
            raise Unavailable(
                "no grading service is configured, so that no grader can be checked; set PINETUNE_JOBS_GRADING_ADDRESS",
                reason="GRADING_UNAVAILABLE",
            )
        try:
            yield self._channel
        except (Transient, TimedOut) as error:
            raise Unavailable(
                f"the grading service at {self._address} does not answer, so no grader can be checked: {error}",
                reason="GRADING_UNAVAILABLE",
                retry_after_seconds=5.0,
            ) from error
        except InvalidInput as error:
            raise _placed(error, field) from error


def grader_spec(grader: Mapping[str, JsonValue]) -> GraderSpec:
    """Return the message of a grader's JSON."""
    return GraderSpec(json=json.dumps(grader, ensure_ascii=False))


def reference_keys(grader: Mapping[str, JsonValue]) -> Iterator[str]:
    """Yield the paths into the row that a grader, or a part of it, compares answers with: prompts must hide them.

    They stand in `reference` and `aliases`, and in an `input` that reads no sample, as two texts may be compared either
    way round. A judge's messages are no such place: they may show what the prompt shows.
    """
    for name, part in grader.items():
        if isinstance(part, Mapping):
            yield from reference_keys(part)
        elif isinstance(part, list) and name == "graders":
            yield from (key for one in part if isinstance(one, Mapping) for key in reference_keys(one))
        elif isinstance(part, list) and name in REFERENCE_FIELDS:
            yield from (key for one in part if isinstance(one, str) for key in paths_named(one))
        elif isinstance(part, str) and (
            name in REFERENCE_FIELDS or (name == "input" and not READS_SAMPLE.search(part))
        ):
            yield from paths_named(part)


def refuse_rows_without_named_keys(grader: Mapping[str, JsonValue], items: Sequence[Item], *, field: str) -> None:
    """Raise InvalidInput that lists the rows which lack a key that the grader's templates name."""
    named = sorted(set(_item_keys(grader)))
    faults = []
    for item in items:
        fields = json.loads(item.fields_json)
        faults += [
            Finding(item.line, key, f"is missing or null, but the grader of {field} names it")
            for key in named
            if fields.get(key) is None
        ]
    if faults:
        raise refusal(faults, reason="GRADER_NAMES_MISSING_KEY")


def _item_keys(value: JsonValue | Mapping[str, JsonValue]) -> Iterator[str]:
    """Yield the first part of every `item.…` in the templates of a grader, wherever they stand."""
    if isinstance(value, str):
        yield from ITEM_KEY.findall(value)
    elif isinstance(value, Mapping):
        # A Python source is no template: what looks like one there is the user's own text.
        yield from (key for name, part in value.items() if name != "source" for key in _item_keys(part))
    elif isinstance(value, list):
        yield from (key for part in value for key in _item_keys(part))


def _batches(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Yield the items in batches that a message carries."""
    batch: list[Item] = []
    size = 0
    for item in items:
        if size > PROBE_CHARACTERS:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item.fields_json)
    if batch:
        yield batch


def _placed(error: InvalidInput, field: str) -> PinetuneError:
    """Return the grading service's refusal with the order's field in front."""
    placed = InvalidInput(f"{field}: {error.message}", reason=error.reason)
    placed.metadata = {**error.metadata, "field": field}
    return placed
