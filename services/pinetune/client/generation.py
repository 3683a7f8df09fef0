"""Client of the generation service, and of several replicas of it as one.

`GenerationClient` speaks to one service. `GenerationReplicas` has the same face: it spreads a batch of prompts over the
replicas, sends what a dead one was given to the others, and loads a new policy into all of them.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import grpc

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.generation.v1.generation_pb2_grpc import GenerationServiceStub
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.calls import call
from pinetune.client.rollout import FINISH_REASON_FROM_WIRE, Completion, PolicySpan
from pinetune.pod.errors import Unavailable

DESCRIBE_DEADLINE_SECONDS = 10.0
TOKENIZE_DEADLINE_SECONDS = 120.0
GENERATE_DEADLINE_SECONDS = 1800.0
SCORE_DEADLINE_SECONDS = 120.0
LOAD_DEADLINE_SECONDS = 600.0
PROMPTS_PER_CALL = 256
COMPLETIONS_PER_CALL = 1024
"""Prompts and completions of one call at the most, so that it ends before its deadline and its answer is a message."""

T = TypeVar("T")


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool in an earlier turn."""

    call_id: str
    """Identifies the call inside its turn."""
    name: str
    """Name of the called function."""
    arguments_json: str
    """The arguments, as JSON text."""


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
            tool_calls=[
                rollout_pb2.ToolCall(id=call.call_id, name=call.name, arguments_json=call.arguments_json)
                for call in self.tool_calls
            ],
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
    stop: tuple[str, ...] = ()
    """Texts that end a completion."""
    seed: int = 0
    """Fixes the draws."""


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


@dataclass(frozen=True)
class PolicyState:
    """The policy that a service holds, by its own account."""

    policy_version: int
    """0 is the base model."""
    content_hash: str
    """Computed from the tensors it holds."""


@dataclass(frozen=True)
class EngineInfo:
    """What a service holds."""

    policy: PolicyState
    """The held policy."""
    parameter_count: int
    """Number of weights."""
    max_model_tokens: int
    """Most tokens of prompt and completion together."""


class GenerationClient:
    """Samples from one generation service."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = GenerationServiceStub(channel)

    def tokenize(self, examples: Sequence[Example]) -> list[TokenSequence]:
        """Turn examples into token ids, the end-of-turn token after each answer."""
        found: list[TokenSequence] = []
        for start in range(0, len(examples), PROMPTS_PER_CALL):
            part = examples[start : start + PROMPTS_PER_CALL]
            request = wire.TokenizeRequest(examples=[example.to_wire() for example in part])
            response = call(self._stub.Tokenize, request, deadline_seconds=TOKENIZE_DEADLINE_SECONDS)
            found += [
                TokenSequence(tuple(example.prompt_token_ids), tuple(example.answer_token_ids))
                for example in response.examples
            ]
        return found

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        *,
        min_policy_version: int = 0,
        deadline_seconds: float = GENERATE_DEADLINE_SECONDS,
    ) -> list[list[Completion]]:
        """Sample `sampling.sample_count` completions per prompt, in the order of the prompts.

        `deadline_seconds` is that of one call; many prompts take several. Raises
        Conflict POLICY_TOO_OLD where the service holds an older policy than asked for.
        """
        found: list[list[Completion]] = []
        size = max(1, min(PROMPTS_PER_CALL, COMPLETIONS_PER_CALL // sampling.sample_count))
        for start in range(0, len(prompts), size):
            part = prompts[start : start + size]
            request = wire.GenerateRequest(
                prompts=[prompt.to_wire() for prompt in part],
                sample_count=sampling.sample_count,
                sampling=_sampling_to_wire(sampling),
                min_policy_version=min_policy_version,
            )
            response = call(self._stub.Generate, request, deadline_seconds=deadline_seconds)
            got = [answer.prompt_id for answer in response.prompts]
            if got != [prompt.prompt_id for prompt in part]:
                raise AssertionError(f"asked for prompts {part[0].prompt_id}…, got {got[:3]}…")
            found += [[_completion(answer, message) for message in answer.completions] for answer in response.prompts]
        return found

    def score(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """Return the log-probability of each token of each sequence under the held policy."""
        request = wire.ScoreRequest(sequences=[sequence.to_wire() for sequence in sequences])
        response = call(self._stub.Score, request, deadline_seconds=SCORE_DEADLINE_SECONDS)
        return [list(sequence.logprobs) for sequence in response.sequences]

    def load_policy(self, policy_uri: str, *, policy_version: int, content_hash: str) -> PolicyState:
        """Replace the held policy; the answer's hash is what the service computed from the tensors it now holds."""
        request = wire.LoadPolicyRequest(
            policy_uri=policy_uri,
            policy_version=policy_version,
            content_hash=content_hash,
            in_flight=wire.IN_FLIGHT_POLICY_FINISH,
        )
        response = call(self._stub.LoadPolicy, request, deadline_seconds=LOAD_DEADLINE_SECONDS)
        return PolicyState(response.policy.policy_version, response.policy.content_hash)

    def describe(self) -> EngineInfo:
        """Return what the service holds."""
        response = call(
            self._stub.DescribeEngine, wire.DescribeEngineRequest(), deadline_seconds=DESCRIBE_DEADLINE_SECONDS
        )
        policy = PolicyState(response.policy.policy_version, response.policy.content_hash)
        return EngineInfo(policy, response.parameter_count, response.max_model_tokens)


