"""One completion or one scored sequence as a request of vLLM, and what comes back in our words."""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from vllm import SamplingParams as VllmSampling
from vllm.exceptions import VLLMValidationError
from vllm.inputs.engine import tokens_input
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

from pinetune.generation.engine import TokenSequence
from pinetune.generation.samples import AnswerFormat, FinishReason, PolicySpan, SamplingParams
from pinetune.generation.stop_strings import StopStrings
from pinetune.pod.errors import InvalidInput, Unavailable

TEMPERATURE_MIN, TEMPERATURE_MAX = 0.01, 2.0
"""vLLM raises smaller ones to the first, without an error, and refuses larger ones than the second."""
SEED_BYTES = 7  # vLLM takes seeds of 63 bits.

Tell = Callable[[Sequence[int], Sequence[float]], None]
"""Told of token ids and log-probabilities of a completion that goes on."""


class Llm(Protocol):
    """What is used of vLLM's AsyncLLM here."""

    def generate(self, prompt: Any, sampling_params: VllmSampling, request_id: str) -> AsyncIterator[RequestOutput]:
        """Sample; the last output says that it is finished."""
        ...

    async def abort(self, request_id: str) -> None:
        """End a request; its iterator then ends with a last output."""
        ...


@dataclass
class SampledRow:
    """What one request sampled."""

    token_ids: list[int] = field(default_factory=list)
    """Sampled ids, up to an end token, the token limit, or a little behind a stop string."""
    logprobs: list[float] = field(default_factory=list)
    """Their log-probabilities; under the raw policy unless the answer's shape was given."""
    finish_reason: FinishReason = "length"
    """Why it ended."""
    spans: list[PolicySpan] = field(default_factory=list)
    """Which version wrote which tokens."""


def row_seed(seed: int, prompt_id: str, sample_index: int) -> int:
    """Return the seed of one completion: a pure function of these, so that batching does not change it."""
    digest = hashlib.sha256(f"{seed}/{sample_index}/{prompt_id}".encode()).digest()
    return int.from_bytes(digest[:SEED_BYTES], "little")


def vllm_sampling(sampling: SamplingParams, end_token_ids: Sequence[int], *, streams: bool) -> VllmSampling:
    """Return the parameters of a call, without a seed. Raises InvalidInput for what vLLM would change or refuse."""
    if sampling.temperature and not TEMPERATURE_MIN <= sampling.temperature <= TEMPERATURE_MAX:
        limit = f"0 or {TEMPERATURE_MIN:g} to {TEMPERATURE_MAX:g}"
        raise InvalidInput(
            f"sampling.temperature must be {limit} with the vllm engine; it is {sampling.temperature:g}",
            reason="SAMPLING",
            field="sampling.temperature",
            limit=limit,
            given=str(sampling.temperature),
        )
    return VllmSampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_tokens=sampling.min_tokens,
        max_tokens=sampling.max_tokens,
        stop_token_ids=list(end_token_ids),
        structured_outputs=_structured(sampling.answer_format),
        logprobs=0,
        # Our own tokenizer makes the text, and finds stop strings in it.
        detokenize=False,
        output_kind=RequestOutputKind.DELTA if streams else RequestOutputKind.FINAL_ONLY,
    )


async def sample(
    llm: Llm,
    request_id: str,
    prompt_token_ids: Sequence[int],
    sampling: VllmSampling,
    stop: StopStrings,
    tell: Tell | None,
    begun: Callable[[], None] | None = None,
) -> SampledRow:
    """Sample one completion; `begun` is told of its first token where it streams.

    Raises Unavailable where vLLM ended it, InvalidInput where it refused it.
    """
    row = SampledRow()
    stopped = False
    prompt = tokens_input(list(prompt_token_ids))
    try:
        async for output in llm.generate(prompt, sampling, request_id):
            (piece,) = output.outputs
            if begun is not None and not row.token_ids:
                begun()
            new_count = len(row.token_ids)
            row.token_ids += piece.token_ids
            row.logprobs += _logprobs(piece.token_ids, piece.logprobs or ())
            if output.finished:
                _finish(row, piece, stopped=stopped)
            elif not stopped and stop.found_lately(row.token_ids, len(piece.token_ids)):
                stopped = True
                # What was sampled meanwhile still comes, and with it which policy wrote what.
                await llm.abort(request_id)
            elif not stopped and tell is not None:
                tell(row.token_ids[new_count:], row.logprobs[new_count:])
    except VLLMValidationError as error:
        raise InvalidInput(f"vLLM refuses the request: {error}", reason="REQUEST_REFUSED") from error
    return row


async def score(llm: Llm, request_id: str, sequence: TokenSequence) -> list[float]:
    """Return the raw log-probability of each scored token.

    All but the last token are a prompt, whose log-probabilities vLLM computes without its prefix cache; the last token
    is the only one that may be sampled, since a prompt as long as the model's limit would leave no room for another.
    """
    if not sequence.token_ids:
        return []
    ids = [*sequence.prompt_token_ids, *sequence.token_ids]
    sampling = VllmSampling(
        temperature=0.0,
        max_tokens=1,
        allowed_token_ids=ids[-1:],
        logprobs=0,
        prompt_logprobs=0,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
    async for output in llm.generate(tokens_input(ids[:-1]), sampling, request_id):
        if output.finished:
            read: Any = output.prompt_logprobs
            _refuse_broken_off(output.outputs[0].finish_reason)
            first = len(sequence.prompt_token_ids)
            known = [read[place][ids[place]].logprob for place in range(first, len(ids) - 1)]
            return known + _logprobs(ids[-1:], output.outputs[0].logprobs or ())
    raise Unavailable("vLLM ended a request without an answer; repeat the call", reason="ENGINE_BROKE_OFF")


def _structured(answer_format: AnswerFormat | None) -> StructuredOutputsParams | None:
    if answer_format is None:
        return None
    if answer_format.kind == "json_schema":
        return StructuredOutputsParams(json=answer_format.text, disable_any_whitespace=True)
    return StructuredOutputsParams(regex=answer_format.text)


def _logprobs(token_ids: Sequence[int], given: Any) -> list[float]:
    return [place[token].logprob for place, token in zip(given, token_ids, strict=True)]


def _finish(row: SampledRow, piece: Any, *, stopped: bool) -> None:
    if not stopped:
        _refuse_broken_off(piece.finish_reason)
    row.finish_reason = "length" if piece.finish_reason == "length" else "stop"
    row.spans = [PolicySpan(int(span.version), span.end - span.start) for span in piece.weight_versions or ()]


def _refuse_broken_off(finish_reason: str | None) -> None:
    if finish_reason not in ("stop", "length"):
        raise Unavailable(f"vLLM broke a request off ({finish_reason}); repeat the call", reason="ENGINE_BROKE_OFF")
