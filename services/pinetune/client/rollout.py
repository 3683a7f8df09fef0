"""The words of `rollout.proto` as Python values: what a service's answer becomes on the caller's side.

A completion and its grade for one prompt, as the loop sees them:

    Completion(completion_id="s12-i3-0", index=0, text="3 + 4 = 7. The answer is 7.",
               prompt_token_ids=(5, 81, 9), token_ids=(12, 40, 2), logprobs=(-0.1, -0.7, -0.0),
               finish_reason="stop", policy_spans=(PolicySpan(policy_version=12, token_count=3),))
    Grade(score=1.0, extracted_answer="7")
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from pinetune.api.rollout.v1 import rollout_pb2 as wire
from pinetune.client.prompts import ToolCall

ERROR_CLASSES = tuple(
    name.removeprefix("GRADE_ERROR_CLASS_") for name, number in wire.GradeErrorClass.items() if number
)
"""Kinds of grading failure, as `GradeError.error_class` spells them."""


class FinishReason(enum.StrEnum):
    """Why sampling of a completion stopped."""

    STOP = "stop"
    """The end-of-turn token or a stop text came."""
    LENGTH = "length"
    """The token limit was reached."""
    CANCELLED = "cancelled"
    """The caller gave up."""


class RewardSource(enum.StrEnum):
    """Where a rollout's reward came from."""

    GRADE = "grade"
    """The grade's score."""
    EXCLUDED = "excluded"
    """No reward: the grade was an error and the job leaves those out."""
    PENALTY = "penalty"
    """The job's penalty, because the grade was an error."""
    ZERO = "zero"
    """Zero, because the grade was an error and the job says so."""


class Purpose(enum.StrEnum):
    """What a rollout was sampled for."""

    TRAINING = "training"
    """To learn from."""
    VALIDATION = "validation"
    """To measure the policy while it trains."""
    EVALUATION = "evaluation"
    """To measure a model."""


@dataclass(frozen=True)
class PolicySpan:
    """A run of sampled tokens that one policy version wrote."""

    policy_version: int
    """The version; 0 is the base model."""
    token_count: int
    """How many tokens belong to the run."""


@dataclass(frozen=True)
class Sampled:
    """Where and when a completion was sampled; for traces, kept nowhere."""

    replica: str
    """Name of the sampler."""
    sent_time: float
    """When the call went out, in seconds since the epoch."""
    answered_time: float
    """When its answer was there."""


@dataclass(frozen=True)
class Completion:
    """One sampled answer, with all that learning needs."""

    completion_id: str
    """Unique inside its job."""
    index: int
    """Position in its group, from 0."""
    text: str
    """All of the decoded answer, special tokens left out but for those that mark its parts."""
    prompt_token_ids: tuple[int, ...]
    """[P] ids of the prompt."""
    token_ids: tuple[int, ...]
    """[T] sampled ids, the end-of-turn token included."""
    logprobs: tuple[float, ...]
    """[T] log-probability of each sampled token under the raw policy."""
    finish_reason: FinishReason
    """Why sampling stopped."""
    policy_spans: tuple[PolicySpan, ...]
    """Which version wrote which tokens; the counts add up to T."""
    reasoning_content: str = ""
    """The chain of thought before the final answer, where the sampler tells it apart."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls of tools found in the answer."""
    content: str | None = None
    """The final answer; None where that is the whole text."""
    parts_format: str = ""
    """The format by which the answer was taken apart; see `Completion` in `rollout.proto`."""
    sampled: Sampled | None = field(default=None, compare=False)
    """Where it comes from; None where it was read from a file."""

    @property
    def final_answer(self) -> str:
        """The text without reasoning and calls."""
        return self.text if self.content is None else self.content

    @property
    def calls_read(self) -> bool:
        """Whether calls were looked for: where they were not, none found means nothing."""
        return reads_calls(self.parts_format)

    @classmethod
    def from_wire(cls, message: wire.Completion) -> "Completion":
        """Read a message."""
        return cls(
            completion_id=message.completion_id,
            index=message.index,
            text=message.text,
            prompt_token_ids=tuple(message.prompt_token_ids),
            token_ids=tuple(message.token_ids),
            logprobs=tuple(message.logprobs),
            finish_reason=FINISH_REASON_FROM_WIRE[message.finish_reason],
            policy_spans=tuple(PolicySpan(span.policy_version, span.token_count) for span in message.policy_spans),
            reasoning_content=message.reasoning_content,
            tool_calls=tuple(ToolCall.from_wire(call) for call in message.tool_calls),
            content=message.content if message.HasField("content") else None,
            parts_format=message.parts_format,
        )

    def to_wire(self) -> wire.Completion:
        """Spell as a message."""
        return wire.Completion(
            completion_id=self.completion_id,
            index=self.index,
            text=self.text,
            prompt_token_ids=self.prompt_token_ids,
            token_ids=self.token_ids,
            logprobs=self.logprobs,
            finish_reason=FINISH_REASON_TO_WIRE[self.finish_reason],
            policy_spans=[
                wire.PolicySpan(policy_version=s.policy_version, token_count=s.token_count) for s in self.policy_spans
            ],
            reasoning_content=self.reasoning_content,
            tool_calls=[call.to_wire() for call in self.tool_calls],
            content=self.content,
            parts_format=self.parts_format,
        )


