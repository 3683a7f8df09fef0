"""What a request says, in the room's words, and the sentences for what is wrong with it."""

from collections.abc import Iterable
from typing import get_args

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.generation.answer_parts import Reading
from pinetune.generation.conversation import Example, Message, Role, Tool, ToolCall
from pinetune.generation.engine import Engine, InFlight, TokenSequence
from pinetune.generation.parts_format import PARTS_FORMATS, THINK_CLOSING
from pinetune.generation.samples import Prompt, SamplingParams
from pinetune.generation.selection import Rule
from pinetune.pod.errors import InvalidInput

ROLES: dict[int, Role] = {rollout_pb2.Role.Value(f"ROLE_{role.upper()}"): role for role in get_args(Role)}
RULES: dict[int, Rule | None] = {
    wire.SELECTION_RULE_UNSPECIFIED: None,
    wire.SELECTION_RULE_MAJORITY_VOTE: "majority_vote",
    wire.SELECTION_RULE_BEST_OF: "best_of",
}
IN_FLIGHT: dict[int, InFlight] = {
    wire.IN_FLIGHT_POLICY_UNSPECIFIED: "finish",
    wire.IN_FLIGHT_POLICY_FINISH: "finish",
    wire.IN_FLIGHT_POLICY_CONTINUE: "continue",
    wire.IN_FLIGHT_POLICY_ABORT: "abort",
}


def read_rule(selection: wire.Selection) -> Rule | None:
    """Return how to select, None for not at all; raises InvalidInput for a value of a newer contract."""
    if selection.rule not in RULES:
        raise InvalidInput(
            f"selection.rule: there is no value {selection.rule}", reason="SELECTION_RULE", field="selection.rule"
        )
    return RULES[selection.rule]


def read_sample_count(given: int) -> int:
    """Return the number of samples a prompt; raises InvalidInput SAMPLE_COUNT."""
    if given < 1:
        raise InvalidInput(
            f"sample_count must be at least 1; it is {given}",
            reason="SAMPLE_COUNT",
            field="sample_count",
            limit=1,
            given=given,
        )
    return given


def read_examples(examples: Iterable[wire.Example]) -> list[Example]:
    """Return what is to be tokenised."""
    return [
        Example(_messages(example.messages, f"examples[{index}]"), _tools(example.tools), example.answer)
        for index, example in enumerate(examples)
    ]


def read_in_flight(given: int) -> InFlight:
    """Return what becomes of completions in flight; raises InvalidInput for a value of a newer contract."""
    if given not in IN_FLIGHT:
        raise InvalidInput(f"in_flight: there is no value {given}", reason="IN_FLIGHT", field="in_flight")
    return IN_FLIGHT[given]


def read_prompts(engine: Engine, prompts: Iterable[wire.Prompt], sampling: SamplingParams) -> list[Prompt]:
    """Read and tokenise the prompts; refuse those that leave no room for an answer."""
    found: list[Prompt] = []
    seen: set[str] = set()
    for index, prompt in enumerate(prompts):
        if prompt.prompt_id in seen:
            raise _prompt_id_wrong(f"prompts[{index}]", prompt)
        seen.add(prompt.prompt_id)
        found.append(read_prompt(engine, prompt, sampling, field=f"prompts[{index}]"))
    if not found:
        raise InvalidInput("prompts must have at least one prompt", reason="PROMPT_CONTENT", field="prompts")
    return found


def read_prompt(engine: Engine, prompt: wire.Prompt, sampling: SamplingParams, *, field: str) -> Prompt:
    """Read and tokenise one prompt; refuse one that leaves no room for an answer."""
    if not prompt.prompt_id:
        raise _prompt_id_wrong(field, prompt)
    limit = engine.describe().max_model_tokens
    token_ids = _prompt_ids(engine, prompt, field)
    if len(token_ids) + sampling.max_tokens > limit:
        raise InvalidInput(
            f"{field} ({prompt.prompt_id}) has {len(token_ids)} tokens, which with max_tokens "
            f"{sampling.max_tokens} passes the {limit} tokens of the model; shorten the prompt or max_tokens",
            reason="PROMPT_TOO_LONG",
            field=field,
            limit=limit,
            given=len(token_ids) + sampling.max_tokens,
        )
    # A shape is that of the whole answer: it has no room for reasoning that the prompt opened, unless it ends it.
    shape = sampling.answer_format
    opened = engine.opens_reasoning(token_ids) and (shape is None or THINK_CLOSING in shape.text)
    reading = Reading(PARTS_FORMATS[engine.describe().parts_format], opened, tools=bool(prompt.tools))
    return Prompt(prompt.prompt_id, token_ids, reading)


