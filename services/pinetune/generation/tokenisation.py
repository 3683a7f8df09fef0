"""The only place where text becomes tokens, and tokens text.

A prompt is what the model's chat template makes of the conversation, up to where an answer begins. An answer to imitate
is its own ids and then the end-of-turn token: exactly what the model would have had to sample after that prompt. Prompt
and answer are never tokenised as one text, since a token that spans their border could not have been sampled.

A base model such as gpt2 has no chat template. Which text it should see is then for the user to say, with
PINETUNE_GENERATION_CHAT_TEMPLATE:

- `model`, the default: the template that comes with the tokenizer; a tokenizer without one is refused.
- `plain`: the contents of the turns as they are, with a newline between two turns and nothing else: a single user turn
  "Question: 1+1?\\nAnswer:" is the prompt, letter by letter. Roles leave no trace; tools are refused.
- a file: a Jinja file in the format of transformers' chat templates.
"""

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import cast

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from pinetune.generation.conversation import Example, Message, TokenisedExample, Tool
from pinetune.generation.parts_format import AUTO, PARTS_FORMATS, THINK_OPENING, format_of_template
from pinetune.pod.errors import InvalidInput

MODEL_TEMPLATE = "model"
PLAIN_TEMPLATE = "plain"
SETTING = "PINETUNE_GENERATION_CHAT_TEMPLATE"
# An answer that no template contains, to see what a template puts behind an answer.
PROBE = "pinetune-probe-answer"
OPENING_TOKENS_MAX = 16
"""Tokens that the mark of reasoning and the white space behind it may take at the end of a prompt."""


