"""The engine on plain transformers and torch: any causal language model, on the CPU or one GPU, with a decode loop of
ours.

It is what a laptop and the tests run; on large GPUs vLLM is faster. What it promises is that draws and
log-probabilities are those of the model: no approximation is taken for speed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import transformers

from pinetune.generation.batches import plan_batches
from pinetune.generation.causal_model import CausalModel
from pinetune.generation.conversation import Example, TokenisedExample
from pinetune.generation.decoding import Decoder, SampledRow
from pinetune.generation.engine import (
    EngineDescription,
    LoadedPolicy,
    PolicySpan,
    Prompt,
    SampledCompletion,
    SamplingParams,
    TokenSequence,
)
from pinetune.generation.pretrained import load_pretrained
from pinetune.generation.scoring import score
from pinetune.generation.tokenisation import Tokenisation
from pinetune.generation.weights import HeldWeights

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
    max_batch_tokens: int = 65_536
    """Most tokens in the cache at once, padding included."""
    max_model_tokens: int = 0
    """Most tokens of prompt and completion together; 0 takes the model's own limit."""
    threads: int = 0
    """Threads of torch; 0 leaves its default."""
    local_files_only: bool = False
    """Whether the hub may not be asked."""


class TransformersEngine:
    """One model of transformers with its tokenizer and the policy it holds."""

    def __init__(self, options: EngineOptions) -> None:
        """Load model and tokenizer. Raises InvalidInput with what to set instead."""
        if options.threads:
            torch.set_num_threads(options.threads)
        self._options = options
        pretrained = load_pretrained(
            options.model, options.device, options.dtype, local_files_only=options.local_files_only
        )
        self._max_model_tokens = pretrained.max_tokens(options.max_model_tokens)
        self._tokenisation = Tokenisation(pretrained.tokenizer, options.chat_template)
        self._end_token_ids = tuple(sorted({*pretrained.end_token_ids, self._tokenisation.end_of_turn_token_id}))
        self._model = CausalModel(pretrained.model)
        self._weights = HeldWeights(pretrained.model, threads=torch.get_num_threads())

    def tokenise(self, examples: Sequence[Example]) -> list[TokenisedExample]:
        """Return the token ids of prompts and answers."""
        return [self._tokenisation.tokenise(example) for example in examples]

    def generate(
        self,
        prompts: Sequence[Prompt],
        sample_count: int,
        sampling: SamplingParams,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[list[SampledCompletion]]:
        """Return `sample_count` completions per prompt, in the order of the prompts. Raises Cancelled."""
        # At temperature 0 the samples of a prompt are all the same one.
        drawn_count = 1 if sampling.temperature == 0.0 else sample_count
        decoder = self._decoder(sampling, cancelled)
        lengths = [len(prompt.token_ids) for prompt in prompts]
        batches = plan_batches(
            lengths,
            drawn_count,
            sampling.max_tokens,
            self._options.max_batch_tokens,
            padding=self._model.takes_padding,
        )
        completions: dict[tuple[int, int], SampledCompletion] = {}
        for batch in batches:
            for row in decoder.decode(batch, prompts):
                completions[row.prompt, row.sample_index] = self._completion(row, sampling.stop)
        return [
            [completions[prompt, index % drawn_count] for index in range(sample_count)]
            for prompt in range(len(prompts))
        ]

    def score(self, sequences: Sequence[TokenSequence]) -> list[list[float]]:
        """Return the raw log-probability of each scored token under the held policy."""
        return score(self._model, sequences, self._options.max_batch_tokens)

    def load_policy(self, policy_uri: str, policy_version: int, content_hash: str) -> LoadedPolicy:
        """Replace the held policy; see `weights.py`."""
        return self._weights.load(policy_uri, policy_version, content_hash)

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
        )

    def close(self) -> None:
        """Nothing to give back: the process ends with its memory."""

    def _decoder(self, sampling: SamplingParams, cancelled: Callable[[], bool]) -> Decoder:
        def has_stop(token_ids: list[int]) -> bool:
            text = self._tokenisation.text(token_ids)
            return any(stop in text for stop in sampling.stop)

        return Decoder(
            self._model,
            self._end_token_ids,
            sampling,
            has_stop=has_stop if sampling.stop else None,
            # A token is at least a byte of text, and one more may be cut by the window's edge.
            stop_window_tokens=max((len(stop.encode()) + 1 for stop in sampling.stop), default=0),
            cancelled=cancelled,
        )

    def _completion(self, row: SampledRow, stop: tuple[str, ...]) -> SampledCompletion:
        ids = row.token_ids
        ended = row.ended
        text = self._tokenisation.text(ids[:-1] if ended else ids)
        if any(string in text for string in stop):
            ids = ids[: self._stop_length(ids, stop)]
            text = self._tokenisation.text(ids)
            text = text[: min(place for place in map(text.find, stop) if place >= 0)]
            ended = True
        return SampledCompletion(
            tuple(ids),
            tuple(row.logprobs[: len(ids)]),
            text,
            "stop" if ended else "length",
            (PolicySpan(self._weights.state.policy_version, len(ids)),),
        )

    def _stop_length(self, token_ids: list[int], stop: tuple[str, ...]) -> int:
        """Return the smallest number of tokens whose text contains a stop string, by halving."""
        low, high = 1, len(token_ids)
        while low < high:
            middle = (low + high) // 2
            text = self._tokenisation.text(token_ids[:middle])
            if any(string in text for string in stop):
                high = middle
            else:
                low = middle + 1
        return low