@dataclass(frozen=True)
class GradeError:
    """Why a completion could not be graded."""

    error_class: str
    """The kind of failure: the name of the wire's enum value without its prefix, e.g. `INVALID_VARIABLE`."""
    detail: str
    """One sentence: what failed and on what input."""
    retryable: bool = False
    """True where the same grade may succeed when asked for again."""
    part: str = ""
    """Name of the failing part of a composed grader."""

    @classmethod
    def from_wire(cls, message: wire.GradeError) -> "GradeError":
        """Read a message."""
        return cls(
            error_class=wire.GradeErrorClass.Name(message.error_class).removeprefix("GRADE_ERROR_CLASS_"),
            detail=message.detail,
            retryable=message.retryable,
            part=message.part,
        )

    def to_wire(self) -> wire.GradeError:
        """Spell as a message."""
        return wire.GradeError(
            error_class=f"GRADE_ERROR_CLASS_{self.error_class}",
            detail=self.detail,
            retryable=self.retryable,
            part=self.part,
        )


@dataclass(frozen=True)
class Grade:
    """A score or an error, never both and never a number in place of an error."""

    score: float | None = None
    """The score; None where there is an error."""
    error: GradeError | None = None
    """The error; None where there is a score."""
    part_scores: Mapping[str, float] = field(default_factory=dict)
    """Scores of a composed grader's parts, by name."""
    part_errors: Mapping[str, GradeError] = field(default_factory=dict)
    """Errors of a composed grader's parts, by name."""
    extracted_answer: str = ""
    """The answer found in the text, normalised; empty where none was found."""
    matched_rank: int = 0
    """For ranked answers: 1-based rank of the reference, 0 where it is not listed."""
    listed_count: int = 0
    """For ranked answers: how many were listed."""
    grader_fingerprint: str = ""
    """Identifies grader and core version; equal fingerprints grade equally."""

    def __post_init__(self) -> None:
        if (self.score is None) == (self.error is None):
            raise ValueError("a grade has a score or an error, exactly one of them")

    @classmethod
    def from_wire(cls, message: wire.Grade) -> "Grade":
        """Read a message."""
        outcome = message.WhichOneof("outcome")
        error = GradeError.from_wire(message.error) if outcome == "error" else None
        if outcome is None:
            error = GradeError("OTHER", "the grade has neither score nor error")
        return cls(
            score=message.score if outcome == "score" else None,
            error=error,
            part_scores=dict(message.part_scores),
            part_errors={name: GradeError.from_wire(error) for name, error in message.part_errors.items()},
            extracted_answer=message.extracted_answer,
            matched_rank=message.matched_rank,
            listed_count=message.listed_count,
            grader_fingerprint=message.grader_fingerprint,
        )

    def to_wire(self) -> wire.Grade:
        """Spell as a message."""
        return wire.Grade(
            score=self.score,
            error=None if self.error is None else self.error.to_wire(),
            part_scores=self.part_scores,
            part_errors={name: error.to_wire() for name, error in self.part_errors.items()},
            extracted_answer=self.extracted_answer,
            matched_rank=self.matched_rank,
            listed_count=self.listed_count,
            grader_fingerprint=self.grader_fingerprint,
        )


def reads_calls(parts_format: str) -> bool:
    """Return whether calls of tools are looked for in answers of a format."""
    return parts_format not in ("", "none", "think")


FINISH_REASON_TO_WIRE = {
    FinishReason.STOP: wire.FINISH_REASON_STOP,
    FinishReason.LENGTH: wire.FINISH_REASON_LENGTH,
    FinishReason.CANCELLED: wire.FINISH_REASON_CANCELLED,
}
FINISH_REASON_FROM_WIRE = {value: key for key, value in FINISH_REASON_TO_WIRE.items()}
