"""The generation service: messages in, one engine behind them, messages out.

Calls that use the engine take turns; a policy is loaded between two batches, never inside one. `Tokenize` and
`DescribeEngine` do not wait for a turn.
"""

import math
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import get_args

import grpc

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.generation.v1.generation_pb2_grpc import GenerationServiceServicer
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.generation import metrics
from pinetune.generation.conversation import Example, Message, Role, Tool, ToolCall
from pinetune.generation.engine import (
    Engine,
    PolicyState,
    Prompt,
    SampledCompletion,
    SamplingParams,
    TokenSequence,
)
from pinetune.generation.limits import checked_sampling
from pinetune.generation.turns import Turns
from pinetune.pod.errors import Conflict, InvalidInput, Unsupported

SERVICE_NAME = wire.DESCRIPTOR.services_by_name["GenerationService"].full_name
ROLES: dict[int, Role] = {rollout_pb2.Role.Value(f"ROLE_{role.upper()}"): role for role in get_args(Role)}
FINISH_REASONS = {"stop": rollout_pb2.FINISH_REASON_STOP, "length": rollout_pb2.FINISH_REASON_LENGTH}


class GenerationService(GenerationServiceServicer):
    """Serves one engine, which `hold` hands over once it is ready."""

    def __init__(self, waiting_calls_max: int) -> None:
        """Let at most `waiting_calls_max` calls wait while one has the engine."""
        self._engine: Engine | None = None
        self._turns = Turns(waiting_calls_max)

    def hold(self, engine: Engine) -> None:
        """Serve this engine from now on, after it has answered once: a model that cannot sample must not get ready."""
        first = engine.tokenise([Example((Message("user", "Hello"),))])[0].prompt_token_ids
        engine.generate([Prompt("readiness", first)], 1, SamplingParams(max_tokens=1))
        self._engine = engine
        metrics.POLICY_VERSION.set(engine.describe().policy.policy_version)

    def close(self) -> None:
        """Give the engine's memory back."""
        if self._engine is not None:
            self._engine.close()

    def Tokenize(self, request: wire.TokenizeRequest, context: grpc.ServicerContext) -> wire.TokenizeResponse:
        """Turn prompts and answers into token ids."""
        examples = [
            Example(_messages(example.messages, f"examples[{index}]"), _tools(example.tools), example.answer)
            for index, example in enumerate(request.examples)
        ]
        return wire.TokenizeResponse(
            examples=[
                wire.TokenizedExample(prompt_token_ids=one.prompt_token_ids, answer_token_ids=one.answer_token_ids)
                for one in self._held.tokenise(examples)
            ]
        )

    def Generate(self, request: wire.GenerateRequest, context: grpc.ServicerContext) -> wire.GenerateResponse:
        """Sample a batch."""
        _refuse_what_comes_later(request)
        if request.sample_count < 1:
            raise InvalidInput(
                f"sample_count must be at least 1; it is {request.sample_count}",
                reason="SAMPLE_COUNT",
                field="sample_count",
                limit=1,
                given=request.sample_count,
            )
        sampling = checked_sampling(request.sampling)
        prompts = self._prompts(request.prompts, sampling)
        engine = self._held
        with self._turns.take(context.is_active, len(prompts) * request.sample_count):
            policy = engine.describe().policy
            _refuse_old_policy(policy.policy_version, request.min_policy_version)
            began = time.monotonic()
            groups = engine.generate(prompts, request.sample_count, sampling, cancelled=lambda: not context.is_active())
            seconds = time.monotonic() - began
        _count(prompts, groups, seconds)
        return wire.GenerateResponse(
            prompts=[_answer(prompt, group) for prompt, group in zip(prompts, groups, strict=True)],
            policy=_policy(policy),
            generation_seconds=seconds,
        )

    def Score(self, request: wire.ScoreRequest, context: grpc.ServicerContext) -> wire.ScoreResponse:
        """Score given tokens."""
        sequences = [TokenSequence(tuple(one.prompt_token_ids), tuple(one.token_ids)) for one in request.sequences]
        for index, sequence in enumerate(sequences):
            self._check_sequence(sequence, f"sequences[{index}]")
        engine = self._held
        with self._turns.take(context.is_active):
            scores = engine.score(sequences)
            policy = engine.describe().policy
        return wire.ScoreResponse(
            sequences=[wire.TokenLogprobs(logprobs=one) for one in scores], policy=_policy(policy)
        )

    def LoadPolicy(self, request: wire.LoadPolicyRequest, context: grpc.ServicerContext) -> wire.LoadPolicyResponse:
        """Replace the held policy, once the batch under way has ended."""
        if request.in_flight in (wire.IN_FLIGHT_POLICY_CONTINUE, wire.IN_FLIGHT_POLICY_ABORT):
            raise Unsupported(
                f"in_flight {wire.InFlightPolicy.Name(request.in_flight)}: the transformers engine lets completions "
                "finish; use IN_FLIGHT_POLICY_FINISH",
                reason="IN_FLIGHT_UNSUPPORTED",
            )
        if not request.policy_uri:
            raise InvalidInput("policy_uri is required", reason="FIELD_REQUIRED", field="policy_uri")
        engine = self._held
        with self._turns.take(context.is_active):
            began = time.monotonic()
            loaded = engine.load_policy(request.policy_uri, request.policy_version, request.content_hash)
            seconds = time.monotonic() - began
        metrics.LOAD_TIME.observe(seconds)
        metrics.POLICY_VERSION.set(loaded.state.policy_version)
        return wire.LoadPolicyResponse(
            policy=_policy(loaded.state), load_seconds=seconds, changed_tensor_count=loaded.changed_tensor_count
        )

    def DescribeEngine(
        self, request: wire.DescribeEngineRequest, context: grpc.ServicerContext
    ) -> wire.DescribeEngineResponse:
        """Say what the engine is and how busy."""
        description = self._held.describe()
        return wire.DescribeEngineResponse(
            engine=description.engine,
            engine_version=description.engine_version,
            model=description.model,
            parameter_count=description.parameter_count,
            vocabulary_size=description.vocabulary_size,
            max_model_tokens=description.max_model_tokens,
            dtype=description.dtype,
            device=description.device,
            policy=_policy(description.policy),
            running_count=self._turns.running_count,
            waiting_count=self._turns.waiting_count,
            end_of_turn_token_id=description.end_of_turn_token_id,
        )

    def StreamGenerate(
        self, request: wire.StreamGenerateRequest, context: grpc.ServicerContext
    ) -> Iterator[wire.StreamGenerateResponse]:
        """Not in this release."""
        raise Unsupported("StreamGenerate is not in this release; use Generate", reason="STREAMING_UNSUPPORTED")

    def StreamPolicy(
        self, request_iterator: Iterator[wire.StreamPolicyRequest], context: grpc.ServicerContext
    ) -> wire.StreamPolicyResponse:
        """Not in this release."""
        raise Unsupported(
            "StreamPolicy is not in this release; put the policy on shared storage and use LoadPolicy",
            reason="STREAMING_UNSUPPORTED",
        )

    @property
    def _held(self) -> Engine:
        assert self._engine is not None, "the pod takes no calls before the engine is held"
        return self._engine

    def _prompts(self, prompts: Iterable[wire.Prompt], sampling: SamplingParams) -> list[Prompt]:
        """Read and tokenise the prompts; refuse those that leave no room for an answer."""
        found: list[Prompt] = []
        seen: set[str] = set()
        limit = self._held.describe().max_model_tokens
        for index, prompt in enumerate(prompts):
            field = f"prompts[{index}]"
            if not prompt.prompt_id or prompt.prompt_id in seen:
                raise InvalidInput(
                    f"{field}.prompt_id must be set and unique in the request; it is {prompt.prompt_id!r}",
                    reason="PROMPT_ID",
                    field=f"{field}.prompt_id",
                )
            seen.add(prompt.prompt_id)
            token_ids = self._prompt_ids(prompt, field)
            if len(token_ids) + sampling.max_tokens > limit:
                raise InvalidInput(
                    f"{field} ({prompt.prompt_id}) has {len(token_ids)} tokens, which with max_tokens "
                    f"{sampling.max_tokens} passes the {limit} tokens of the model; shorten the prompt or max_tokens",
                    reason="PROMPT_TOO_LONG",
                    field=field,
                    limit=limit,
                    given=len(token_ids) + sampling.max_tokens,
                )
            found.append(Prompt(prompt.prompt_id, token_ids))
        if not found:
            raise InvalidInput("prompts must have at least one prompt", reason="PROMPT_CONTENT", field="prompts")
        return found

    def _prompt_ids(self, prompt: wire.Prompt, field: str) -> tuple[int, ...]:
        if bool(prompt.messages) == bool(prompt.token_ids):
            raise InvalidInput(
                f"{field} must have messages or token_ids, one of them", reason="PROMPT_CONTENT", field=field
            )
        if prompt.token_ids:
            self._check_ids(tuple(prompt.token_ids), field)
            return tuple(prompt.token_ids)
        example = Example(_messages(prompt.messages, field), _tools(prompt.tools))
        return self._held.tokenise([example])[0].prompt_token_ids

    def _check_ids(self, token_ids: tuple[int, ...], field: str) -> None:
        size = self._held.describe().vocabulary_size
        wrong = next((token for token in token_ids if not 0 <= token < size), None)
        if wrong is not None:
            raise InvalidInput(
                f"{field}: token ids must be at least 0 and below {size}; one is {wrong}",
                reason="TOKEN_ID",
                field=field,
            )

    def _check_sequence(self, sequence: TokenSequence, field: str) -> None:
        if not sequence.prompt_token_ids:
            raise InvalidInput(
                f"{field}.prompt_token_ids must have at least one id: the first token of a text has no log-probability",
                reason="PROMPT_CONTENT",
                field=f"{field}.prompt_token_ids",
            )
        ids = sequence.prompt_token_ids + sequence.token_ids
        self._check_ids(ids, field)
        limit = self._held.describe().max_model_tokens
        if len(ids) > limit:
            raise InvalidInput(
                f"{field} has {len(ids)} tokens; the model reads at most {limit}",
                reason="PROMPT_TOO_LONG",
                field=field,
                limit=limit,
                given=len(ids),
            )


