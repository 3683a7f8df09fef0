"""The parts of an answer: what it says in the end, what it thought before, which tools it calls.

text        "<think>\\n2 + 2?\\n</think>\\n\\nIt is 4."
parts       AnswerParts(content="It is 4.", reasoning_content="2 + 2?")
"""

from dataclasses import dataclass

from pinetune.generation.answer_reader import AnswerReader
from pinetune.generation.conversation import ToolCall
from pinetune.generation.parts_format import NONE, PartsFormat


@dataclass(frozen=True)
class AnswerParts:
    """An answer taken apart."""

    content: str
    """The final answer: the text without reasoning and calls."""
    reasoning_content: str = ""
    """The chain of thought before it; all of an answer that was cut off while it thought."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls, in order. What is no call of the format stays in the content."""


@dataclass(frozen=True)
class Reading:
    """How the answers to one prompt are read."""

    parts_format: PartsFormat = NONE
    """The format."""
    opened: bool = False
    """Whether the prompt ends inside reasoning, as templates have it that begin the model's thought."""
    tools: bool = False
    """Whether the prompt names tools to call."""

    def reader(self) -> AnswerReader:
        """Return what reads an answer piece by piece."""
        return AnswerReader(self.parts_format, opened=self.opened, tools=self.tools)

    def parts(self, text: str) -> AnswerParts:
        """Return the parts of a whole answer, in time linear in its length."""
        reader = self.reader()
        deltas = (reader.push(text), reader.finish())
        return AnswerParts(
            content="".join(delta.content for delta in deltas),
            reasoning_content="".join(delta.reasoning for delta in deltas),
            tool_calls=tuple(call for delta in deltas for call in delta.tool_calls),
        )


WHOLE = Reading()
"""Takes nothing apart."""