class GenerationReplicas:
    """Several generation services that hold the same policy, used as one."""

    def __init__(self, replicas: Sequence[GenerationClient]) -> None:
        if not replicas:
            raise ValueError("at least one replica")
        self._replicas = list(replicas)

    def tokenize(self, examples: Sequence[Example]) -> list[TokenSequence]:
        """Tokenise at the first replica that answers."""
        return self._first_alive(lambda replica: replica.tokenize(examples))

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, min_policy_version: int = 0
    ) -> list[list[Completion]]:
        """Sample as `GenerationClient.generate`, the prompts dealt out evenly over the replicas.

        The share of a replica that cannot be reached goes to the others; with none left its error is raised.
        """
        shares = _deal(prompts, len(self._replicas))

        def sample(position: int) -> list[list[Completion]]:
            return self._first_alive(
                lambda replica: replica.generate(shares[position], sampling, min_policy_version=min_policy_version),
                start=position,
            )

        with ThreadPoolExecutor(max_workers=len(self._replicas)) as pool:
            parts = list(pool.map(sample, range(len(shares))))
        return [group for part in parts for group in part]

    def score(self, sequences: Sequence[TokenSequence]) -> list[list[list[float]]]:
        """Return each replica's log-probabilities: attestation has to see all of them."""
        return [replica.score(sequences) for replica in self._replicas]

    def load_policy(self, policy_uri: str, *, policy_version: int, content_hash: str) -> list[PolicyState]:
        """Load into every replica and return what each then holds."""

        def load(replica: GenerationClient) -> PolicyState:
            return replica.load_policy(policy_uri, policy_version=policy_version, content_hash=content_hash)

        with ThreadPoolExecutor(max_workers=len(self._replicas)) as pool:
            return list(pool.map(load, self._replicas))

    def describe(self) -> list[EngineInfo]:
        """Return what each replica holds."""
        return [replica.describe() for replica in self._replicas]

    def _first_alive(self, use: Callable[[GenerationClient], T], *, start: int = 0) -> T:
        """Return what the first reachable replica answers, beginning with the one at `start`."""
        last: Unavailable | None = None
        for offset in range(len(self._replicas)):
            try:
                return use(self._replicas[(start + offset) % len(self._replicas)])
            except Unavailable as error:
                last = error
        assert last is not None
        raise last


def _deal(prompts: Sequence[Prompt], count: int) -> list[Sequence[Prompt]]:
    """Cut `prompts` into at most `count` runs of about equal length, none empty."""
    count = min(count, len(prompts)) or 1
    size, rest = divmod(len(prompts), count)
    bounds = [0]
    for position in range(count):
        bounds.append(bounds[-1] + size + (position < rest))
    return [prompts[start:end] for start, end in pairwise(bounds)]


def _sampling_to_wire(sampling: Sampling) -> wire.SamplingParams:
    return wire.SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_tokens=sampling.max_tokens,
        stop=sampling.stop,
        seed=sampling.seed,
    )


def _completion(answer: wire.PromptCompletions, message: rollout_pb2.Completion) -> Completion:
    """Read a completion; its id becomes unique by the prompt's, and the prompt's ids are put back in."""
    return Completion(
        completion_id=f"{answer.prompt_id}-{message.index}",
        index=message.index,
        text=message.text,
        prompt_token_ids=tuple(answer.prompt_token_ids),
        token_ids=tuple(message.token_ids),
        logprobs=tuple(message.logprobs),
        finish_reason=FINISH_REASON_FROM_WIRE[message.finish_reason],
        policy_spans=tuple(PolicySpan(span.policy_version, span.token_count) for span in message.policy_spans),
    )
