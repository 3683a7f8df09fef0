"""The engine on vLLM: continuous batching on GPUs, or on the CPU with vLLM's CPU build.

All callers' completions share vLLM's batches. A completion's draws come from a seed of its own, so who else is in the
batch changes its tokens only where float noise does. Log-probabilities are those of the raw policy.

Parts: `vllm_settings.py` what vLLM is started with; `vllm_completions.py` what a call samples, `vllm_requests.py` one
completion of it as a request; `admission.py` who may come in; `vllm_replacing.py` what becomes of those in flight when
a policy is loaded; `vllm_policy.py` and, in vLLM's processes, `vllm_worker.py` and `vllm_tensors.py` how that is done;
`event_loop.py` the thread that all of it runs in.
"""

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, TypeVar

import vllm
from vllm.platforms import current_platform
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from pinetune.generation.admission import Admission, Kind
from pinetune.generation.answer_grammars import AnswerGrammars
from pinetune.generation.conversation import Example, TokenisedExample
from pinetune.generation.engine import (
    CALLER,
    Caller,
    EngineDescription,
    EngineLoad,
    InFlight,
    LoadedPolicy,
    Sampled,
    Scored,
    TokenSequence,
    refuse_old_policy,
)
from pinetune.generation.event_loop import EventLoop
from pinetune.generation.listening import Listening
from pinetune.generation.model_outline import load_outline
from pinetune.generation.samples import AnswerFormat, Prompt, SamplingParams
from pinetune.generation.stop_strings import StopStrings
from pinetune.generation.tokenisation import Tokenisation
from pinetune.generation.vllm_completions import Completions, together
from pinetune.generation.vllm_load import LoadLogger
from pinetune.generation.vllm_policy import VllmPolicy
from pinetune.generation.vllm_replacing import PolicyReplacing
from pinetune.generation.vllm_requests import score
from pinetune.generation.vllm_settings import VllmOptions, engine_arguments, prepare_environment
from pinetune.pod.errors import InvalidInput, Unavailable

NAME = "vllm"
WATCH_SECONDS = 0.5

T = TypeVar("T")


