"""What a grader sees of a completion: the final answer, and what it asks for besides."""

import json
from collections.abc import Set

import pytest

from pinetune.client.grader_view import VALUES, samples_json, values_json, values_needed, values_read
from pinetune.client.prompts import ToolCall
from pinetune.client.rollout import Completion, FinishReason

CALLED = Completion(
    "a-0",
    0,
    "<think>\n…</think><tool_call>…</tool_call>",
    (5,),
    (6,),
    (-0.5,),
    FinishReason.STOP,
    (),
    reasoning_content="…",
    tool_calls=(ToolCall("call00000", "add", '{"a": 1.10}'),),
    content="",
    parts_format="think+hermes",
)
PLAIN = Completion("a-1", 1, "It is 4.", (5,), (6,), (-0.5,), FinishReason.LENGTH, (), parts_format="none")
CALL = {"id": "call00000", "type": "function", "function": {"name": "add", "arguments": '{"a": 1.10}'}}


def test_calls_and_choices_have_the_shape_of_chat_completions() -> None:
    assert json.loads(values_json(CALLED, VALUES)) == {
        "output_tools": [CALL],
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None,
                    "refusal": None,
                    "reasoning_content": "…",
                    "tool_calls": [CALL],
                },
                "finish_reason": "tool_calls",
                "logprobs": None,
            }
        ],
        "reasoning_text": "…",
        "raw_text": CALLED.text,
    }
    (choice,) = json.loads(values_json(PLAIN, VALUES))["choices"]
    assert choice["message"] == {"role": "assistant", "content": "It is 4.", "refusal": None}
    assert choice["finish_reason"] == "length"


def test_no_calls_are_told_apart_from_calls_that_nobody_looked_for() -> None:
    tools = frozenset({"output_tools"})
    assert values_json(PLAIN, tools) == ""
    looked = Completion("a", 0, "4", (), (), (), FinishReason.STOP, (), parts_format="hermes")
    assert json.loads(values_json(looked, tools)) == {"output_tools": []}


def test_the_final_answer_is_the_text_where_nothing_was_taken_apart() -> None:
    assert (PLAIN.final_answer, CALLED.final_answer) == ("It is 4.", "")


@pytest.mark.parametrize("completion", [CALLED, PLAIN], ids=["taken apart", "whole"])
def test_a_completion_comes_back_from_the_wire_as_it_was(completion: Completion) -> None:
    assert Completion.from_wire(completion.to_wire()) == completion


TEXT = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "4", "operation": "eq"}
CALLS = {"type": "tool_calls", "reference": "{{item.calls}}"}
PYTHON = {"type": "python", "source": "def grade(sample, item): return '{{sample.raw_text}}' == ''"}


@pytest.mark.parametrize(
    ("grader", "needed", "read"),
    [
        (TEXT, set(), set()),
        (CALLS, {"output_tools"}, {"output_tools"}),
        (CALLS | {"input": "{{ sample.output_text }}"}, set(), set()),
        (TEXT | {"input": "{{ sample.choices[0].message.content }}"}, {"choices"}, {"choices"}),
        (PYTHON, set(), set(VALUES)),
        ({"type": "multi", "graders": {"a": TEXT, "b": CALLS}}, {"output_tools"}, {"output_tools"}),
        ({"type": "multi", "graders": [CALLS, PYTHON]}, {"output_tools"}, set(VALUES)),
        (
            {"type": "score_model", "input": [{"role": "user", "content": "{{sample.reasoning_text}}"}]},
            {"reasoning_text"},
            {"reasoning_text"},
        ),
        (None, set(), set()),
    ],
)
def test_a_grader_is_told_what_it_reads(grader: object, needed: Set[str], read: Set[str]) -> None:
    assert values_needed(grader) == needed
    assert values_read(grader) == read


def test_a_grader_that_reads_the_answer_alone_is_told_no_more() -> None:
    assert samples_json(TEXT, [CALLED, PLAIN]) == []
    assert [bool(told) for told in samples_json(CALLS, [CALLED, PLAIN])] == [True, False]
