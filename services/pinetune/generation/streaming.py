"""One completion token by token: the engine samples in a thread of its own, and the caller's thread tells what is new.

What waits to be told is bounded by the completion's own length. A reader who is slow gets fewer and longer messages,
and holds nobody up.
"""

import contextvars
import threading
from collections.abc import Callable, Iterator
from itertools import groupby
from queue import Empty, SimpleQueue

from pinetune.api.generation.v1 import generation_pb2 as wire
from pinetune.generation.answers import FINISH_REASONS, call_messages, completions_message
from pinetune.generation.engine import Caller, Engine, Sampled
from pinetune.generation.samples import Prompt, SampledTokens, SamplingParams
from pinetune.generation.text_stream import TextStream

Heard = SampledTokens | Sampled | BaseException
"""What comes from the engine: tokens, and last the outcome or the error."""


class CompletionStream:
    """The stream of one call."""

    def __init__(self, engine: Engine, prompt: Prompt, sampling: SamplingParams) -> None:
        self._engine, self._prompt, self._sampling = engine, prompt, sampling
        self._heard: SimpleQueue[Heard] = SimpleQueue()
        self._text = TextStream(engine.text, sampling.stop)
        self._parts = prompt.reading.reader()

    def run(
        self, waits: Callable[[], bool], min_policy_version: int, begun: Callable[[], None]
    ) -> Iterator[wire.StreamGenerateResponse | Sampled]:
        """Yield messages as tokens come, and last the outcome, whose message `last_message` makes.

        Raises what the engine raises.
        """
        caller = Caller(waits, min_policy_version, begun=begun, hears=self._heard.put)
        # The copied context carries the trace of the call.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._sample, caller), name="stream", daemon=True).start()
        while True:
            heard = [self._heard.get(), *self._waiting()]
            yield from self._messages([one for one in heard if isinstance(one, SampledTokens)])
            if isinstance(heard[-1], BaseException):
                raise heard[-1]
            if isinstance(heard[-1], Sampled):
                yield heard[-1]
                return

    def last_message(self, sampled: Sampled) -> wire.StreamGenerateResponse:
        """Return the message that ends the stream: the rest of the text, and the whole completion."""
        (completion,) = sampled.groups[0]
        answer = completions_message(self._prompt, [completion])
        answer.completions[0].prompt_token_ids.extend(answer.prompt_token_ids)
        text = self._text.finish(completion.text)
        message = wire.StreamGenerateResponse(
            text_delta=text,
            policy_version=completion.spans[-1].policy_version,
            finish_reason=FINISH_REASONS[completion.finish_reason],
            completion=answer.completions[0],
        )
        # What comes with the last text, and what was held back.
        deltas = (self._parts.push(text), self._parts.finish())
        message.reasoning_delta = "".join(delta.reasoning for delta in deltas)
        message.content_delta = "".join(delta.content for delta in deltas)
        message.tool_calls.extend(call_messages(call for delta in deltas for call in delta.tool_calls))
        return message

    def _sample(self, caller: Caller) -> None:
        try:
            self._heard.put(self._engine.generate([self._prompt], 1, self._sampling, caller))
        except BaseException as error:
            self._heard.put(error)

    def _waiting(self) -> Iterator[Heard]:
        """Yield what has come meanwhile, without waiting for more."""
        while True:
            try:
                yield self._heard.get_nowait()
            except Empty:
                return

    def _messages(self, heard: list[SampledTokens]) -> Iterator[wire.StreamGenerateResponse]:
        for version, parts in groupby(heard, key=lambda part: part.policy_version):
            together = list(parts)
            token_ids = [token_id for part in together for token_id in part.token_ids]
            # The last tokens may be cut by a stop string; their text comes with the whole completion.
            text = self._text.push([token_id for part in together if not part.ended for token_id in part.token_ids])
            delta = self._parts.push(text)
            yield wire.StreamGenerateResponse(
                text_delta=text,
                reasoning_delta=delta.reasoning,
                content_delta=delta.content,
                tool_calls=call_messages(delta.tool_calls),
                token_ids=token_ids,
                logprobs=[logprob for part in together for logprob in part.logprobs],
                policy_version=version,
            )