class Tokenisation:
    """A tokenizer with the template that its conversations are written in."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, chat_template: str = MODEL_TEMPLATE, parts_format: str = AUTO
    ) -> None:
        self._tokenizer = tokenizer
        self._template = _template(tokenizer, chat_template)
        self.parts_format = PARTS_FORMATS.get(parts_format) or format_of_template(self._template)
        """How answers are taken apart."""
        self._special_marks = {
            token_id: token.content
            for token_id, token in tokenizer.added_tokens_decoder.items()
            if token.special and token.content in self.parts_format.marks
        }
        self.end_of_turn_token_id = self._find_end_of_turn()

    def tokenise(self, example: Example) -> TokenisedExample:
        """Return the ids of an example; InvalidInput where the template refuses the conversation."""
        prompt = self.prompt_ids(example.messages, example.tools)
        return TokenisedExample(prompt, self.answer_ids(example.answer) if example.answer else ())

    def prompt_ids(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> tuple[int, ...]:
        """Return the ids of a conversation up to where the assistant's next answer begins."""
        ids = self._plain_ids(messages, tools) if self._template is None else self._template_ids(messages, tools)
        if not ids:
            raise InvalidInput(
                "messages: the conversation has no tokens; give at least one message with content",
                reason="PROMPT_EMPTY",
            )
        return tuple(ids)

    def answer_ids(self, answer: str) -> tuple[int, ...]:
        """Return the ids of an assistant's answer, the end-of-turn token last."""
        return (*self._encode(answer, special=False), self.end_of_turn_token_id)

    def text(self, token_ids: Sequence[int]) -> str:
        """Return the text of sampled ids; of the special tokens only those are in it that mark parts of an answer."""
        if not self._special_marks:
            return self._decode(list(token_ids))
        runs = groupby(token_ids, key=self._special_marks.get)
        texts = [mark * len(list(run)) if mark else self._decode(list(run)) for mark, run in runs]
        return "".join(texts)

    def opens_reasoning(self, prompt_token_ids: Sequence[int]) -> bool:
        """Return whether a prompt ends with the mark of reasoning, as some templates end it to make the model think.

        Special tokens count here, so that what a user wrote before the end of his turn opens nothing.
        """
        if not self.parts_format.thinks:
            return False
        tail = self._decode(list(prompt_token_ids[-OPENING_TOKENS_MAX:]), skip_special_tokens=False)
        return tail.rstrip().endswith(THINK_OPENING)

    def texts(self, token_ids: Sequence[Sequence[int]]) -> list[str]:
        """Return the texts of several sequences."""
        return [self.text(ids) for ids in token_ids]

    def _decode(self, token_ids: list[int], *, skip_special_tokens: bool = True) -> str:
        decoded = self._tokenizer.decode(
            token_ids, skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
        )
        assert isinstance(decoded, str)
        return decoded

    def _plain_ids(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        if tools or any(message.tool_calls for message in messages):
            raise InvalidInput(
                f"tools: {SETTING}=plain has no way to show tools to the model; name a Jinja file that has",
                reason="TOOLS_UNSUPPORTED",
            )
        ids = self._encode("\n".join(message.content for message in messages), special=True)
        # Some tokenizers close every text with the end of the text; an answer could not begin behind it.
        return ids[:-1] if ids and ids[-1] == self._tokenizer.eos_token_id and len(ids) > 1 else ids

    def _template_ids(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[int]:
        if tools and "tools" not in (self._template or ""):
            raise InvalidInput(
                f"tools: the model's chat template does not show tools to the model; set {SETTING} to one that does",
                reason="TOOLS_UNSUPPORTED",
            )
        return self._encode(self._render(messages, tools, generation_prompt=True), special=False)

    def _render(self, messages: Sequence[Message], tools: Sequence[Tool], *, generation_prompt: bool) -> str:
        try:
            text = self._tokenizer.apply_chat_template(
                # Turns hold more than text (tool calls), whatever transformers' annotation says.
                cast(list[dict[str, str]], [self._turn(message) for message in messages]),
                tools=[_tool_schema(tool) for tool in tools] or None,
                chat_template=self._template,
                add_generation_prompt=generation_prompt,
                tokenize=False,
            )
        except TemplateError as error:
            raise InvalidInput(
                f"messages: the model's chat template refuses the conversation: {error}",
                reason="CONVERSATION_REFUSED",
            ) from error
        assert isinstance(text, str)
        return text

    def _turn(self, message: Message) -> dict[str, object]:
        role: str = message.role
        if role == "developer" and "developer" not in (self._template or ""):
            role = "system"
        turn: dict[str, object] = {"role": role, "content": message.content}
        optional = {
            "name": message.name,
            "tool_call_id": message.tool_call_id,
            "reasoning_content": message.reasoning_content,
            "tool_calls": [
                {
                    "id": call.call_id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": _arguments(call.arguments_json)},
                }
                for call in message.tool_calls
            ],
        }
        # Templates ask whether a key is there, so what is empty is left out.
        return turn | {key: value for key, value in optional.items() if value}

    def _encode(self, text: str, *, special: bool) -> list[int]:
        # `verbose` is for texts longer than the tokenizer believes the model to be; the service checks lengths itself.
        return list(self._tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])

    def _find_end_of_turn(self) -> int:
        """Return the first special token that the template puts behind an answer, else the end-of-text token."""
        end = self._tokenizer.eos_token_id
        if self._template is not None:
            try:
                turns = [Message("user", "question"), Message("assistant", PROBE)]
                behind = self._render(turns, (), generation_prompt=False).rpartition(PROBE)[2]
            except InvalidInput:
                behind = ""  # A template that wants another kind of conversation; the end-of-text token stands in.
            special = {*self._tokenizer.all_special_ids, *self._tokenizer.added_tokens_decoder}
            end = next((token for token in self._encode(behind, special=False) if token in special), end)
        if not isinstance(end, int):
            raise InvalidInput(
                "the model's tokenizer has no end-of-text token and its chat template closes no turn, so no answer "
                "could end; set eos_token in tokenizer_config.json",
                reason="END_OF_TURN_MISSING",
            )
        return end


def _template(tokenizer: PreTrainedTokenizerBase, choice: str) -> str | None:
    """Return the text of the chosen template; None for plain."""
    if choice == PLAIN_TEMPLATE:
        return None
    if choice == MODEL_TEMPLATE:
        if not tokenizer.chat_template:
            raise InvalidInput(
                f"the model's tokenizer has no chat template, as is usual for base models; set {SETTING}=plain to give "
                f"it the text of the messages as it is, or {SETTING}=<Jinja file>",
                reason="CHAT_TEMPLATE_MISSING",
            )
        return str(tokenizer.get_chat_template())
    try:
        return Path(choice).read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            f"{SETTING}={choice} is neither 'model' nor 'plain' nor a readable file: {error.strerror}",
            reason="CHAT_TEMPLATE_UNREADABLE",
        ) from error


def _tool_schema(tool: Tool) -> dict[str, object]:
    try:
        parameters = json.loads(tool.parameters_json) if tool.parameters_json else {"type": "object", "properties": {}}
    except ValueError as error:
        raise InvalidInput(
            f"tools: parameters_json of {tool.name!r} is not JSON: {error}", reason="TOOL_SCHEMA_MALFORMED"
        ) from error
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def _arguments(text: str) -> object:
    """Return the arguments as templates want them, an object; the text itself where the model wrote no JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text
