"""Has the questions of a batch answered: all parts at once, each by the asker of its kind."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from pydantic import JsonValue

from pinetune.client.grader_kinds import KINDS_THAT_ASK, kind_of, parts_of
from pinetune.client.rollout import Grade, GradeError
from pinetune.grading import metrics
from pinetune.grading.asking import Answers, Asker, Questions
from pinetune.pod.errors import InvalidInput, PinetuneError

LONGEST_SECONDS = 3600.0
"""How long a batch may be asked about where its caller names no deadline."""
REPLY_SECONDS = 0.5
"""What is left of a caller's deadline for grading with the answers and sending them."""


class Askers:
    """The kinds of graders that this service has somebody to ask for."""

    def __init__(self, askers: Mapping[str, Asker]) -> None:
        """Take one asker a kind: python, score_model, label_model, remote and cosine."""
        self._askers = dict(askers)

    def check(self, grader: Mapping[str, JsonValue]) -> None:
        """Raise InvalidInput where this service cannot run a grader or one of its parts; the field says which."""
        for path, part in parts_of(grader):
            kind = kind_of(part)
            if kind in KINDS_THAT_ASK:
                self._check_part(path, kind, part)

    def _check_part(self, path: str, kind: str, part: Mapping[str, JsonValue]) -> None:
        try:
            self._asker(kind).check(part)
        except InvalidInput as error:
            field = f"{path}{error.metadata.get('field', 'type')}"
            detail = error.metadata.get("detail", error.message)
            raise InvalidInput(f"{field}: {detail}", reason=error.reason, field=field, detail=detail) from error

    def answer(self, parts: Sequence[Questions], *, seconds: float | None) -> list[Answers]:
        """Answer the questions of every part within `seconds`, or within an hour; a failure is a grade's error.

        Raises InvalidInput where this service cannot run the grader.
        """
        deadline = time.monotonic() + min(LONGEST_SECONDS, seconds or LONGEST_SECONDS) - REPLY_SECONDS
        for part in parts:
            path = f"graders.{part.part}." if part.part else ""
            self._check_part(path, kind_of(part.grader), part.grader)
        if len(parts) == 1:
            return [self._answer_part(parts[0], deadline)]
        with ThreadPoolExecutor(max_workers=len(parts), thread_name_prefix="ask") as pool:
            # The copied contexts carry the trace and the hops of the call that asks.
            calls = [pool.submit(copy_context().run, self._answer_part, part, deadline) for part in parts]
            return [call.result() for call in calls]

    def _answer_part(self, part: Questions, deadline: float) -> Answers:
        kind, count = kind_of(part.grader), len(part.bodies)
        metrics.QUESTIONS_IN_FLIGHT.labels(kind).inc(count)
        try:
            answers = self._asker(kind).ask(part, deadline=deadline)
        except PinetuneError as error:
            failed = Grade(error=GradeError("OTHER", f"{part.kind}: {error.message}", retryable=True))
            return Answers([failed] * count)
        finally:
            metrics.QUESTIONS_IN_FLIGHT.labels(kind).dec(count)
        if len(answers.grades) != count:
            raise AssertionError(f"{count} questions were asked and {len(answers.grades)} answers came")
        return answers

    def _asker(self, kind: str) -> Asker:
        if kind not in self._askers:
            raise InvalidInput(
                f"this service has nobody to ask for graders of kind {kind}",
                reason="GRADER_KIND_UNAVAILABLE",
                field="type",
            )
        return self._askers[kind]

    def close(self) -> None:
        """End what the askers hold."""
        for asker in self._askers.values():
            asker.close()
