"""What a caller of the generation service says: conversations, prompts, how to sample, tokens to score."""

from dataclasses import dataclass

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.rollout.v1 import rollout_pb2

FORMAT_BYTES_MAX = 65_536
"""Bytes of a JSON Schema or regular expression at the most; generation takes no longer one."""


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool, in an earlier turn or in an answer."""

    call_id: str
    """Identifies the call inside its turn."""
    name: str
    """Name of the called function."""
    arguments_json: str
    """The arguments, as JSON text."""

    @classmethod
    def from_wire(cls, message: rollout_pb2.ToolCall) -> "ToolCall":
        """Read a message."""
        return cls(message.id, message.name, message.arguments_json)

    def to_wire(self) -> rollout_pb2.ToolCall:
        """Spell as a message."""
        return rollout_pb2.ToolCall(id=self.call_id, name=self.name, arguments_json=self.arguments_json)


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: str
    """system, developer, user, assistant or tool."""
    content: str
    """Its text."""
    name: str = ""
    """Name of the tool that answers."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls that the assistant made."""
    tool_call_id: str = ""
    """The call that a tool's turn answers."""
    reasoning_content: str = ""
    """The chain of thought, kept apart from the content."""

    def to_wire(self) -> rollout_pb2.Message:
        """Spell as a message."""
        return rollout_pb2.Message(
            role=f"ROLE_{self.role.upper()}",
            content=self.content,
            name=self.name,
            tool_calls=[call.to_wire() for call in self.tool_calls],
            tool_call_id=self.tool_call_id,
            reasoning_content=self.reasoning_content,
        )


@dataclass(frozen=True)
class Tool:
    """A function that the model may call."""

    name: str
    """The function's name."""
    description: str
    """What it does, in words for the model."""
    parameters_json: str
    """JSON Schema of its arguments, as JSON text; empty for none."""

    def to_wire(self) -> rollout_pb2.Tool:
        """Spell as a message."""
        return rollout_pb2.Tool(name=self.name, description=self.description, parameters_json=self.parameters_json)


@dataclass(frozen=True)
class Prompt:
    """A prompt to sample for."""

    prompt_id: str
    """Comes back with its completions."""
    messages: tuple[Message, ...]
    """The conversation."""
    tools: tuple[Tool, ...] = ()
    """Tools that the model may call."""

    def to_wire(self) -> wire.Prompt:
        """Spell as a message."""
        return wire.Prompt(
            prompt_id=self.prompt_id,
            messages=[message.to_wire() for message in self.messages],
            tools=[tool.to_wire() for tool in self.tools],
        )


@dataclass(frozen=True)
class Example:
    """A prompt and the answer to imitate, to be tokenised."""

    messages: tuple[Message, ...]
    """The conversation."""
    tools: tuple[Tool, ...]
    """Tools that the model may call; they are part of what it reads."""
    answer: str
    """The assistant's answer; empty for the prompt alone."""

    def to_wire(self) -> wire.Example:
        """Spell as a message."""
        return wire.Example(
            messages=[message.to_wire() for message in self.messages],
            tools=[tool.to_wire() for tool in self.tools],
            answer=self.answer,
        )


@dataclass(frozen=True)
class Sampling:
    """How to sample."""

    sample_count: int = 1
    """Completions per prompt."""
    temperature: float = 1.0
    """0 takes the most likely token."""
    top_p: float = 1.0
    """Share of probability kept."""
    top_k: int = 0
    """Number of tokens kept; 0 means all."""
    max_tokens: int = 512
    """Most tokens of a completion."""
    min_tokens: int = 0
    """Fewest tokens before the end-of-turn token may come."""
    stop: tuple[str, ...] = ()
    """Texts that end a completion."""
    seed: int = 0
    """Fixes the draws."""
    json_schema: str = ""
    """A JSON Schema as JSON text that every completion must fit; empty for none."""
    regex: str = ""
    """A regular expression that every completion must match; empty for none."""


@dataclass(frozen=True)
class TokenSequence:
    """A prompt and the tokens after it."""

    prompt_token_ids: tuple[int, ...]
    """[P] the context."""
    token_ids: tuple[int, ...]
    """[T] what is imitated or scored."""

    def to_wire(self) -> wire.TokenSequence:
        """Spell as a message."""
        return wire.TokenSequence(prompt_token_ids=self.prompt_token_ids, token_ids=self.token_ids)
