"""The generation service: messages in, one engine behind them, messages out.

It checks what a request says and counts what was made; who shares a batch and who waits is the engine's to decide.
"""

import math
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path

import grpc

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.api.generation.v1.generation_pb2_grpc import GenerationServiceServicer
from pinetune.client.grading import GradingClient
from pinetune.client.rollout import Completion
from pinetune.generation import metrics
from pinetune.generation.answers import completions_message, policy_message
from pinetune.generation.conversation import Example, Message
from pinetune.generation.engine import Caller, Engine, InFlight, LoadedPolicy, Sampled
from pinetune.generation.limits import checked_format, checked_sampling
from pinetune.generation.outcomes import failures_counted, first_token_timer
from pinetune.generation.policy_messages import read_broadcast, read_stream
from pinetune.generation.receiving import Chunk, Receiver
from pinetune.generation.requests import (
    read_examples,
    read_in_flight,
    read_prompt,
    read_prompts,
    read_rule,
    read_sample_count,
    read_sequences,
)
from pinetune.generation.samples import Prompt, SamplingParams
from pinetune.generation.selection import Rule, Selector
from pinetune.generation.streaming import CompletionStream
from pinetune.pod.errors import InvalidInput
from pinetune.pod.manifest import Manifest

BYTES_PER_WEIGHT_MAX = 8
BUFFER_BYTES_MAX = 64 << 20
"""Room for tensors that are no weights."""
SERVICE_NAME = wire.DESCRIPTOR.services_by_name["GenerationService"].full_name


