"""Client of one generation service; `generation_replicas.py` uses several as one.

A batch of prompts goes out in calls of bounded size. What comes back is held against what was asked for: the same
prompts in the same order, each with all its samples. A completion in the wrong group would teach the wrong thing.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import grpc

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.generation.v1.generation_pb2_grpc import GenerationServiceStub
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.client.calls import call, call_patient, is_serving
from pinetune.client.prompts import Example, Prompt, Sampling, TokenSequence
from pinetune.client.rollout import Completion, Sampled
from pinetune.pod.errors import Broken, Cancelled, from_rpc_error

DESCRIBE_DEADLINE_SECONDS = 10.0
TOKENIZE_DEADLINE_SECONDS = 120.0
GENERATE_DEADLINE_SECONDS = 1800.0
SCORE_DEADLINE_SECONDS = 120.0
LOAD_DEADLINE_SECONDS = 600.0
PROMPTS_PER_CALL = 256
COMPLETIONS_PER_CALL = 1024
"""Prompts and completions of one call at the most, so that it ends before its deadline and its answer is a message."""


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
    parts_format: str = ""
    """How answers are taken apart; `none` or empty where they are not."""


class GenerateCall:
    """A call of Generate under way."""

    def __init__(
        self, future: "grpc._CallFuture[wire.GenerateResponse]", prompts: Sequence[Prompt], sample_count: int
    ) -> None:
        self._future = future
        self._prompts = prompts
        self._sample_count = sample_count
        self._sent_time, self._answered_time = time.time(), 0.0
        self.when_ended(self._note_end)

    def when_ended(self, tell: Callable[[], None]) -> None:
        """Have `tell` called once the call has ended, well or not, in a thread of gRPC's."""
        self._future.add_done_callback(lambda _: tell())

    def cancel(self) -> None:
        """Take the call back; the service stops sampling for it."""
        self._future.cancel()

    def groups(self, replica: str = "") -> list[list[Completion]]:
        """Wait for the end; return the completions of each prompt, in the order of the prompts.

        They say that `replica` has sampled them. Raises Broken GROUPS_MISMATCH where the answer does not have each
        prompt with each sample once.
        """
        try:
            response = self._future.result()
        except grpc.FutureCancelledError:
            raise Cancelled("the call was taken back", reason="CALLER_LEFT") from None
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        _check_groups(response, self._prompts, self._sample_count)
        # The future may be done a moment before its callbacks are told.
        sampled = Sampled(replica, self._sent_time, self._answered_time or time.time())
        return [
            [_completion(answer, message, sampled) for message in answer.completions] for answer in response.prompts
        ]

    def _note_end(self) -> None:
        self._answered_time = time.time()


