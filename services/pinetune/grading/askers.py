"""Has the questions of a batch answered: all parts at once, each by the asker of its kind."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
                with _placed(path):
                    self._asker(kind).check(part)

    def answer(self, parts: Sequence[Questions], *, seconds: float | None, cancelled: threading.Event) -> list[Answers]:
        """Answer the questions of every part within `seconds`, or within an hour; a failure is a grade's error.

        Once `cancelled` is set nobody waits any more. Raises InvalidInput where this service cannot run the grader.
        """
        seconds = LONGEST_SECONDS if seconds is None else min(seconds, LONGEST_SECONDS)
        deadline = time.monotonic() + seconds - REPLY_SECONDS
        if len(parts) == 1:
            return [self._answer_part(parts[0], deadline, cancelled)]
        with ThreadPoolExecutor(max_workers=len(parts), thread_name_prefix="ask") as pool:
            # The copied contexts carry the trace and the hops of the call that asks.
            calls = [pool.submit(copy_context().run, self._answer_part, part, deadline, cancelled) for part in parts]
            return [call.result() for call in calls]

    def _answer_part(self, part: Questions, deadline: float, cancelled: threading.Event) -> Answers:
        kind, count = kind_of(part.grader), len(part.bodies)
        metrics.QUESTIONS_IN_FLIGHT.labels(kind).inc(count)
        try:
            with _placed(f"graders.{part.part}." if part.part else ""):
                answers = self._asker(kind).ask(part, deadline=deadline, cancelled=cancelled)
        except InvalidInput:
            raise
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


@contextmanager
def _placed(path: str) -> Iterator[None]:
    """Put the path of the part before the field that an asker's refusal names."""
    try:
        yield
    except InvalidInput as error:
        field = f"{path}{error.metadata.get('field', 'type')}"
        detail = error.metadata.get("detail", error.message)
        raise InvalidInput(f"{field}: {detail}", reason=error.reason, field=field, detail=detail) from error