def read_sequences(engine: Engine, sequences: Iterable[wire.TokenSequence]) -> list[TokenSequence]:
    """Return what is to be scored; refuse what the model cannot read."""
    found = [TokenSequence(tuple(one.prompt_token_ids), tuple(one.token_ids)) for one in sequences]
    for index, sequence in enumerate(found):
        _check_sequence(engine, sequence, f"sequences[{index}]")
    return found


def _prompt_id_wrong(field: str, prompt: wire.Prompt) -> InvalidInput:
    return InvalidInput(
        f"{field}.prompt_id must be set and unique in the request; it is {prompt.prompt_id!r}",
        reason="PROMPT_ID",
        field=f"{field}.prompt_id",
    )


def _prompt_ids(engine: Engine, prompt: wire.Prompt, field: str) -> tuple[int, ...]:
    if bool(prompt.messages) == bool(prompt.token_ids):
        raise InvalidInput(
            f"{field} must have messages or token_ids, one of them", reason="PROMPT_CONTENT", field=field
        )
    if prompt.token_ids:
        _check_ids(engine, tuple(prompt.token_ids), field)
        return tuple(prompt.token_ids)
    example = Example(_messages(prompt.messages, field), _tools(prompt.tools))
    return engine.tokenise([example])[0].prompt_token_ids


def _check_ids(engine: Engine, token_ids: tuple[int, ...], field: str) -> None:
    size = engine.describe().vocabulary_size
    wrong = next((token for token in token_ids if not 0 <= token < size), None)
    if wrong is not None:
        raise InvalidInput(
            f"{field}: token ids must be at least 0 and below {size}; one is {wrong}",
            reason="TOKEN_ID",
            field=field,
        )


def _check_sequence(engine: Engine, sequence: TokenSequence, field: str) -> None:
    if not sequence.prompt_token_ids:
        raise InvalidInput(
            f"{field}.prompt_token_ids must have at least one id: the first token of a text has no log-probability",
            reason="PROMPT_CONTENT",
            field=f"{field}.prompt_token_ids",
        )
    ids = sequence.prompt_token_ids + sequence.token_ids
    _check_ids(engine, ids, field)
    limit = engine.describe().max_model_tokens
    if len(ids) > limit:
        raise InvalidInput(
            f"{field} has {len(ids)} tokens; the model reads at most {limit}",
            reason="PROMPT_TOO_LONG",
            field=field,
            limit=limit,
            given=len(ids),
        )


def _messages(messages: Iterable[rollout_pb2.Message], field: str) -> tuple[Message, ...]:
    found = []
    for index, message in enumerate(messages):
        role = ROLES.get(message.role)
        if role is None:
            raise InvalidInput(
                f"{field}.messages[{index}].role must be one of {', '.join(ROLES.values())}",
                reason="ROLE",
                field=f"{field}.messages[{index}].role",
            )
        calls = tuple(ToolCall(call.id, call.name, call.arguments_json) for call in message.tool_calls)
        found.append(
            Message(role, message.content, message.name, calls, message.tool_call_id, message.reasoning_content)
        )
    if not found:
        raise InvalidInput(f"{field}.messages must have at least one turn", reason="PROMPT_CONTENT", field=field)
    return tuple(found)


def _tools(tools: Iterable[rollout_pb2.Tool]) -> tuple[Tool, ...]:
    return tuple(Tool(tool.name, tool.description, tool.parameters_json) for tool in tools)
