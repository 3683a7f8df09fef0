"""Rollouts go to Parquet and come back as they were."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.prompts import Message, Tool, ToolCall
from pinetune.client.rollout import Completion, FinishReason, Grade, GradeError, PolicySpan, Purpose, RewardSource
from pinetune.jobs.messages import rollout_message
from pinetune.jobs.rollout_files import Rollout, read_rollouts, write_rollouts
from pinetune.pod.errors import NotFound

GRADED = Rollout(
    item_id="a",
    messages=(Message("system", "Be brief."), Message("user", "3 + 4 = ? ✓")),
    fields_json='{"answer":"7"}',
    completion=Completion(
        "s1-a-0", 0, "The answer is 7.", (5, 6), (7, 8), (-0.5, -0.25), FinishReason.STOP, (PolicySpan(3, 2),)
    ),
    grade=Grade(score=0.8, part_scores={"number": 1.0, "shape": 0.6}, extracted_answer="7"),
    step=1,
    purpose=Purpose.TRAINING,
    reward=0.8,
    reward_source=RewardSource.GRADE,
)
UNGRADED = replace(
    GRADED,
    grade=Grade(error=GradeError("DEADLINE", "no answer in 2 s", retryable=True, part="judge")),
    reward=None,
    reward_source=RewardSource.EXCLUDED,
)

LOOKED_UP = replace(
    GRADED,
    messages=(
        Message("user", "How old is Ada?"),
        Message("assistant", "", tool_calls=(ToolCall("c1", "age", '{"of": "Ada"}'),), reasoning_content="Ask."),
        Message("tool", "36", name="age", tool_call_id="c1"),
    ),
    tools=(Tool("age", "How old somebody is.", '{"type": "object"}'),),
    grade=Grade(
        score=0.5,
        part_scores={"number": 1.0},
        part_errors={"judge": GradeError("MODEL_REFUSAL", "the judge refused", retryable=True)},
        grader_fingerprint="f00d",
    ),
)

TAKEN_APART = replace(
    LOOKED_UP,
    completion=replace(
        GRADED.completion,
        text='<think>Ask.</think><tool_call>{"name": "age", "arguments": {"of": "Ada"}}</tool_call>',
        reasoning_content="Ask.",
        tool_calls=(ToolCall("call00000", "age", '{"of": "Ada"}'),),
        content="",
        parts_format="think+hermes",
    ),
)
LATER_COLUMNS = {
    "tools and errors of parts": ["tools", "part_errors", "grader_fingerprint"],
    "parts of answers": ["reasoning_content", "content", "tool_calls", "parts_format"],
}


def test_rollouts_come_back_as_they_were(tmp_path: Path) -> None:
    uri = str(tmp_path / "rollouts" / "training-000001.parquet")
    write_rollouts(uri, [GRADED, UNGRADED, LOOKED_UP, TAKEN_APART])
    assert read_rollouts(uri) == [GRADED, UNGRADED, LOOKED_UP, TAKEN_APART]


@pytest.mark.parametrize("columns", LATER_COLUMNS.values(), ids=LATER_COLUMNS)
def test_a_file_written_before_rollouts_kept_this_is_read(columns: list[str], tmp_path: Path) -> None:
    uri = str(tmp_path / "old.parquet")
    write_rollouts(uri, [GRADED])
    pq.write_table(pq.read_table(uri).drop_columns(columns), uri)
    (old,) = read_rollouts(uri)
    assert old == GRADED
    assert (old.completion.final_answer, old.completion.calls_read) == (GRADED.completion.text, False)


def test_a_rollout_is_told_with_its_tools_and_all_of_its_grade() -> None:
    told = rollout_message(LOOKED_UP, with_tokens=True)
    assert [tool.name for tool in told.item.tools] == ["age"]
    assert told.item.messages[1].tool_calls[0].arguments_json == '{"of": "Ada"}'
    assert told.item.messages[1].reasoning_content == "Ask."
    assert told.grade.part_errors["judge"].error_class == rollout_pb2.GRADE_ERROR_CLASS_MODEL_REFUSAL
    assert told.grade.grader_fingerprint == "f00d"
    assert Grade.from_wire(told.grade) == LOOKED_UP.grade


def test_a_rollout_is_told_with_all_parts_of_its_answer() -> None:
    told = rollout_message(TAKEN_APART, with_tokens=True)
    assert Completion.from_wire(told.completion) == TAKEN_APART.completion
    assert told.completion.HasField("content")
    assert not rollout_message(GRADED, with_tokens=True).completion.HasField("content")


def test_equal_rollouts_make_equal_files(tmp_path: Path) -> None:
    first = write_rollouts(str(tmp_path / "a.parquet"), [GRADED])
    assert first == write_rollouts(str(tmp_path / "b.parquet"), [GRADED])
    assert first != write_rollouts(str(tmp_path / "c.parquet"), [UNGRADED])


def test_an_ungraded_completion_has_no_score_in_the_file(tmp_path: Path) -> None:
    uri = tmp_path / "a.parquet"
    write_rollouts(str(uri), [UNGRADED])
    row = pq.read_table(uri).to_pylist()[0]
    assert (row["score"], row["reward"], row["error_class"]) == (None, None, "DEADLINE")


def test_a_file_that_is_gone_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not there any more"):
        read_rollouts(str(tmp_path / "gone.parquet"))