def _refuse_old_policy(held: int, wanted: int) -> None:
    if held < wanted:
        raise Conflict(
            f"min_policy_version: policy {held} is held and at least {wanted} is asked for; load it first",
            reason="POLICY_TOO_OLD",
            held=held,
            wanted=wanted,
        )


def _refuse_what_comes_later(request: wire.GenerateRequest) -> None:
    if request.response_format.WhichOneof("format"):
        raise Unsupported(
            "response_format: the transformers engine does not constrain its answers; leave it out",
            reason="RESPONSE_FORMAT_UNSUPPORTED",
        )
    if request.selection.rule != wire.SELECTION_RULE_UNSPECIFIED:
        raise Unsupported("selection is not in this release; leave it out", reason="SELECTION_UNSUPPORTED")


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


def _policy(state: PolicyState) -> wire.PolicyState:
    return wire.PolicyState(
        policy_version=state.policy_version, content_hash=state.content_hash, load_time=state.load_time
    )


def _answer(prompt: Prompt, group: Iterable[SampledCompletion]) -> wire.PromptCompletions:
    return wire.PromptCompletions(
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


def _count(prompts: Iterable[Prompt], groups: Iterable[list[SampledCompletion]], seconds: float) -> None:
    sampled = 0
    for completion in chain.from_iterable(groups):
        sampled += len(completion.token_ids)
        metrics.COMPLETIONS.labels(completion.finish_reason).inc()
        metrics.NONFINITE_LOGPROBS.inc(sum(not math.isfinite(logprob) for logprob in completion.logprobs))
    metrics.TOKENS.labels("prompt").inc(sum(len(prompt.token_ids) for prompt in prompts))
    metrics.TOKENS.labels("completion").inc(sampled)
    metrics.GENERATE_TIME.observe(seconds)
    metrics.TOKENS_PER_SECOND.set(sampled / seconds if seconds > 0 else 0.0)
