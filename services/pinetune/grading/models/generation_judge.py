"""A judge behind pinetune's own generation service.

Its engines do not hold an answer to a schema in this release (RESPONSE_FORMAT_UNSUPPORTED), so the schema is asked for
in words at the end of the prompt, and the answer is the last JSON object with a `result` that the model writes.
"""

import json
from collections.abc import Mapping

from pydantic import JsonValue

from pinetune.client.generation import GenerationClient
from pinetune.client.prompts import Message, Prompt, Sampling
from pinetune.client.rollout import Completion, FinishReason
from pinetune.grading.models.attempts import Answered, AttemptError, Usage
from pinetune.grading.models.judge_question import JudgeQuestion
from pinetune.grading.models.judge_reply import last_answer, read_answer, schema_of
from pinetune.grading.models.settings import ModelSettings
from pinetune.pod.channel import connect
from pinetune.pod.errors import Broken, Busy, Cancelled, PinetuneError, TimedOut, Transient
from pinetune.pod.tls import ClientTls

INSTRUCTION = "Answer with one JSON object and nothing else. It follows this JSON Schema:\n"
DEFAULTS = Sampling(temperature=0.0, max_tokens=1024)
"""What a grader leaves out: a judge that says the same each time, and has room for its steps."""


class GenerationJudge:
    """Asks the model of one generation service."""

    def __init__(self, name: str, settings: ModelSettings) -> None:
        self._name = name
        scheme, _, address = settings.base_url.partition("://")
        self._channel = connect(address, tls=ClientTls() if scheme == "grpcs" else None)
        self._client = GenerationClient(self._channel)

    def refuses(self, sampling: Mapping[str, JsonValue]) -> str:
        """Refuse reasoning_effort, which the service's engines do not know."""
        return "reasoning_effort" if "reasoning_effort" in sampling else ""

    def ask(self, question: JudgeQuestion, seconds: float) -> Answered[float | str]:
        """Ask once, within `seconds`; raises AttemptError."""
        prompt = Prompt(prompt_id="judge", messages=_messages(question))
        try:
            groups = self._client.generate([prompt], _sampling(question.sampling), deadline_seconds=seconds)
        except PinetuneError as error:
            raise self._failure(error) from error
        completion = groups[0][0]
        usage = Usage(len(completion.prompt_token_ids), len(completion.token_ids))
        try:
            return Answered(self._read(completion, question), usage)
        except ValueError as error:
            raise AttemptError("MODEL_PARSE", f"model {self._name}: {error}", retryable=True, usage=usage) from error

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _read(self, completion: Completion, question: JudgeQuestion) -> float | str:
        if completion.finish_reason is not FinishReason.STOP:
            limit = _sampling(question.sampling).max_tokens
            raise ValueError(f"its answer was cut off ({completion.finish_reason}); max_completions_tokens is {limit}")
        return read_answer(last_answer(completion.final_answer), question.verdict)

    def _failure(self, error: PinetuneError) -> AttemptError:
        return AttemptError(
            "MODEL_SERVER",
            f"model {self._name}: {error.message[:300]}",
            retryable=isinstance(error, Transient | TimedOut | Broken | Cancelled),
            server_alive=isinstance(error, Busy) or not isinstance(error, Transient | TimedOut | Broken),
            timed_out=isinstance(error, TimedOut),
            retry_after_seconds=error.retry_after_seconds,
        )


def _messages(question: JudgeQuestion) -> tuple[Message, ...]:
    """Return the prompt with the instruction at its end; joined to a last user's turn, as chat templates want turns."""
    instruction = INSTRUCTION + json.dumps(schema_of(question.verdict))
    messages = [Message(role=message["role"], content=message["content"]) for message in question.messages]
    if messages[-1].role == "user":
        instruction = f"{messages.pop().content}\n\n{instruction}"
    return (*messages, Message(role="user", content=instruction))


def _sampling(wanted: Mapping[str, JsonValue]) -> Sampling:
    def number(name: str, default: float) -> float:
        value = wanted.get(name)
        return value if isinstance(value, int | float) else default

    return Sampling(
        temperature=number("temperature", DEFAULTS.temperature),
        top_p=number("top_p", DEFAULTS.top_p),
        max_tokens=int(number("max_completions_tokens", DEFAULTS.max_tokens)),
        seed=int(number("seed", DEFAULTS.seed)),
    )
