"""Answers as models write them, taken apart; and the same however the text was cut on its way."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pinetune.generation.answer_parts import AnswerParts, Reading
from pinetune.generation.answer_reader import PartsDelta
from pinetune.generation.conversation import ToolCall
from pinetune.generation.parts_format import PARTS_FORMATS

ADD = '{"name": "add", "arguments": {"a": 1.10, "b": 2}}'
ADDED = ToolCall("call00000", "add", '{"a": 1.10, "b": 2}')
MEGABYTE = 1 << 20


def read(name: str, text: str, *, opened: bool = False, tools: bool = True) -> AnswerParts:
    return Reading(PARTS_FORMATS[name], opened, tools).parts(text)


def test_without_a_format_the_text_is_the_answer() -> None:
    text = f" <think>x</think> <tool_call>{ADD}</tool_call>\n"
    assert read("none", text) == AnswerParts(text)


@pytest.mark.parametrize("name", PARTS_FORMATS)
def test_a_text_without_marks_stays_as_it_is(name: str) -> None:
    for text in ("", " \n", " 42 \n", "a < b <", "It is {not} a call; [1]\n"):
        assert read(name, text) == AnswerParts(text)


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("<think>\n2 + 2?\n</think>\n\n4\n", False, AnswerParts("4\n", "2 + 2?")),
        ("\n<think>a\n\nb</think>4", False, AnswerParts("4", "a\n\nb")),
        ("<think>\n\n</think>\n\n4", False, AnswerParts("4")),
        ("2 + 2?\n</think>\n\n4", True, AnswerParts("4", "2 + 2?")),
        ("\n<think>\n2 + 2?</think>4", True, AnswerParts("4", "2 + 2?")),
        ("<think>\nso long ", False, AnswerParts("", "so long ")),
        ("so long </thi", True, AnswerParts("", "so long </thi")),
        ("<think>a</think>b</think>c", False, AnswerParts("b</think>c", "a")),
        ("<think>a<think>b</think>c", False, AnswerParts("c", "a<think>b")),
        ("4, for <think>x</think> 2", False, AnswerParts("4, for <think>x</think> 2")),
        ("no opening</think>4", False, AnswerParts("no opening</think>4")),
        ("<thin", False, AnswerParts("<thin")),
        ("", True, AnswerParts("")),
        ("<think></think>", False, AnswerParts("")),
    ],
)
def test_reasoning_is_what_stands_before_the_answer_between_its_marks(
    text: str, opened: bool, expected: AnswerParts
) -> None:
    assert read("think", text, opened=opened) == expected


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        (f"<tool_call>\n{ADD}\n</tool_call>", "", [("add", '{"a": 1.10, "b": 2}')]),
        (f"I add.\n<tool_call>{ADD}</tool_call>\n", "I add.", [("add", '{"a": 1.10, "b": 2}')]),
        (
            f'<tool_call>{ADD}</tool_call>\n<tool_call>\n{{"arguments": {{}}, "name": "now"}}\n</tool_call>',
            "",
            [("add", '{"a": 1.10, "b": 2}'), ("now", "{}")],
        ),
        (f"One.\n<tool_call>{ADD}</tool_call> Two.", "One.\nTwo.", [("add", '{"a": 1.10, "b": 2}')]),
        ('<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>', "", [("f", '{"a": 1}')]),
        (
            '<tool_call>{"name": "say", "arguments": {"t": "</tool_call> \\" } <tool_call>"}}</tool_call>',
            "",
            [("say", '{"t": "</tool_call> \\" } <tool_call>"}')],
        ),
        # Cut off, or ended, behind whole JSON.
        (f"<tool_call>{ADD}", "", [("add", '{"a": 1.10, "b": 2}')]),
        (f"<tool_call>{ADD}\n</tool", "", [("add", '{"a": 1.10, "b": 2}')]),
    ],
)
def test_hermes_calls_are_found(text: str, content: str, calls: list[tuple[str, str]]) -> None:
    found = read("hermes", text)
    assert found.content == content
    assert [(call.name, call.arguments_json) for call in found.tool_calls] == calls
    assert [call.call_id for call in found.tool_calls] == [f"call0000{place}" for place in range(len(calls))]


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>",
        "<tool_call>\n\n</tool_call>",
        "<tool_call>add(1, 2)</tool_call>",
        '<tool_call>{"name": "add", "arguments": {"a": 1}</tool_call>',
        '<tool_call>{"name": "add", "arguments": {"a": 1}}} </tool_call>',
        '<tool_call>{"name": "add", "arguments": {"a": 1}} and so on</tool_call>',
        '<tool_call>{"name": "add", "arguments": {"a": 1,}}</tool_call>',
        '<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>',
        '<tool_call>{"name": "add", "arguments": [1, 2]}</tool_call>',
        '<tool_call>{"name": "add"}</tool_call>',
        '<tool_call>{"name": "", "arguments": {}}</tool_call>',
        '<tool_call>{"name": 7, "arguments": {}}</tool_call>',
        '<tool_call>{"name": "\\ud800", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "f", "arguments": "\\ud800"}</tool_call>',
        '<tool_call>{"name": "f", "arguments": {}, "parameters": {}}</tool_call>',
        '<tool_call>{"arguments": {}}</tool_call>',
        "<tool_call>{}</tool_call>",
        '<tool_call>[{"name": "f", "arguments": {}}]</tool_call>',
        "<tool_call>{'name': 'f', 'arguments': {}}</tool_call>",
        '<tool_call>{"name": "f", "arg',
        "</tool_call> <tool_ca",
        '<tool_call>{"name": "f", "arguments": ' + '{"a":' * 100_000 + "1" + "}" * 100_001 + "</tool_call>",
    ],
)
def test_what_is_no_call_stays_content_as_it_is(text: str) -> None:
    assert read("hermes", text) == AnswerParts(text)
    assert read("hermes", f"Now: {text}\n") == AnswerParts(f"Now: {text}\n")


def test_a_broken_call_does_not_hide_the_next_one() -> None:
    broken = '<tool_call>{"name": "add", "arguments": {"a": 1}\n</tool_call>'
    assert read("hermes", f"{broken}\n<tool_call>{ADD}</tool_call>") == AnswerParts(broken, "", (ADDED,))
    assert read("hermes", f"<tool_call><tool_call>{ADD}</tool_call>") == AnswerParts("<tool_call>", "", (ADDED,))
    unquoted = '<tool_call>{"name": "add, "arguments": {}}'
    assert read("hermes", f"{unquoted}<tool_call>{ADD}</tool_call>") == AnswerParts(unquoted, "", (ADDED,))


def test_integers_of_any_length_are_arguments() -> None:
    arguments = '{"n": ' + "9" * 10_000 + "}"
    text = f'<tool_call>{{"name": "f", "arguments": {arguments}}}</tool_call>'
    assert read("hermes", text).tool_calls == (ToolCall("call00000", "f", arguments),)


def test_calls_are_looked_for_behind_the_reasoning_only() -> None:
    text = f"<think>\n<tool_call>{ADD}</tool_call>\n</think>\n\nI add.\n<tool_call>\n{ADD}\n</tool_call>"
    assert read("think+hermes", text) == AnswerParts("I add.", f"<tool_call>{ADD}</tool_call>", (ADDED,))


@pytest.mark.parametrize(
    ("text", "tools", "expected"),
    [
        ('{"name": "f", "parameters": {"a": 1}}', True, AnswerParts("", "", (ToolCall("call00000", "f", '{"a": 1}'),))),
        ('{"name": "f", "parameters": {"a": 1}}', False, AnswerParts('{"name": "f", "parameters": {"a": 1}}')),
        (f"<|python_tag|>{ADD}", False, AnswerParts("", "", (ADDED,))),
        (
            f'\n{ADD}; {{"name": "g", "parameters": {{}}}}\n',
            True,
            AnswerParts("", "", (ADDED, ToolCall("call00001", "g", "{}"))),
        ),
        (f"{ADD} is it.", True, AnswerParts("is it.", "", (ADDED,))),
        (f"{ADD}; then more", True, AnswerParts("; then more", "", (ADDED,))),
        (f"I call {ADD}", True, AnswerParts(f"I call {ADD}")),
        ('{"answer": 4}', True, AnswerParts('{"answer": 4}')),
        ('<|python_tag|>f.call(a="b")', True, AnswerParts('<|python_tag|>f.call(a="b")')),
        (f"{{{ADD}}}", True, AnswerParts(f"{{{ADD}}}")),
    ],
)
def test_llama_calls_stand_at_the_beginning_or_behind_their_mark(text: str, tools: bool, expected: AnswerParts) -> None:
    assert read("llama3", text, tools=tools) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f'[TOOL_CALLS] [{ADD}, {{"name": "g", "arguments": {{}}, "id": "D681PevKs"}}]',
            AnswerParts("", "", (ADDED, ToolCall("D681PevKs", "g", "{}"))),
        ),
        (f"[TOOL_CALLS]{ADD}", AnswerParts("", "", (ADDED,))),
        ('Yes.[TOOL_CALLS]add{"a": 1.10, "b": 2}', AnswerParts("Yes.", "", (ADDED,))),
        (
            '[TOOL_CALLS]add[ARGS]{"a": 1.10, "b": 2}[TOOL_CALLS]ns.g-1[CALL_ID]D681PevKs[ARGS]{}',
            AnswerParts("", "", (ADDED, ToolCall("D681PevKs", "ns.g-1", "{}"))),
        ),
        ("[TOOL_CALLS] []", AnswerParts("[TOOL_CALLS] []")),
        (f"[TOOL_CALLS] [{ADD}, 7]", AnswerParts(f"[TOOL_CALLS] [{ADD}, 7]")),
        (
            "[TOOL_CALLS]add me [TOOL_CALLS]add{}",
            AnswerParts("[TOOL_CALLS]add me ", "", (ToolCall("call00000", "add", "{}"),)),
        ),
        ("[TOOL_CALLS]add[ARGS]{", AnswerParts("[TOOL_CALLS]add[ARGS]{")),
        ('[TOOL_CALLS]add[ARGS]{"a": tru}', AnswerParts('[TOOL_CALLS]add[ARGS]{"a": tru}')),
        ("[TOOL_CALLS]" + "a" * 300, AnswerParts("[TOOL_CALLS]" + "a" * 300)),
    ],
)
def test_mistral_calls_are_lists_or_names_with_arguments(text: str, expected: AnswerParts) -> None:
    assert read("mistral", text).tool_calls == expected.tool_calls
    assert read("mistral", text).content == expected.content.rstrip() if expected.tool_calls else expected.content


FRAGMENTS = [
    *("<think>", "</think>", "<tool_call>", "</tool_call>", "<|python_tag|>", "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"),
    *(ADD, "{", "}", "[", "]", '"', "\\", " ", "\n", ";", "add", '{"a": 1}', '"x": ', ",", "1", "<", "[T", "é"),
]


@given(
    name=some.sampled_from(sorted(PARTS_FORMATS)),
    fragments=some.lists(some.sampled_from(FRAGMENTS), max_size=24),
    cuts=some.lists(some.integers(1, 9), min_size=1),
    opened=some.booleans(),
    tools=some.booleans(),
)
def test_however_a_text_is_cut_its_parts_are_those_of_the_whole(
    name: str, fragments: list[str], cuts: list[int], opened: bool, tools: bool
) -> None:
    text, reading = "".join(fragments), Reading(PARTS_FORMATS[name], opened, tools)
    reader, deltas, at = reading.reader(), list[PartsDelta](), 0
    while at < len(text):
        size = cuts[len(deltas) % len(cuts)]
        deltas.append(reader.push(text[at : at + size]))
        at += size
    deltas.append(reader.finish())
    told = AnswerParts(
        "".join(delta.content for delta in deltas),
        "".join(delta.reasoning for delta in deltas),
        tuple(call for delta in deltas for call in delta.tool_calls),
    )
    assert told == reading.parts(text)


@given(name=some.sampled_from(sorted(PARTS_FORMATS)), fragments=some.lists(some.sampled_from(FRAGMENTS), max_size=24))
def test_no_letter_of_an_answer_without_calls_or_reasoning_is_lost(name: str, fragments: list[str]) -> None:
    text = "".join(fragments)
    parts = read(name, text)
    if not parts.tool_calls and "</think>" not in text and not text.lstrip().startswith("<think>"):
        assert parts == AnswerParts(text)


@pytest.mark.parametrize(
    "unit",
    [
        "<tool_call>",
        '<tool_call>{"',
        "<tool_call>{ ",
        '<tool_call>{"name": "f", "arguments": {}}x',
        f"<tool_call>{ADD}</tool_call>",
        " ",
    ],
)
def test_a_megabyte_of_marks_is_read_at_once(unit: str) -> None:
    """Time that grew with the square of the length would pass the limit on a test's time."""
    text = '<tool_call>{"' + unit * (MEGABYTE // len(unit))
    parts = read("hermes", text)
    assert parts.tool_calls or parts.content == text


@pytest.mark.parametrize(
    "unit", ["[TOOL_CALLS]", "[TOOL_CALLS]a", '[TOOL_CALLS][{"', "[TOOL_CALLS]a{", "[TOOL_CALLS] ["]
)
def test_a_megabyte_of_mistral_marks_is_read_at_once(unit: str) -> None:
    text = unit * (MEGABYTE // len(unit))
    assert read("mistral", text) == AnswerParts(text)