class GenerationClient:
    """Samples from one generation service."""

    def __init__(self, channel: grpc.Channel, address: str = "") -> None:
        self.address = address
        """host:port of the service, for a learner that sends it weights."""
        self._channel = channel
        self._stub = GenerationServiceStub(channel)

    def is_serving(self) -> bool:
        """Return whether the service is there and takes calls."""
        return is_serving(self._channel)

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

    def check_format(self, sampling: Sampling) -> None:
        """Raise InvalidInput or Unsupported where the service cannot keep answers to the shape that is asked for."""
        if response_format := _response_format(sampling):
            request = wire.TokenizeRequest(response_format=response_format)
            call(self._stub.Tokenize, request, deadline_seconds=TOKENIZE_DEADLINE_SECONDS)

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
        for part in in_calls(prompts, prompts_per_call(sampling)):
            begun = self.begin(part, sampling, min_policy_version=min_policy_version, deadline_seconds=deadline_seconds)
            found += begun.groups(self.address)
        return found

    def begin(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, min_policy_version: int, deadline_seconds: float
    ) -> GenerateCall:
        """Send one call for at most `prompts_per_call` prompts, and return at once."""
        request = wire.GenerateRequest(
            prompts=[prompt.to_wire() for prompt in prompts],
            sample_count=sampling.sample_count,
            sampling=_sampling_to_wire(sampling),
            min_policy_version=min_policy_version,
            response_format=_response_format(sampling),
        )
        future = self._stub.Generate.future(request, timeout=deadline_seconds)
        return GenerateCall(future, prompts, sampling.sample_count)

    def score(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """Return the log-probability of each token of each sequence under the held policy."""
        request = wire.ScoreRequest(sequences=[sequence.to_wire() for sequence in sequences])
        response = call_patient(self._stub.Score, request, deadline_seconds=SCORE_DEADLINE_SECONDS)
        return [list(sequence.logprobs) for sequence in response.sequences]

    def load_policy(self, policy_uri: str, *, policy_version: int, content_hash: str) -> PolicyState:
        """Replace the held policy; the answer's hash is what the service computed from the tensors it now holds."""
        request = wire.LoadPolicyRequest(
            policy_uri=policy_uri,
            policy_version=policy_version,
            content_hash=content_hash,
            in_flight=wire.IN_FLIGHT_POLICY_FINISH,
        )
        response = call_patient(self._stub.LoadPolicy, request, deadline_seconds=LOAD_DEADLINE_SECONDS)
        return PolicyState(response.policy.policy_version, response.policy.content_hash)

    def describe(self) -> EngineInfo:
        """Return what the service holds."""
        response = call(
            self._stub.DescribeEngine, wire.DescribeEngineRequest(), deadline_seconds=DESCRIBE_DEADLINE_SECONDS
        )
        policy = PolicyState(response.policy.policy_version, response.policy.content_hash)
        return EngineInfo(policy, response.parameter_count, response.max_model_tokens, response.parts_format)


def prompts_per_call(sampling: Sampling) -> int:
    """Return how many prompts one call may ask for; a prompt's completions are a group and never cut."""
    return max(1, min(PROMPTS_PER_CALL, COMPLETIONS_PER_CALL // sampling.sample_count))


def in_calls(prompts: Sequence[Prompt], size: int) -> Iterator[Sequence[Prompt]]:
    """Cut prompts into runs of at most `size`."""
    for start in range(0, len(prompts), size):
        yield prompts[start : start + size]


def _check_groups(response: wire.GenerateResponse, prompts: Sequence[Prompt], sample_count: int) -> None:
    asked, got = [prompt.prompt_id for prompt in prompts], [answer.prompt_id for answer in response.prompts]
    if got != asked:
        place = next((at for at, pair in enumerate(zip(asked, got, strict=False)) if pair[0] != pair[1]), len(got))
        raise Broken(
            f"asked for {len(asked)} prompts and got {len(got)} groups, other ones from place {place} on; group "
            "membership decides what is learnt, so none of them is taken",
            reason="GROUPS_MISMATCH",
            asked=len(asked),
            got=len(got),
        )
    for answer in response.prompts:
        indexes = [completion.index for completion in answer.completions]
        if indexes != list(range(sample_count)):
            raise Broken(
                f"prompt {answer.prompt_id} came back with samples {indexes[:8]} instead of 0 to {sample_count - 1}",
                reason="GROUPS_MISMATCH",
                asked=sample_count,
                got=len(indexes),
            )


def _response_format(sampling: Sampling) -> wire.ResponseFormat | None:
    if sampling.json_schema:
        return wire.ResponseFormat(json_schema=sampling.json_schema)
    return wire.ResponseFormat(regex=sampling.regex) if sampling.regex else None


def _sampling_to_wire(sampling: Sampling) -> wire.SamplingParams:
    return wire.SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_tokens=sampling.max_tokens,
        min_tokens=sampling.min_tokens,
        stop=sampling.stop,
        seed=sampling.seed,
    )


def _completion(answer: wire.PromptCompletions, message: rollout_pb2.Completion, sampled: Sampled) -> Completion:
    """Read a completion; its id becomes unique by the prompt's, and the prompt's ids are put back in."""
    return replace(
        Completion.from_wire(message),
        completion_id=f"{answer.prompt_id}-{message.index}",
        prompt_token_ids=tuple(answer.prompt_token_ids),
        sampled=sampled,
    )
