"""The engine on plain transformers and torch: any causal language model, on the CPU or one GPU, with a decode loop of
ours.

It is what a laptop and the tests run; on large GPUs vLLM is faster. What it promises is that draws and
log-probabilities are those of the model: no approximation is taken for speed.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import transformers

from pinetune.generation.answer_grammars import AnswerGrammars
from pinetune.generation.batches import batch_tokens, plan_batches
from pinetune.generation.causal_model import CausalModel
from pinetune.generation.completions import completion_of
from pinetune.generation.conversation import Example, TokenisedExample
from pinetune.generation.decoding import Decoder
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
from pinetune.generation.kv_memory import KvMemory
from pinetune.generation.listening import Listening
from pinetune.generation.parts_format import AUTO
from pinetune.generation.pretrained import load_pretrained
from pinetune.generation.samples import AnswerFormat, Prompt, SampledCompletion, SamplingParams
from pinetune.generation.scoring import score
from pinetune.generation.stop_strings import StopStrings
from pinetune.generation.tokenisation import Tokenisation
from pinetune.generation.turns import Turns
from pinetune.generation.weights import HeldWeights
from pinetune.pod.errors import Unavailable

NAME = "transformers"


@dataclass(frozen=True)
class EngineOptions:
    """What a transformers engine is started with."""

    model: str
    """Folder in Hugging Face format, or a hub id."""
    device: str = "cpu"
    """cpu, cuda, cuda:1 … or auto."""
    dtype: str = "float32"
    """float32 or bfloat16."""
    chat_template: str = "model"
    """model, plain or a Jinja file; see `tokenisation.py`."""
    parts_format: str = AUTO
    """auto, or a format of `parts_format.py`."""
    max_batch_tokens: int = 65_536
    """Most tokens in the cache at once, padding included."""
    max_model_tokens: int = 0
    """Most tokens of prompt and completion together; 0 takes the model's own limit."""
    threads: int = 0
    """Threads of torch; 0 leaves its default."""
    local_files_only: bool = False
    """Whether the hub may not be asked."""
    waiting_calls_max: int = 8
    """Calls that may wait while another is served."""
    waiting_tokens_max: int = 1_048_576
    """Tokens that those may come to, prompts and room for answers."""
    kv_cache_memory_bytes: int = 0
    """Bytes for keys and values; 0 for most of the memory that is free once the model is loaded."""


