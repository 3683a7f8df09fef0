"""Client of the grading service: texts and items in, grades out, in the same order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.api.grading.v1.grading_pb2_grpc import GradingServiceStub
from pinetune.client.calls import call
from pinetune.client.rollout import FINISH_REASON_TO_WIRE, FinishReason, Grade

# A batch is milliseconds in the core; a grader that asks a judge model or runs Python may take its two minutes.
GRADE_DEADLINE_SECONDS = 180.0
VALIDATE_DEADLINE_SECONDS = 30.0


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


class GradingClient:
    """Grades batches at one grading service."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = GradingServiceStub(channel)

    def grade(
        self,
        grader_json: str,
        *,
        items_json: Sequence[str],
        output_texts: Sequence[str],
        item_indexes: Sequence[int],
        finish_reasons: Sequence[FinishReason] = (),
    ) -> GradedBatch:
        """Grade `output_texts` [N], each against the item of `items_json` that `item_indexes` [N] names.

        Raises InvalidInput where the grader or the batch's shape is wrong; a text that cannot be graded is a Grade
        with an error instead.
        """
        if not output_texts:
            return GradedBatch((), {})
        request = wire.GradeRequest(
            grader=wire.GraderSpec(json=grader_json),
            items_json=items_json,
            output_texts=output_texts,
            item_indexes=item_indexes,
            finish_reasons=[FINISH_REASON_TO_WIRE[reason] for reason in finish_reasons],
        )
        response = call(self._stub.Grade, request, deadline_seconds=GRADE_DEADLINE_SECONDS)
        grades = tuple(Grade.from_wire(message) for message in response.grades)
        if len(grades) != len(output_texts):
            raise AssertionError(f"{len(output_texts)} texts were sent and {len(grades)} grades came back")
        return GradedBatch(grades, dict(response.judge_tokens))

    def validate(self, grader_json: str, *, item_keys: Sequence[str] = ()) -> ValidGrader:
        """Check a grader against the keys that items have; raises InvalidInput that names field and reason."""
        request = wire.ValidateGraderRequest(grader=wire.GraderSpec(json=grader_json), item_keys=item_keys)
        response = call(self._stub.ValidateGrader, request, deadline_seconds=VALIDATE_DEADLINE_SECONDS)
        return ValidGrader(json=response.json, fingerprint=response.fingerprint)
