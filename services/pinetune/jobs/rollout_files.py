"""Every rollout kept: one Parquet file a step, which pandas and DuckDB read as it is; its hash is in the database.

A file has one row a completion, in the order of sampling. Texts are columns of their own so that a query needs no JSON;
`messages`, `tools`, `fields`, `part_scores`, `part_errors` and `tool_calls` are JSON text. A file appears whole or not
at all.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pinetune.client.prompts import Message, Tool, ToolCall
from pinetune.client.rollout import Completion, FinishReason, Grade, GradeError, PolicySpan, Purpose, RewardSource
from pinetune.pod.errors import NotFound
from pinetune.pod.storage import read_whole, write_whole


@dataclass(frozen=True)
class Rollout:
    """An item, one completion of its prompt, and the grade of that completion."""

    item_id: str
    """The row of the data set."""
    messages: tuple[Message, ...]
    """The prompt."""
    fields_json: str
    """The item's fields that graders read, hidden from the model."""
    completion: Completion
    """The sampled answer."""
    grade: Grade
    """What the grader said of it."""
    step: int
    """The step that sampled it, or after which it was measured."""
    purpose: Purpose
    """Whether it trained or measured."""
    reward: float | None = None
    """What the learner saw; None where it was left out or only measured."""
    reward_source: RewardSource | None = None
    """Where the reward came from; None where the rollout only measured."""
    tools: tuple[Tool, ...] = ()
    """Tools that the model might call."""
    graded_between: tuple[float, float] | None = field(default=None, compare=False)
    """When its batch was graded, begin and end in seconds since the epoch; for traces, kept nowhere."""


REQUIRED, OPTIONAL = False, True
COLUMNS: "list[tuple[str, pa.DataType, bool]]" = [
    ("step", pa.int64(), REQUIRED),
    ("purpose", pa.string(), REQUIRED),
    ("item_id", pa.string(), REQUIRED),
    ("completion_id", pa.string(), REQUIRED),
    ("index", pa.int32(), REQUIRED),
    ("messages", pa.string(), REQUIRED),
    ("fields", pa.string(), REQUIRED),
    ("text", pa.string(), REQUIRED),
    ("finish_reason", pa.string(), REQUIRED),
    ("score", pa.float64(), OPTIONAL),
    ("error_class", pa.string(), OPTIONAL),
    ("error_detail", pa.string(), OPTIONAL),
    ("error_part", pa.string(), OPTIONAL),
    ("error_retryable", pa.bool_(), OPTIONAL),
    ("part_scores", pa.string(), REQUIRED),
    ("extracted_answer", pa.string(), REQUIRED),
    ("matched_rank", pa.int32(), REQUIRED),
    ("listed_count", pa.int32(), REQUIRED),
    ("reward", pa.float64(), OPTIONAL),
    ("reward_source", pa.string(), OPTIONAL),
    ("prompt_token_ids", pa.list_(pa.int32()), REQUIRED),
    ("token_ids", pa.list_(pa.int32()), REQUIRED),
    ("logprobs", pa.list_(pa.float32()), REQUIRED),
    ("policy_versions", pa.list_(pa.int64()), REQUIRED),
    ("policy_token_counts", pa.list_(pa.int32()), REQUIRED),
    ("tools", pa.string(), OPTIONAL),
    ("part_errors", pa.string(), OPTIONAL),
    ("grader_fingerprint", pa.string(), OPTIONAL),
    ("reasoning_content", pa.string(), OPTIONAL),
    ("content", pa.string(), OPTIONAL),
    ("tool_calls", pa.string(), OPTIONAL),
    ("parts_format", pa.string(), OPTIONAL),
]
"""Name, type, and whether it may be null; `logprobs` are float32 as they came over the wire.

Those from `tools` on are null where there is nothing to say, and absent from files that older versions wrote. `text` is
all that the model wrote; `content`, the final answer without reasoning and calls, is null where that is the whole text.
"""
SCHEMA = pa.schema([pa.field(name, kind, nullable=nullable) for name, kind, nullable in COLUMNS])


def write_rollouts(uri: str, rollouts: Sequence[Rollout]) -> str:
    """Write a step's rollouts to `uri` (any address fsspec writes); returns the file's SHA-256 in hexadecimal."""
    table = pa.Table.from_pylist([_to_row(rollout) for rollout in rollouts], schema=SCHEMA)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    content = buffer.getvalue()
    write_whole(uri, content)
    return hashlib.sha256(content).hexdigest()


def read_rollouts(uri: str) -> list[Rollout]:
    """Read a step's rollouts, in the order of sampling. Raises NotFound where there is no such file."""
    try:
        table = pq.read_table(io.BytesIO(read_whole(uri)))
    except FileNotFoundError as error:
        raise NotFound(f"the rollouts at {uri} are not there any more", reason="ROLLOUTS_NOT_FOUND", uri=uri) from error
    return [_from_row(row) for row in table.to_pylist()]


