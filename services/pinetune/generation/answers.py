"""What the engine says, as messages."""

from collections.abc import Iterable

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.generation.conversation import ToolCall
from pinetune.generation.engine import PolicyState
from pinetune.generation.samples import Prompt, SampledCompletion

FINISH_REASONS = {"stop": rollout_pb2.FINISH_REASON_STOP, "length": rollout_pb2.FINISH_REASON_LENGTH}


def policy_message(state: PolicyState) -> wire.PolicyState:
    """Spell a policy."""
    return wire.PolicyState(
        policy_version=state.policy_version, content_hash=state.content_hash, load_time=state.load_time
    )


def completions_message(prompt: Prompt, group: Iterable[SampledCompletion]) -> wire.PromptCompletions:
    """Spell the completions of one prompt, taken apart; its token ids stand in the message once."""
    return wire.PromptCompletions(
        prompt_id=prompt.prompt_id,
        prompt_token_ids=prompt.token_ids,
        completions=[_completion_message(prompt, index, one) for index, one in enumerate(group)],
    )


def call_messages(calls: Iterable[ToolCall]) -> list[rollout_pb2.ToolCall]:
    """Spell calls of tools."""
    return [rollout_pb2.ToolCall(id=call.call_id, name=call.name, arguments_json=call.arguments_json) for call in calls]


def _completion_message(prompt: Prompt, index: int, one: SampledCompletion) -> rollout_pb2.Completion:
    parts = prompt.reading.parts(one.text)
    return rollout_pb2.Completion(
        completion_id=f"{prompt.prompt_id}-{index}",
        index=index,
        text=one.text,
        token_ids=one.token_ids,
        logprobs=one.logprobs,
        finish_reason=FINISH_REASONS[one.finish_reason],
        policy_spans=[
            rollout_pb2.PolicySpan(policy_version=span.policy_version, token_count=span.token_count)
            for span in one.spans
        ],
        reasoning_content=parts.reasoning_content,
        tool_calls=call_messages(parts.tool_calls),
        content=None if parts.content == one.text else parts.content,
        parts_format=prompt.reading.parts_format.name,
    )