class GenerationService(GenerationServiceServicer):
    """Serves one engine, which `hold` hands over once it is ready."""

    def __init__(self, spool_folder: Path | None = None, grading: GradingClient | None = None) -> None:
        """Receive streamed policies below `spool_folder`, see `receiving.py` for the default; select by `grading`."""
        self._engine: Engine | None = None
        self._selector = Selector(grading)
        self._receiver = Receiver(spool_folder)

    def hold(self, engine: Engine) -> None:
        """Serve this engine from now on, after it has answered once: a model that cannot sample must not get ready."""
        first = engine.tokenise([Example((Message("user", "Hello"),))])[0].prompt_token_ids
        engine.generate([Prompt("readiness", first)], 1, SamplingParams(max_tokens=1))
        self._engine = engine
        metrics.POLICY_VERSION.set(engine.describe().policy.policy_version)
        metrics.show_load(engine)

    def close(self) -> None:
        """Give the engine's memory back."""
        if self._engine is not None:
            self._engine.close()
        self._receiver.keep(())

    def Tokenize(self, request: wire.TokenizeRequest, context: grpc.ServicerContext) -> wire.TokenizeResponse:
        """Turn prompts and answers into token ids, and refuse a shape that answers cannot keep."""
        if (answer_format := checked_format(request.response_format)) is not None:
            self._held.check_format(answer_format)
        return wire.TokenizeResponse(
            examples=[
                wire.TokenizedExample(prompt_token_ids=one.prompt_token_ids, answer_token_ids=one.answer_token_ids)
                for one in self._held.tokenise(read_examples(request.examples))
            ]
        )

    def Generate(self, request: wire.GenerateRequest, context: grpc.ServicerContext) -> wire.GenerateResponse:
        """Sample a batch."""
        note_token = first_token_timer()
        rule = read_rule(request.selection)
        sample_count = read_sample_count(request.sample_count)
        sampling = checked_sampling(request.sampling, request.response_format)
        prompts = read_prompts(self._held, request.prompts, sampling)
        caller = Caller(context.is_active, request.min_policy_version, begun=note_token)
        with failures_counted(len(prompts) * sample_count):
            sampled = self._held.generate(prompts, sample_count, sampling, caller)
        _count(prompts, sampled)
        answers = [completions_message(*parts) for parts in zip(prompts, sampled.groups, strict=True)]
        if rule is not None:
            self._select(rule, request.selection.grader_json, answers)
        return wire.GenerateResponse(
            prompts=answers,
            policy=policy_message(sampled.policy),
            generation_seconds=sampled.seconds,
        )

    def _select(self, rule: Rule, grader_json: str, answers: Sequence[wire.PromptCompletions]) -> None:
        groups = [[Completion.from_wire(one) for one in answer.completions] for answer in answers]
        for answer, selected in zip(answers, self._selector.select(rule, grader_json, groups), strict=True):
            answer.selection_weights.extend(selected.weights)
            if selected.index is not None:
                answer.selected_index = selected.index

    def Score(self, request: wire.ScoreRequest, context: grpc.ServicerContext) -> wire.ScoreResponse:
        """Score given tokens."""
        scored = self._held.score(read_sequences(self._held, request.sequences), Caller(context.is_active))
        return wire.ScoreResponse(
            sequences=[wire.TokenLogprobs(logprobs=one) for one in scored.logprobs],
            policy=policy_message(scored.policy),
        )

    def LoadPolicy(self, request: wire.LoadPolicyRequest, context: grpc.ServicerContext) -> wire.LoadPolicyResponse:
        """Replace the held policy."""
        if not request.policy_uri:
            raise InvalidInput("policy_uri is required", reason="FIELD_REQUIRED", field="policy_uri")
        engine = self._held
        try:
            loaded = engine.load_policy(
                request.policy_uri,
                request.policy_version,
                request.content_hash,
                read_in_flight(request.in_flight),
                Caller(context.is_active),
            )
        finally:
            self._note_policy(engine)
        metrics.LOAD_TIME.observe(loaded.seconds)
        return wire.LoadPolicyResponse(
            policy=policy_message(loaded.state),
            load_seconds=loaded.seconds,
            changed_tensor_count=loaded.changed_tensor_count,
        )

    def DescribeEngine(
        self, request: wire.DescribeEngineRequest, context: grpc.ServicerContext
    ) -> wire.DescribeEngineResponse:
        """Say what the engine is and how busy."""
        description, load = self._held.describe(), self._held.load()
        return wire.DescribeEngineResponse(
            engine=description.engine,
            engine_version=description.engine_version,
            model=description.model,
            parameter_count=description.parameter_count,
            vocabulary_size=description.vocabulary_size,
            max_model_tokens=description.max_model_tokens,
            dtype=description.dtype,
            device=description.device,
            policy=policy_message(description.policy),
            running_count=load.running_count,
            waiting_count=load.waiting_count,
            kv_cache_usage=load.kv_cache_usage,
            end_of_turn_token_id=description.end_of_turn_token_id,
            parts_format=description.parts_format,
        )

    def StreamGenerate(
        self, request: wire.StreamGenerateRequest, context: grpc.ServicerContext
    ) -> Iterator[wire.StreamGenerateResponse]:
        """Sample one completion, token by token."""
        note_token = first_token_timer()
        sampling = checked_sampling(request.sampling, request.response_format)
        prompt = read_prompt(self._held, request.prompt, sampling, field="prompt")
        stream = CompletionStream(self._held, prompt, sampling)
        with failures_counted(1):
            for said in stream.run(context.is_active, request.min_policy_version, note_token):
                if isinstance(said, Sampled):
                    _count([prompt], said)
                    yield stream.last_message(said)
                else:
                    yield said

    def StreamPolicy(
        self, request_iterator: Iterator[wire.StreamPolicyRequest], context: grpc.ServicerContext
    ) -> wire.StreamPolicyResponse:
        """Replace the held policy by the one that comes in pieces."""
        loaded, seconds = self._take(*read_stream(request_iterator), context)
        return wire.StreamPolicyResponse(
            policy=policy_message(loaded.state), load_seconds=seconds, changed_tensor_count=loaded.changed_tensor_count
        )

    def ReceivePolicy(
        self, request: wire.ReceivePolicyRequest, context: grpc.ServicerContext
    ) -> wire.ReceivePolicyResponse:
        """Replace the held policy by the one that the caller broadcasts."""
        loaded, seconds = self._take(*read_broadcast(request, context.peer()), context)
        return wire.ReceivePolicyResponse(
            policy=policy_message(loaded.state), load_seconds=seconds, changed_tensor_count=loaded.changed_tensor_count
        )

    def _take(
        self, manifest: Manifest, in_flight: InFlight, chunks: Generator[Chunk], context: grpc.ServicerContext
    ) -> tuple[LoadedPolicy, float]:
        """Receive a policy in pieces and load it; returns what is held, and the seconds that it took."""
        began = time.monotonic()
        engine = self._held
        bytes_max = engine.describe().parameter_count * BYTES_PER_WEIGHT_MAX + BUFFER_BYTES_MAX
        # Closed whatever happens: a broadcast then goes on to its end, for the others' sake.
        with (
            closing(chunks),
            self._receiver.receive(
                manifest, engine.tensor_hashes, chunks, bytes_max=bytes_max, waits=context.is_active
            ) as arrived,
        ):
            caller = Caller(lambda: context.is_active() and not arrived.replaced())
            try:
                loaded = engine.load_policy(
                    str(arrived.folder), manifest.policy_version, manifest.content_hash, in_flight, caller
                )
            finally:
                # Asked whatever happened: a caller who left may have left a policy that is held.
                self._note_policy(engine)
        seconds = time.monotonic() - began
        metrics.LOAD_TIME.observe(seconds)
        return loaded, seconds

    def _note_policy(self, engine: Engine) -> None:
        """Show which policy is held, and keep the folders that it may be read from again."""
        described = engine.describe()
        metrics.POLICY_VERSION.set(described.policy.policy_version)
        self._receiver.keep(described.folders)

    def DescribePolicy(
        self, request: wire.DescribePolicyRequest, context: grpc.ServicerContext
    ) -> wire.DescribePolicyResponse:
        """Say which tensors are held."""
        hashes = self._held.tensor_hashes()
        return wire.DescribePolicyResponse(policy=policy_message(self._held.describe().policy), tensor_sha256=hashes)

    @property
    def _held(self) -> Engine:
        assert self._engine is not None, "the pod takes no calls before the engine is held"
        return self._engine


def _count(prompts: Iterable[Prompt], sampled: Sampled) -> None:
    token_count = 0
    for completion in chain.from_iterable(sampled.groups):
        token_count += len(completion.token_ids)
        metrics.COMPLETIONS.labels(completion.finish_reason).inc()
        metrics.NONFINITE_LOGPROBS.inc(sum(not math.isfinite(logprob) for logprob in completion.logprobs))
    metrics.TOKENS.labels("prompt").inc(sum(len(prompt.token_ids) for prompt in prompts))
    metrics.TOKENS.labels("completion").inc(token_count)
    metrics.GENERATE_TIME.observe(sampled.seconds)
    metrics.TOKENS_PER_SECOND.set(token_count / sampled.seconds if sampled.seconds > 0 else 0.0)