def _to_row(rollout: Rollout) -> dict[str, object]:
    completion, grade = rollout.completion, rollout.grade
    return {
        "step": rollout.step,
        "purpose": rollout.purpose.value,
        "item_id": rollout.item_id,
        "completion_id": completion.completion_id,
        "index": completion.index,
        "messages": _json([_message_to_dict(message) for message in rollout.messages]),
        "fields": rollout.fields_json,
        "text": completion.text,
        "finish_reason": completion.finish_reason.value,
        "score": grade.score,
        "error_class": grade.error and grade.error.error_class,
        "error_detail": grade.error and grade.error.detail,
        "error_part": grade.error and grade.error.part,
        "error_retryable": grade.error and grade.error.retryable,
        "part_scores": json.dumps(dict(grade.part_scores), sort_keys=True),
        "extracted_answer": grade.extracted_answer,
        "matched_rank": grade.matched_rank,
        "listed_count": grade.listed_count,
        "reward": rollout.reward,
        "reward_source": rollout.reward_source and rollout.reward_source.value,
        "prompt_token_ids": completion.prompt_token_ids,
        "token_ids": completion.token_ids,
        "logprobs": completion.logprobs,
        "policy_versions": [span.policy_version for span in completion.policy_spans],
        "policy_token_counts": [span.token_count for span in completion.policy_spans],
        "tools": _json([asdict(tool) for tool in rollout.tools]) if rollout.tools else None,
        "part_errors": _json({name: asdict(error) for name, error in sorted(grade.part_errors.items())})
        if grade.part_errors
        else None,
        "grader_fingerprint": grade.grader_fingerprint or None,
        "reasoning_content": completion.reasoning_content or None,
        "content": completion.content,
        "tool_calls": _json([asdict(call) for call in completion.tool_calls]) if completion.tool_calls else None,
        "parts_format": completion.parts_format or None,
    }


def _from_row(row: dict[str, object]) -> Rollout:
    values = _Row(row)
    spans = zip(values.ints("policy_versions"), values.ints("policy_token_counts"), strict=True)
    completion = Completion(
        completion_id=values.text("completion_id"),
        index=values.integer("index"),
        text=values.text("text"),
        prompt_token_ids=values.ints("prompt_token_ids"),
        token_ids=values.ints("token_ids"),
        logprobs=values.floats("logprobs"),
        finish_reason=FinishReason(values.text("finish_reason")),
        policy_spans=tuple(PolicySpan(version, count) for version, count in spans),
        reasoning_content=values.text_or("reasoning_content", ""),
        tool_calls=tuple(ToolCall(**call) for call in json.loads(values.text_or("tool_calls", "[]"))),
        content=None if row.get("content") is None else values.text("content"),
        parts_format=values.text_or("parts_format", ""),
    )
    reward_source = row["reward_source"]
    return Rollout(
        item_id=values.text("item_id"),
        messages=tuple(_message_from_dict(message) for message in json.loads(values.text("messages"))),
        fields_json=values.text("fields"),
        completion=completion,
        grade=_grade_from_row(values),
        step=values.integer("step"),
        purpose=Purpose(values.text("purpose")),
        reward=values.number("reward"),
        reward_source=None if reward_source is None else RewardSource(values.text("reward_source")),
        tools=tuple(Tool(**tool) for tool in json.loads(values.text_or("tools", "[]"))),
    )


def _grade_from_row(values: "_Row") -> Grade:
    score = values.number("score")
    error = None
    if score is None:
        error = GradeError(
            error_class=values.text("error_class"),
            detail=values.text("error_detail"),
            part=values.text("error_part"),
            retryable=bool(values.row["error_retryable"]),
        )
    return Grade(
        score=score,
        error=error,
        part_scores=json.loads(values.text("part_scores")),
        part_errors={
            name: GradeError(**error) for name, error in json.loads(values.text_or("part_errors", "{}")).items()
        },
        extracted_answer=values.text("extracted_answer"),
        matched_rank=values.integer("matched_rank"),
        listed_count=values.integer("listed_count"),
        grader_fingerprint=values.text_or("grader_fingerprint", ""),
    )


def _message_to_dict(message: Message) -> dict[str, Any]:
    return {key: value for key, value in asdict(message).items() if value or key == "content"}


def _message_from_dict(message: dict[str, Any]) -> Message:
    calls = tuple(ToolCall(**call) for call in message.pop("tool_calls", ()))
    return Message(**message, tool_calls=calls)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class _Row:
    """A row of a file, read by type: pyarrow hands out plain objects."""

    row: dict[str, object]

    def text(self, name: str) -> str:
        value = self.row[name]
        assert isinstance(value, str), name
        return value

    def text_or(self, name: str, absent: str) -> str:
        return absent if self.row.get(name) is None else self.text(name)

    def integer(self, name: str) -> int:
        value = self.row[name]
        assert isinstance(value, int), name
        return value

    def number(self, name: str) -> float | None:
        value = self.row[name]
        assert value is None or isinstance(value, float), name
        return value

    def ints(self, name: str) -> tuple[int, ...]:
        value = self.row[name]
        assert isinstance(value, list), name
        return tuple(value)

    def floats(self, name: str) -> tuple[float, ...]:
        value = self.row[name]
        assert isinstance(value, list), name
        return tuple(value)
