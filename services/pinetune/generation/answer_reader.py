"""Takes an answer apart while it comes: reasoning, the final answer, calls of tools. Each place in it is a state.

    beginning → reasoning → opening → content ⇄ call → behind a call

What was told is never taken back, and the pieces put together are the parts of the whole text, however it was cut.
Nothing is lost: what looks like a call and is none stays content, marks and all. Each character is looked at a bounded
number of times: the search for the end of a call that is none ends at the second next mark at the latest, as a mark
outside a string breaks JSON and two marks with a quote between them are not both inside one.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from pinetune.generation.call_text import read_calls, read_named_call
from pinetune.generation.coming_text import SPACE, ComingText
from pinetune.generation.conversation import ToolCall
from pinetune.generation.json_end import JsonEnd
from pinetune.generation.part_text import PartText
from pinetune.generation.parts_format import THINK_CLOSING, THINK_OPENING, CallFormat, PartsFormat

HEAD_CHARACTERS_MAX = 256
"""Longest name and marks before arguments; without a bound every mark would be searched for them to the end."""
HEAD = re.compile(rf"[A-Za-z0-9_.\[\]\s-]{{0,{HEAD_CHARACTERS_MAX + 1}}}")
SEPARATOR = ";"
"""What stands between calls that have no marks."""


@dataclass(frozen=True)
class PartsDelta:
    """What is new in each part."""

    reasoning: str
    """Reasoning."""
    content: str
    """The final answer."""
    tool_calls: tuple[ToolCall, ...]
    """Calls, each whole."""


@dataclass
class OpenCall:
    """What may become a call: all its text from the mark on is held back until that is known."""

    start: int
    """Where its mark begins."""
    opening: str
    """The mark."""
    body: int
    """Where its JSON begins, or the name before it."""
    value: JsonEnd | None = None
    """Reads the JSON, once it has begun."""
    value_start: int = 0
    """Where the JSON begins."""
    value_end: int = 0
    """Where it ends."""

    def move(self, characters: int) -> None:
        """Note that the text around it has moved."""
        self.start += characters
        self.body += characters
        self.value_start += characters
        self.value_end += characters


class AnswerReader:
    """Reads one answer."""

    def __init__(self, parts_format: PartsFormat, *, opened: bool = False, tools: bool = False) -> None:
        """`opened`: the prompt ends inside reasoning already. `tools`: the prompt names tools to call."""
        self._calls_format = parts_format.calls
        self._opened = opened
        self._bare = parts_format.calls is not None and parts_format.calls.bare and tools
        self._reasoning, self._content, self._calls = PartText(), PartText(), list[ToolCall]()
        self._call_count = 0
        self._text = ComingText()
        self._call: OpenCall | None = None
        self._state: Callable[[], bool] = self._beginning if parts_format.thinks else self._opening

    def push(self, text: str) -> PartsDelta:
        """Take more text; returns what is certain now."""
        cut = self._text.at if self._call is None else self._call.start
        self._text.add(text, drop=cut)
        if self._call is not None:
            self._call.move(-cut)
        self._go_on()
        return self._take()

    def finish(self) -> PartsDelta:
        """Take the end of the text; returns all that was held back."""
        self._text.ended = True
        self._go_on()
        while self._call is not None:
            self._give_up_call()
            self._go_on()
        self._reasoning.close()
        self._content.close()
        return self._take()

    def _take(self) -> PartsDelta:
        calls, self._calls = tuple(self._calls), []
        return PartsDelta(self._reasoning.take(), self._content.take(), calls)

    def _go_on(self) -> None:
        """Read until more text is needed; a state returns False for that."""
        while self._state():
            pass

    def _beginning(self) -> bool:
        """Reasoning stands at the beginning or nowhere; a prompt may have opened it, and the model again."""
        self._content.write(self._text.skip(SPACE))
        found = self._text.found(THINK_OPENING)
        if found is None:
            return False
        if found or self._opened:
            self._reasoning.mark()
            self._content.mark()
            self._state = self._in_reasoning
        else:
            self._state = self._opening
        return True

    def _in_reasoning(self) -> bool:
        if not self._text.write_to(THINK_CLOSING, self._reasoning):
            return False
        self._reasoning.mark()
        self._content.mark()
        self._state = self._opening
        return True

    def _opening(self) -> bool:
        """The final answer begins here, or a call without a mark."""
        if self._bare:
            self._content.write(self._text.skip(SPACE))
            if not self._text.next:
                return False
            if self._text.next == "{":
                self._open_call("")
                return True
        self._state = self._in_content
        return True

    def _in_content(self) -> bool:
        if self._calls_format is None:
            self._text.write_rest(self._content)
            return False
        if not self._text.write_to(self._calls_format.opening, self._content):
            return False
        self._open_call(self._calls_format.opening)
        return True

    def _open_call(self, opening: str) -> None:
        """Begin to hold back; the mark itself was read."""
        self._call = OpenCall(self._text.at - len(opening), opening, self._text.at)
        self._state = self._in_call

    def _in_call(self) -> bool:
        call = self._call
        assert call is not None
        assert self._calls_format is not None
        if call.value is None:
            return self._begin_value(call, self._calls_format)
        self._text.at = call.value.read(self._text.text, self._text.at)
        if call.value.outcome == "broken":
            self._give_up_call()
        elif call.value.outcome == "whole":
            call.value_end = self._text.at
            self._state = self._behind_value
        return call.value.outcome != "open"

    def _begin_value(self, call: OpenCall, calls_format: CallFormat) -> bool:
        """Step over white space, and over a name where one may stand, to the bracket that begins the JSON."""
        text = self._text
        if text.at == call.body:
            text.skip(SPACE)
            call.body = text.at
        # A square bracket at once begins a list; behind a name it belongs to a mark.
        brackets = "{[" if calls_format.listed and text.at == call.body else "{"
        if calls_format.named and text.next not in brackets:
            text.skip(HEAD)
            brackets = "{"
        first = text.next
        too_long = text.at - call.body > HEAD_CHARACTERS_MAX
        if not first and not too_long:
            return False
        if first and first in brackets and not too_long:
            call.value, call.value_start = JsonEnd(), text.at
        else:
            self._give_up_call()
        return True

    def _behind_value(self) -> bool:
        """The JSON has ended; behind it stands the closing mark, unless the answer ends there."""
        call, closing = self._call, self._calls_format.closing if self._calls_format else ""
        assert call is not None
        if closing:
            self._text.skip(SPACE)
            found = self._text.found(closing)
            if found is None:
                return False
            if not found and not (self._text.ended and closing.startswith(self._text.rest)):
                self._give_up_call()
                return True
            if not found:
                self._text.at = len(self._text.text)
        self._end_call(call)
        return True

    def _end_call(self, call: OpenCall) -> None:
        head = self._text.text[call.body : call.value_start]
        value = self._text.text[call.value_start : call.value_end]
        calls = read_named_call(head, value) if head.strip() else read_calls(value)
        if calls is None:
            self._give_up_call()
            return
        for one in calls:
            # Nine letters and digits are what Mistral's templates take; all others take anything.
            self._calls.append(one if one.call_id else replace(one, call_id=f"call{self._call_count:05}"))
            self._call_count += 1
        self._call = None
        self._content.mark()
        self._state = self._behind_call

    def _behind_call(self) -> bool:
        """Another call without a mark may follow a semicolon."""
        if self._calls_format is not None and self._calls_format.bare:
            self._content.write(self._text.skip(SPACE))
            if not self._text.next:
                return False
            if self._text.next == SEPARATOR:
                self._text.at += 1
                self._open_call(SEPARATOR)
                return True
        self._state = self._in_content
        return True

    def _give_up_call(self) -> None:
        """It is none: its mark is content, and what stands behind is read as content again."""
        assert self._call is not None
        self._content.write(self._call.opening)
        self._text.at = self._call.start + len(self._call.opening)
        self._call = None
        self._state = self._in_content