class TransformersEngine:
    """One model of transformers with its tokenizer and the policy it holds.

    Calls take turns: which rows share a batch decides the last bits of their log-probabilities, so a call's batches are
    made of its own prompts alone, and the same call gives the same numbers whatever else is asked meanwhile.
    """

    def __init__(self, options: EngineOptions) -> None:
        """Load model and tokenizer. Raises InvalidInput with what to set instead."""
        if options.threads:
            torch.set_num_threads(options.threads)
        self._options = options
        pretrained = load_pretrained(
            options.model, options.device, options.dtype, local_files_only=options.local_files_only
        )
        self._max_model_tokens = pretrained.max_tokens(options.max_model_tokens)
        self._tokenisation = Tokenisation(pretrained.tokenizer, options.chat_template, options.parts_format)
        self._end_token_ids = tuple(sorted({*pretrained.end_token_ids, self._tokenisation.end_of_turn_token_id}))
        self._model = CausalModel(pretrained.model)
        self._grammars = AnswerGrammars(
            pretrained.tokenizer, self._model.vocabulary_size, self._end_token_ids, torch.get_num_threads()
        )
        self._weights = HeldWeights(pretrained.model, threads=torch.get_num_threads())
        self._aborts = False
        """Whether the last policy ends the call that was under way."""
        self._turns = Turns(options.waiting_calls_max, options.waiting_tokens_max)
        self._memory = KvMemory(self._model, options.kv_cache_memory_bytes)

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
        """Return `sample_count` completions per prompt, in the order of the prompts; see `Engine.generate`."""
        if sampling.answer_format is not None:
            self.check_format(sampling.answer_format)
        token_count = sample_count * sum(len(prompt.token_ids) + sampling.max_tokens for prompt in prompts)
        with self._turns.take(caller.waits, len(prompts) * sample_count, token_count):
            refuse_old_policy(self._weights.state, caller.min_policy_version)
            began = time.monotonic()
            groups = self._sample(prompts, sample_count, sampling, caller)
            return Sampled(groups, self._weights.state, time.monotonic() - began)

    def score(self, sequences: Sequence[TokenSequence], caller: Caller = CALLER) -> Scored:
        """Return the raw log-probability of each scored token under the held policy."""
        with self._turns.take(caller.waits):
            policy = self._weights.state
            refuse_old_policy(policy, caller.min_policy_version)
            return Scored(score(self._model, sequences, self._options.max_batch_tokens), policy)

    def load_policy(
        self,
        policy_uri: str,
        policy_version: int,
        content_hash: str,
        in_flight: InFlight = "finish",
        caller: Caller = CALLER,
    ) -> LoadedPolicy:
        """Replace the held policy between two calls, or two tokens of the call under way; see `weights.py`."""
        turn = self._turns.take if in_flight == "finish" else self._turns.take_between_tokens
        with turn(caller.waits):
            loaded = self._weights.load(policy_uri, policy_version, content_hash)
            self._aborts = in_flight == "abort"
            return loaded

    def tensor_hashes(self) -> dict[str, str]:
        """Return the SHA-256 of what each name of the model holds."""
        return self._weights.tensor_hashes

    def describe(self) -> EngineDescription:
        """Return what the engine is and holds."""
        model = self._model.model
        return EngineDescription(
            engine=NAME,
            engine_version=transformers.__version__,
            model=self._options.model,
            parameter_count=sum(parameter.numel() for parameter in model.parameters()),
            vocabulary_size=self._model.vocabulary_size,
            max_model_tokens=self._max_model_tokens,
            dtype=self._options.dtype,
            device=str(model.device),
            end_of_turn_token_id=self._tokenisation.end_of_turn_token_id,
            policy=self._weights.state,
            parts_format=self._tokenisation.parts_format.name,
        )

    def load(self) -> EngineLoad:
        """Return how busy it is; memory for keys and values is reserved a batch at a time."""
        return EngineLoad(self._turns.running_count, self._turns.waiting_count, kv_cache_usage=self._memory.usage)

    def close(self) -> None:
        """Nothing to give back: the process ends with its memory."""

    def _sample(
        self, prompts: Sequence[Prompt], sample_count: int, sampling: SamplingParams, caller: Caller
    ) -> list[list[SampledCompletion]]:
        # At temperature 0 the samples of a prompt are all the same one.
        drawn_count = 1 if sampling.temperature == 0.0 else sample_count
        listening = Listening(caller, lambda: self._weights.state.policy_version)
        stop = StopStrings(self._tokenisation.text, sampling.stop)
        decoder = self._decoder(sampling, stop, caller, listening)
        lengths = [len(prompt.token_ids) for prompt in prompts]
        batches = [
            (batch, batch_tokens(batch, lengths, sampling.max_tokens))
            for batch in plan_batches(
                lengths,
                drawn_count,
                sampling.max_tokens,
                self._options.max_batch_tokens,
                padding=self._model.takes_padding,
            )
        ]
        self._memory.admit(max(token_count for _, token_count in batches))
        completions: dict[tuple[int, int], SampledCompletion] = {}
        for batch, token_count in batches:
            with self._memory.reserved(token_count):
                rows = decoder.decode(batch, prompts)
            for row in rows:
                completions[row.prompt, row.sample_index] = completion_of(row, stop)
        groups = [
            [completions[prompt, index % drawn_count] for index in range(sample_count)]
            for prompt in range(len(prompts))
        ]
        for prompt, group in enumerate(groups):
            for sample_index, completion in enumerate(group):
                listening.end(prompt, sample_index, completion)
        return groups

    def _decoder(self, sampling: SamplingParams, stop: StopStrings, caller: Caller, listening: Listening) -> Decoder:
        answer_format = sampling.answer_format
        return Decoder(
            self._model,
            self._end_token_ids,
            sampling,
            stop,
            cancelled=lambda: not caller.waits(),
            policy_version=lambda: self._weights.state.policy_version,
            lend=self._lend,
            begun=caller.begun,
            hears=listening.token if listening.active else None,
            begin_answers=None if answer_format is None else partial(self._grammars.begin, answer_format),
        )

    def _lend(self) -> bool:
        """Let a policy be loaded between two tokens; returns whether one was, raises Unavailable where it aborts."""
        before = self._weights.state
        self._turns.lend()
        if self._weights.state is before:
            return False
        if self._aborts:
            raise Unavailable(
                f"policy {self._weights.state.policy_version} was loaded while the completions were being sampled; "
                "ask again",
                reason="POLICY_REPLACED",
                retry_after_seconds=0.0,
            )
        return True