class VllmEngine:
    """One model in vLLM, with its tokenizer and the policy it holds."""

    def __init__(self, options: VllmOptions) -> None:
        """Start vLLM and load the model. Raises InvalidInput with what to set instead."""
        self._options = options
        self._outline = load_outline(options.model, local_files_only=options.local_files_only)
        pretrained = self._outline.pretrained
        self._max_model_tokens = pretrained.max_tokens(options.max_model_tokens)
        self._tokenisation = Tokenisation(pretrained.tokenizer, options.chat_template, options.parts_format)
        self._end_token_ids = tuple(sorted({*pretrained.end_token_ids, self._tokenisation.end_of_turn_token_id}))
        self._grammars = AnswerGrammars(pretrained.tokenizer, self._outline.vocabulary_size, self._end_token_ids)
        self._admission = Admission(options.running_completions_max, options.waiting_completions_max)
        self._request_numbers = count()
        self._loop = EventLoop("vllm")
        try:
            self._loop.run(self._start())
        except BaseException:
            self.close()
            raise

    def tokenise(self, examples: Sequence[Example]) -> list[TokenisedExample]:
        """Return the token ids of prompts and answers."""
        return [self._tokenisation.tokenise(example) for example in examples]

    def text(self, token_ids: Sequence[int]) -> str:
        """Return the decoded text of sampled ids, without special tokens but marks."""
        return self._tokenisation.text(token_ids)

    def check_format(self, answer_format: AnswerFormat) -> None:
        """Refuse a shape that answers cannot keep."""
        self._grammars.check(answer_format)

    def opens_reasoning(self, prompt_token_ids: Sequence[int]) -> bool:
        """Return whether a prompt ends inside reasoning."""
        return self._tokenisation.opens_reasoning(prompt_token_ids)

    def generate(
        self, prompts: Sequence[Prompt], sample_count: int, sampling: SamplingParams, caller: Caller = CALLER
    ) -> Sampled:
        """Return `sample_count` completions per prompt, in the order of the prompts; see `Engine.generate`.

        A listener to answers of a given shape hears each of them at its end, when its log-probabilities are known.
        """
        if sampling.answer_format is not None:
            self.check_format(sampling.answer_format)
        return self._loop.run(self._alive(self._generate(prompts, sample_count, sampling, caller)), caller.waits)

    def score(self, sequences: Sequence[TokenSequence], caller: Caller = CALLER) -> Scored:
        """Return the raw log-probability of each scored token under the held policy."""
        return self._loop.run(self._alive(self._score(sequences, caller)), caller.waits)

    def load_policy(
        self,
        policy_uri: str,
        policy_version: int,
        content_hash: str,
        in_flight: InFlight = "finish",
        caller: Caller = CALLER,
    ) -> LoadedPolicy:
        """Replace the held policy; the answer's hash is of tensors read back from vLLM's layers, see `vllm_tensors.py`.

        A caller who leaves ends the waiting; once tensors are being placed the load goes on to its end.
        """
        return self._loop.run(
            self._alive(self._replacing.load(policy_uri, policy_version, content_hash, in_flight)), caller.waits
        )

    def tensor_hashes(self) -> Mapping[str, str]:
        """Return the SHA-256 of each tensor of the held policy, by its first name in the model."""
        return self._policy.tensor_hashes()

    def describe(self) -> EngineDescription:
        """Return what the engine is and holds."""
        return replace(self._description, policy=self._policy.state, folders=self._policy.folders)

    def load(self) -> EngineLoad:
        """Return how busy it is."""
        inside = self._admission.inside_count
        waiting = min(self._stats.waiting_count, inside)
        usage = self._stats.kv_cache_usage if inside else 0.0
        return EngineLoad(inside - waiting, waiting + self._admission.outside_count, usage)

    def close(self) -> None:
        """End vLLM's processes."""
        # In this order: vLLM's tasks would take the end of its processes for a failure.
        self._loop.close()
        if hasattr(self, "_llm"):
            self._llm.shutdown()

    async def _start(self) -> None:
        options = self._options
        _check_device(options.device, current_platform.device_type)
        prepare_environment(options, on_cpu=current_platform.is_cpu())
        arguments = engine_arguments(options, self._max_model_tokens, on_cpu=current_platform.is_cpu())

        def stat_logger(vllm_config: Any, engine_index: int = 0) -> LoadLogger:
            self._stats = LoadLogger(vllm_config, engine_index)
            return self._stats

        try:
            self._llm = AsyncLLM.from_engine_args(vllm.AsyncEngineArgs(**arguments), stat_loggers=[stat_logger])
        except ValueError as error:
            raise InvalidInput(f"vLLM refuses its settings: {error}", reason="ENGINE_SETTINGS") from error
        self._policy = VllmPolicy(self._outline, self._rpc)
        await self._policy.hold_base(options.model)
        await self._llm.update_weight_version(str(self._policy.state.policy_version))
        self._description = EngineDescription(
            engine=NAME,
            engine_version=vllm.__version__,
            model=options.model,
            parameter_count=self._outline.parameter_count,
            vocabulary_size=self._outline.vocabulary_size,
            max_model_tokens=self._max_model_tokens,
            dtype=options.dtype,
            device=current_platform.device_type,
            end_of_turn_token_id=self._tokenisation.end_of_turn_token_id,
            policy=self._policy.state,
            parts_format=self._tokenisation.parts_format.name,
        )
        self._replacing = PolicyReplacing(self._llm, self._policy, self._admission, options.on_death)
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """Tell the pod once vLLM's processes are gone."""
        while not self._llm.errored:
            await asyncio.sleep(WATCH_SECONDS)
        self._options.on_death("vLLM's processes have died; their log says why")

    async def _alive(self, work: Coroutine[Any, Any, T]) -> T:
        """Do what needs vLLM's processes; raises Unavailable ENGINE_DEAD once they are gone."""
        try:
            return await work
        except EngineDeadError as error:
            raise Unavailable("vLLM's processes have died; the pod ends", reason="ENGINE_DEAD") from error

    async def _rpc(self, method: str, args: tuple[Any, ...]) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = await self._llm.collective_rpc(method, args=args)
        return answers

    async def _generate(
        self, prompts: Sequence[Prompt], sample_count: int, sampling: SamplingParams, caller: Caller
    ) -> Sampled:
        kind: Kind = "sampling" if sampling.answer_format is None else "shaped sampling"
        async with self._admission.enter(kind, len(prompts) * sample_count) as call:
            refuse_old_policy(self._policy.state, caller.min_policy_version)
            began = time.monotonic()
            completions = Completions(
                self._llm,
                self._request_id,
                self._end_token_ids,
                sampling,
                StopStrings(self._tokenisation.text, sampling.stop),
                Listening(caller, lambda: self._policy.state.policy_version),
                call,
            )
            groups = await completions.draw(prompts, sample_count)
            return Sampled(groups, self._policy.state, time.monotonic() - began)

    async def _score(self, sequences: Sequence[TokenSequence], caller: Caller) -> Scored:
        async with self._admission.enter("scoring", len(sequences)):
            policy = self._policy.state
            refuse_old_policy(policy, caller.min_policy_version)
            return Scored(await together([score(self._llm, self._request_id(), one) for one in sequences]), policy)

    def _request_id(self) -> str:
        return f"{next(self._request_numbers)}"


def _check_device(wanted: str, found: str) -> None:
    """Raise InvalidInput where vLLM computes on another device than is wanted."""
    if wanted not in ("auto", found):
        raise InvalidInput(
            f"PINETUNE_GENERATION_DEVICE: {wanted} was asked for and the installed vLLM computes on {found}; use "
            "auto, or CUDA_VISIBLE_DEVICES to choose among GPUs",
            reason="DEVICE_MISSING",
            device=wanted,
        )
