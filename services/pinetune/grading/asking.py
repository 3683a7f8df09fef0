"""What the core cannot grade by itself: user's Python, judge models, embeddings, graders that run elsewhere.

The core checks such a grader, renders what to ask of each sample and takes the answers in as it takes the grades of
its own parts; the asking itself is done by one `Asker` a kind. What the core asks, by kind (`Questions.bodies`, JSON):

    python, remote            {"item": {…}, "sample": {"output_text": …, …}}
    score_model, label_model  [{"role": …, "content": …}, …]   the messages with their templates filled
    text_similarity (cosine)  [input, reference]               the two texts
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import JsonValue

from pinetune.client.rollout import Grade


@dataclass(frozen=True)
class Questions:
    """What one part of a grader asks about the samples of a batch."""

    kind: str
    """Kind of the part, as `type` spells it."""
    part: str
    """Name of the part in its multi grader; empty for a grader that is no multi."""
    grader: Mapping[str, JsonValue]
    """The part's own spec, every default written out."""
    bodies: Sequence[str]
    """[N] JSON text of each question."""
    fresh: bool = False
    """True where answers that were kept from earlier calls do not count."""


@dataclass(frozen=True)
class Answers:
    """The answers to one part's questions."""

    grades: Sequence[Grade]
    """[N] in the order of the questions. What was not answered in time is a grade with the error DEADLINE."""
    judge_tokens: Mapping[str, int] = field(default_factory=dict)
    """Tokens that judge models used, by model."""


class Asker(Protocol):
    """Answers the questions of one kind of grader. Used by many threads at once."""

    def check(self, grader: Mapping[str, JsonValue]) -> None:
        """Raise InvalidInput where this service cannot run a grader, with reason, and field inside the grader."""

    def ask(self, questions: Questions, *, deadline: float, cancelled: threading.Event) -> Answers:
        """Answer every question by `deadline`, on the clock of `time.monotonic`; a failure is a grade's error.

        Once `cancelled` is set nobody waits for the answers any more: what is not asked yet need not be. Raises
        InvalidInput as `check` does, of what can be seen without asking.
        """

    def close(self) -> None:
        """End processes and connections; questions that are under way fail."""
