"""One question to a judge model, and the hash by which equal ones are known."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue

from pinetune.grading.models.attempts import Answered
from pinetune.grading.models.judge_reply import Verdict, schema_of


@dataclass(frozen=True)
class JudgeQuestion:
    """What is asked of a judge."""

    messages: Sequence[Mapping[str, str]]
    """The prompt: role and content of each message."""
    sampling: Mapping[str, JsonValue]
    """What the grader sets of seed, top_p, temperature, max_completions_tokens and reasoning_effort."""
    verdict: Verdict
    """The form of the answer."""

    def key(self) -> bytes:
        """Return the hash of all that the answer depends on, the model apart."""
        parts = [list(map(dict, self.messages)), dict(self.sampling), schema_of(self.verdict)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()


class Judge(Protocol):
    """A model that answers such questions, wherever it runs."""

    def refuses(self, sampling: Mapping[str, JsonValue]) -> str:
        """Return the name of a sampling parameter that the model cannot follow, empty for none."""

    def ask(self, question: JudgeQuestion, seconds: float) -> Answered[float | str]:
        """Ask once, within `seconds`; raises AttemptError."""

    def close(self) -> None:
        """Close the connections."""


def read_messages(body: str) -> list[dict[str, str]]:
    """Return the messages of a question as the core renders it."""
    return [{"role": message["role"], "content": message["content"]} for message in json.loads(body)]


def read_sampling(grader: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the sampling parameters that a grader sets."""
    sampling = grader.get("sampling_params")
    return {name: value for name, value in sampling.items() if value is not None} if isinstance(sampling, dict) else {}
