"""The completions of one call to the vLLM engine: drawn together, cut at stop strings, told to who listens."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pinetune.generation.admission import Call
from pinetune.generation.engine import TokenSequence
from pinetune.generation.listening import Listening
from pinetune.generation.samples import PolicySpan, Prompt, SampledCompletion, SamplingParams
from pinetune.generation.stop_strings import StopStrings
from pinetune.generation.vllm_requests import Llm, SampledRow, row_seed, sample, score, vllm_sampling

T = TypeVar("T")


@dataclass(frozen=True)
class Completions:
    """Draws the completions of one call."""

    llm: Llm
    """vLLM."""
    request_id: Callable[[], str]
    """Makes an id for each request."""
    end_token_ids: tuple[int, ...]
    """Tokens that end a completion."""
    sampling: SamplingParams
    """How to sample."""
    stop: StopStrings
    """Its stop strings."""
    listening: Listening
    """Who hears of tokens."""
    call: Call
    """The call; its count falls with every completion."""

    async def draw(self, prompts: Sequence[Prompt], sample_count: int) -> list[list[SampledCompletion]]:
        """Return `sample_count` completions per prompt, in the order of the prompts."""
        # At temperature 0 the samples of a prompt are all the same one.
        drawn_count = 1 if self.sampling.temperature == 0.0 else sample_count
        self.call.count = len(prompts) * drawn_count
        streams = self.listening.active or bool(self.sampling.stop)
        parameters = [vllm_sampling(self.sampling, self.end_token_ids, streams=one) for one in (streams, True)]
        places = [(prompt, index) for prompt in range(len(prompts)) for index in range(drawn_count)]
        drawn = await together(
            # The first one streams, to tell when the call has begun.
            [
                self._complete(prompts[prompt], prompt, index, parameters[(prompt, index) == (0, 0)].clone())
                for prompt, index in places
            ]
        )
        completions = dict(zip(places, drawn, strict=True))
        for prompt in range(len(prompts)):
            for index in range(drawn_count, sample_count):
                completions[prompt, index] = completions[prompt, index % drawn_count]
                self.listening.end(prompt, index, completions[prompt, index])
        return [[completions[prompt, index] for index in range(sample_count)] for prompt in range(len(prompts))]

    async def _complete(self, prompt: Prompt, position: int, sample_index: int, parameters: Any) -> SampledCompletion:
        parameters.seed = row_seed(self.sampling.seed, prompt.prompt_id, sample_index)

        def tell(token_ids: Sequence[int], logprobs: Sequence[float]) -> None:
            for token_id, logprob in zip(token_ids, logprobs, strict=True):
                self.listening.token(position, sample_index, token_id, logprob)

        # The log-probabilities of answers of a given shape are known at their end only.
        hears = tell if self.listening.active and self.sampling.answer_format is None else None
        begun = self.listening.caller.begun if (position, sample_index) == (0, 0) else None
        row = await sample(self.llm, self.request_id(), prompt.token_ids, parameters, self.stop, hears, begun)
        completion = self._completion(row)
        if self.sampling.answer_format is not None:
            completion = await self._scored(prompt, completion)
        self.listening.end(position, sample_index, completion)
        self.call.count -= 1
        return completion

    def _completion(self, row: SampledRow) -> SampledCompletion:
        ended = bool(row.token_ids) and row.token_ids[-1] in self.end_token_ids
        answer = row.token_ids[:-1] if ended else row.token_ids
        cut = self.stop.cut(answer)
        length, text = cut or (len(row.token_ids), self.stop.text_of(answer))
        return SampledCompletion(
            tuple(row.token_ids[:length]),
            tuple(row.logprobs[:length]),
            text,
            "stop" if cut else row.finish_reason,
            _cut_spans(row.spans, length),
        )

    async def _scored(self, prompt: Prompt, completion: SampledCompletion) -> SampledCompletion:
        """Return the completion with log-probabilities of the raw policy: vLLM reports those of the allowed tokens.

        No policy is loaded meanwhile: `PolicyReplacing` lets calls of this kind end first.
        """
        logprobs = await score(self.llm, self.request_id(), TokenSequence(prompt.token_ids, completion.token_ids))
        return replace(completion, logprobs=tuple(logprobs))


async def together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Return what all of them return; once one fails the others are cancelled and its error is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _cut_spans(spans: Sequence[PolicySpan], length: int) -> tuple[PolicySpan, ...]:
    """Return the spans of the first `length` tokens."""
    cut = []
    for span in spans:
        if length > 0:
            cut.append(PolicySpan(span.policy_version, min(span.token_count, length)))
        length -= span.token_count
    return tuple(cut)
