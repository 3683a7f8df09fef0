"""What the engine says, as messages."""

from collections.abc import Iterable

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.generation.engine import PolicyState, Prompt, SampledCompletion
from pinetune.generation.selection import Selected

FINISH_REASONS = {"stop": rollout_pb2.FINISH_REASON_STOP, "length": rollout_pb2.FINISH_REASON_LENGTH}


def policy_message(state: PolicyState) -> wire.PolicyState:
    """Spell a policy."""
    return wire.PolicyState(
        policy_version=state.policy_version, content_hash=state.content_hash, load_time=state.load_time
    )


def completions_message(
    prompt: Prompt, group: Iterable[SampledCompletion], selected: Selected | None = None
) -> wire.PromptCompletions:
    """Spell the completions of one prompt, and which was selected; its token ids stand in the message once."""
    return wire.PromptCompletions(
        selection_weights=() if selected is None else selected.weights,
        selected_index=None if selected is None else selected.index,
        prompt_id=prompt.prompt_id,
        prompt_token_ids=prompt.token_ids,
        completions=[
            rollout_pb2.Completion(
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
            )
            for index, one in enumerate(group)
        ],
    )
