"""Client of the grading service: texts and items in, grades out, in the same order."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import grpc

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.api.grading.v1.grading_pb2_grpc import GradingServiceStub
from pinetune.client.calls import Unary, call_safe
from pinetune.client.grade_requests import encode_grade_request
from pinetune.client.grader_samples import Sample
from pinetune.client.rollout import FINISH_REASON_TO_WIRE, FinishReason, Grade
from pinetune.pod.errors import PinetuneError, TimedOut

# A batch is milliseconds in the core. Python may take two minutes a sample, and a judge model has its pace: what they
# have not answered by then is an error of those samples, and the others' grades are kept.
GRADE_DEADLINE_SECONDS = 1800.0
# Longer than the service waits for a Python source to be read, so that it can say what is wrong.
VALIDATE_DEADLINE_SECONDS = 90.0
NOT_SAID = (
    f"the grading service did not say within {VALIDATE_DEADLINE_SECONDS:g} s whether the grader is right; it is "
    "busy, or reads Python sources for longer: PINETUNE_GRADING_PYTHON_START_TIMEOUT_SECONDS of the service"
)
GRADE_METHOD = f"/{wire.DESCRIPTOR.services_by_name['GradingService'].full_name}/Grade"
CALL_SAMPLES, CALL_CHARACTERS = 1000, 16 << 20
"""Most samples, and about the most text, that `grade_samples` sends in one call: well below what a message may have."""

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class ValidGrader:
    """A grader that the service accepts, normalised."""

    json: str
    """The grader with every default written out."""
    fingerprint: str
    """Identifies the grader and the core's version."""


@dataclass(frozen=True)
class GradedBatch:
    """The grades of one batch."""

    grades: tuple[Grade, ...]
    """[N] in the order of the texts."""
    judge_tokens: Mapping[str, int]
    """Tokens that judge models used, by model."""
    grading_seconds: float = 0.0
    """Time that the service spent grading."""


class GradingClient:
    """Grades batches at one grading service."""

    def __init__(
        self,
        channel: grpc.Channel,
        *,
        patience_seconds: float = 0.0,
        away: Callable[[PinetuneError], None] = lambda error: None,
    ) -> None:
        """Have each call wait up to `patience_seconds` for a service that is away; `away` is told once."""
        self._patience_seconds, self._away = patience_seconds, away
        self._stub = GradingServiceStub(channel)
        self._grade: grpc.UnaryUnaryMultiCallable[bytes, wire.GradeResponse] = channel.unary_unary(
            GRADE_METHOD, response_deserializer=wire.GradeResponse.FromString
        )

    def grade(
        self,
        grader_json: str,
        *,
        items_json: Sequence[str],
        output_texts: Sequence[str],
        item_indexes: Sequence[int],
        finish_reasons: Sequence[FinishReason] = (),
        samples_json: Sequence[str] = (),
        fresh_answers: bool = False,
        deadline_seconds: float = GRADE_DEADLINE_SECONDS,
    ) -> GradedBatch:
        """Grade `output_texts` [N], each against the item of `items_json` that `item_indexes` [N] names.

        `samples_json` [N] has further `sample.*` values of each text as JSON objects (`output_tools`, `choices` …),
        an empty text for none; leave it out where no text has any. With `fresh_answers` models are asked anew, whatever
        answers are kept from earlier calls.

        Raises InvalidInput where the grader or the batch's shape is wrong; a text that cannot be graded is a Grade
        with an error instead.
        """
        if not output_texts:
            return GradedBatch((), {})
        request = encode_grade_request(
            wire.GraderSpec(json=grader_json).SerializeToString(),
            items_json,
            output_texts,
            item_indexes,
            samples_json,
            [FINISH_REASON_TO_WIRE[reason] for reason in finish_reasons],
        )
        if fresh_answers:
            # Messages in wire format merge by being joined.
            request += wire.GradeRequest(fresh_answers=True).SerializeToString()
        response = self._call(self._grade, request, deadline_seconds)
        grades = tuple(Grade.from_wire(message) for message in response.grades)
        if len(grades) != len(output_texts):
            raise AssertionError(f"{len(output_texts)} texts were sent and {len(grades)} grades came back")
        return GradedBatch(grades, dict(response.judge_tokens), response.grading_seconds)

    def grade_samples(
        self,
        grader_json: str,
        samples: Sequence[Sample],
        *,
        fresh_answers: bool = False,
        deadline_seconds: float = GRADE_DEADLINE_SECONDS,
    ) -> GradedBatch:
        """Grade any number of samples, in as many calls as messages of a sensible size take; raises as `grade` does.

        `deadline_seconds` is that of each call.
        """
        grades: list[Grade] = []
        judge_tokens: Counter[str] = Counter()
        seconds = 0.0
        for part in _parts(samples):
            items = {fields: index for index, fields in enumerate(dict.fromkeys(s.fields_json for s in part))}
            graded = self.grade(
                grader_json,
                items_json=list(items),
                output_texts=[sample.text for sample in part],
                item_indexes=[items[sample.fields_json] for sample in part],
                samples_json=[s.values_json for s in part] if any(s.values_json for s in part) else (),
                fresh_answers=fresh_answers,
                deadline_seconds=deadline_seconds,
            )
            grades += graded.grades
            judge_tokens.update(graded.judge_tokens)
            seconds += graded.grading_seconds
        return GradedBatch(tuple(grades), judge_tokens, seconds)

    def validate(self, grader_json: str, *, item_keys: Sequence[str] = ()) -> ValidGrader:
        """Check a grader against the keys that items have; raises InvalidInput that names field and reason."""
        request = wire.ValidateGraderRequest(grader=wire.GraderSpec(json=grader_json), item_keys=item_keys)
        try:
            response = self._call(self._stub.ValidateGrader, request, VALIDATE_DEADLINE_SECONDS)
        except TimedOut as error:
            if error.reason != grpc.StatusCode.DEADLINE_EXCEEDED.name:
                raise
            raise TimedOut(NOT_SAID, reason="GRADER_NOT_VALIDATED") from error
        return ValidGrader(json=response.json, fingerprint=response.fingerprint)

    def _call(self, method: Unary[S, T], request: S, deadline_seconds: float) -> T:
        """Make a call, which changes nothing and may be repeated."""
        return call_safe(
            method,
            request,
            deadline_seconds=deadline_seconds,
            patience_seconds=self._patience_seconds,
            away=self._away,
        )


def _parts(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    part: list[Sample] = []
    size = 0
    for sample in samples:
        if len(part) == CALL_SAMPLES or size > CALL_CHARACTERS:
            yield part
            part, size = [], 0
        part.append(sample)
        size += len(sample.text) + len(sample.fields_json) + len(sample.values_json)
    if part:
        yield part
