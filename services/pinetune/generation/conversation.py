"""What the model is shown, before it becomes tokens: turns of a conversation, tools, and the answer to imitate."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool, as the model wrote it."""

    call_id: str
    """Identifies the call inside its turn."""
    name: str
    """Name of the called function."""
    arguments_json: str
    """The arguments, as the JSON text the model wrote; it may be malformed."""


@dataclass(frozen=True)
class Message:
    """One turn."""

    role: Role
    """Who speaks."""
    content: str
    """The text of the turn."""
    name: str = ""
    """Name of the tool that answers."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls the assistant made."""
    tool_call_id: str = ""
    """The call this turn answers."""
    reasoning_content: str = ""
    """The chain of thought, for chat templates that keep it apart."""


@dataclass(frozen=True)
class Tool:
    """A function that the model may call."""

    name: str
    """The function's name."""
    description: str
    """What it does, in words for the model."""
    parameters_json: str
    """JSON Schema of its arguments, as JSON text; empty for none."""


@dataclass(frozen=True)
class Example:
    """A prompt, and the answer to imitate where there is one."""

    messages: tuple[Message, ...]
    """The conversation, at least one turn."""
    tools: tuple[Tool, ...] = ()
    """Tools the model may call."""
    answer: str = ""
    """The assistant's answer; empty for a prompt alone."""


@dataclass(frozen=True)
class TokenisedExample:
    """Token ids of an example."""

    prompt_token_ids: tuple[int, ...]
    """Ids of the prompt, up to where the answer begins."""
    answer_token_ids: tuple[int, ...]
    """Ids of the answer with the end-of-turn token; empty where there was no answer."""
