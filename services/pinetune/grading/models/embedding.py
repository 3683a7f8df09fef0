"""The asker of `text_similarity` by cosine: two texts to two vectors of the configured model, and the cosine of these.

The score is the cosine, and 0 where it is negative: texts that point apart are no more alike than unrelated ones, and
a score below 0 would be the only one of its kind. An empty text has no vector; it scores 0, and as a reference it is an
INVALID_REFERENCE, as it is for the metrics that count words.
"""

import hashlib
import json
import math
import operator
import threading
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from pinetune.client.rollout import Grade, GradeError
from pinetune.grading import metrics
from pinetune.grading.asking import Answers, Questions
from pinetune.grading.config import GradingSettings
from pinetune.grading.models.answer_cache import AnswerCache
from pinetune.grading.models.asked_model import AskedModel
from pinetune.grading.models.attempts import Answered, AttemptError
from pinetune.grading.models.flight import Flight
from pinetune.grading.models.judge import breaker, call_name, patience
from pinetune.grading.models.openai_server import OpenaiServer, read_usage
from pinetune.grading.refusals import refusal
from pinetune.pod.errors import InvalidInput

PATH = "/embeddings"
TEXTS_PER_REQUEST = 64
PROBE = "word"
"""A text that every embedding model takes."""
Vectors = Sequence["array[float]"]
"""Vectors of length 1, as doubles: lists of floats would take four times the memory."""


@dataclass(frozen=True)
class _Call:
    """Who waits for embeddings, and for how long."""

    deadline: float
    cancelled: threading.Event
    anew_for: bytes
    """Its name where it has texts asked for anew; empty where kept embeddings will do."""


class EmbeddingAsker:
    """Asks the one embedding model of this service."""

    def __init__(self, settings: GradingSettings) -> None:
        self._server: OpenaiServer | None = None
        self._lock = threading.Lock()
        if (model := settings.embedding_model) is None:
            return
        if model.is_generation_service or not model.model:
            raise InvalidInput(
                "embedding_model: needs the http(s) base_url of an openai-compatible server, and model, its name there",
                reason="INVALID_SETTINGS",
                field="embedding_model",
            )
        self._server = OpenaiServer(model.model, model)
        self._model: AskedModel[Vectors] = AskedModel(model.model, model, patience(settings), breaker(settings))
        self._cache: AnswerCache[array[float]] = AnswerCache(model.cache_entries)

    def check(self, grader: Mapping[str, JsonValue]) -> None:
        """Raise InvalidInput where no embedding model is configured."""
        if self._server is None:
            detail = (
                "cosine needs an embedding model and this service has none; one is set by the table "
                "[grading.embedding_model] of the settings file, or by PINETUNE_GRADING_EMBEDDING_MODEL"
            )
            raise refusal("evaluation_metric", detail, reason="EMBEDDING_MODEL_UNSET")

    def ask(self, questions: Questions, *, deadline: float, cancelled: threading.Event) -> Answers:
        """Compare every pair of texts by `deadline`; a failure is a grade's error."""
        self.check(questions.grader)
        pairs: list[tuple[str, str]] = [tuple(json.loads(body)) for body in questions.bodies]
        complete = [pair for pair in pairs if pair[0].strip() and pair[1].strip()]
        call = _Call(deadline, cancelled, call_name(questions))
        found, token_count = self._embed({text for pair in complete for text in pair}, call)
        grades = [_grade(found, text, reference) for text, reference in pairs]
        return Answers(grades, {self._model.name: token_count} if token_count else {})

    def close(self) -> None:
        """Close the connections; questions that are under way fail."""
        if self._server is not None:
            self._model.close()
            self._server.close()

    def _embed(self, texts: Iterable[str], call: "_Call") -> "tuple[dict[str, array[float] | AttemptError], int]":
        """Return the vector of each text or why there is none, and the tokens that this took."""
        found: dict[str, array[float] | AttemptError] = {}
        if not call.anew_for:
            found.update(self._kept(texts))
        missing = sorted(text for text in texts if text not in found)
        parts = [missing[start : start + TEXTS_PER_REQUEST] for start in range(0, len(missing), TEXTS_PER_REQUEST)]
        token_count = 0
        halves_help: bool | None = None
        while parts:
            outcomes, used = self._outcomes(parts, call)
            token_count += used
            faulty = [part for part, outcome in zip(parts, outcomes, strict=True) if _is_divisible(part, outcome)]
            if faulty and halves_help is None:
                halves_help, used = self._takes_a_word(call)
                token_count += used
            asked, parts = parts, []
            for part, outcome in zip(asked, outcomes, strict=True):
                if not isinstance(outcome, AttemptError):
                    found.update(zip(part, outcome, strict=True))
                elif halves_help and _is_divisible(part, outcome):
                    # One text that the server does not take must not fail its neighbours.
                    parts += [part[: len(part) // 2], part[len(part) // 2 :]]
                else:
                    found.update(dict.fromkeys(part, outcome))
        if not call.anew_for:
            self._keep(found, missing)
        return found, token_count

    def _outcomes(self, parts: Sequence[Sequence[str]], call: "_Call") -> tuple[list[Vectors | AttemptError], int]:
        """Return what came of each part's request, and the tokens that this took."""
        flights = [self._submit(part, call) for part in parts]
        outcomes = self._model.outcomes(flights, deadline=call.deadline, cancelled=call.cancelled)
        return outcomes, sum(flight.take_tokens() for flight in flights)

    def _takes_a_word(self, call: "_Call") -> tuple[bool, int]:
        """Say whether the server takes a plain word, and the tokens that this took.

        One that does not, e.g. since it does not know the model, is not asked about hundreds of texts one by one.
        """
        (outcome,), token_count = self._outcomes([[PROBE]], call)
        return not (isinstance(outcome, AttemptError) and outcome.input_fault), token_count

    def _kept(self, texts: Iterable[str]) -> "Iterator[tuple[str, array[float]]]":
        with self._lock:
            for text in sorted(texts):
                if (vector := self._cache.get(_key([text]))) is not None:
                    metrics.MODEL_CACHE_HITS.labels(self._model.name).inc()
                    yield text, vector

    def _keep(self, found: "Mapping[str, array[float] | AttemptError]", texts: Sequence[str]) -> None:
        with self._lock:
            for text in texts:
                if not isinstance(outcome := found[text], AttemptError):
                    self._cache.put(_key([text]), outcome)

    def _submit(self, texts: Sequence[str], call: "_Call") -> Flight[Vectors]:
        return self._model.submit(
            _key(texts),
            lambda seconds: self._ask(texts, seconds),
            deadline=call.deadline,
            keep=False,
            anew_for=call.anew_for,
        )

    def _ask(self, texts: Sequence[str], seconds: float) -> Answered[Vectors]:
        assert self._server is not None
        reply = self._server.post(PATH, request(self._server.model, texts), seconds)
        usage = read_usage(reply)
        try:
            return Answered(_vectors(reply, len(texts)), usage)
        except ValueError as error:
            detail = f"model {self._server.model}: {error}"
            raise AttemptError("MODEL_PARSE", detail, retryable=True, usage=usage) from error


def request(model: str, texts: Sequence[str]) -> dict[str, JsonValue]:
    """Return the body of a request for the vectors of `texts`."""
    return {"model": model, "input": list(texts), "encoding_format": "float"}


def cosine(left: "array[float]", right: "array[float]") -> float:
    """Return the cosine of two vectors of length 1; rounding does not take it beyond -1 and 1."""
    product: float = sum(map(operator.mul, left, right))
    return min(1.0, max(-1.0, product))


def _is_divisible(texts: Sequence[str], outcome: Vectors | AttemptError) -> bool:
    """Say whether a request failed for its texts, which may have been just one of them."""
    return isinstance(outcome, AttemptError) and outcome.input_fault and len(texts) > 1


def _grade(found: "Mapping[str, array[float] | AttemptError]", text: str, reference: str) -> Grade:
    if not reference.strip():
        return Grade(error=GradeError("INVALID_REFERENCE", "the reference is empty; it has no embedding"))
    if not text.strip():
        return Grade(score=0.0)
    left, right = found[text], found[reference]
    if isinstance(right, AttemptError):
        return Grade(error=right.grade_error)
    if isinstance(left, AttemptError):
        return Grade(error=left.grade_error)
    if len(left) != len(right):
        detail = f"the model's embeddings have {len(left)} and {len(right)} numbers, which cannot be compared"
        return Grade(error=GradeError("MODEL_PARSE", detail))
    return Grade(score=max(0.0, cosine(left, right)))


def _key(texts: Sequence[str]) -> bytes:
    return hashlib.sha256(json.dumps(list(texts)).encode()).digest()


def _vectors(reply: Mapping[str, JsonValue], count: int) -> Vectors:
    """Return the vectors of a reply in the order of the texts, each of length 1; raises ValueError with a sentence."""
    found: dict[int, array[float]] = {}
    data = reply.get("data")
    for entry in data if isinstance(data, list) else []:
        match entry:
            case {"index": int(index), "embedding": list(numbers)}:
                found[index] = _unit(numbers)
    if sorted(found) != list(range(count)):
        raise ValueError(f"{count} texts were sent and embeddings came for {sorted(found)}")
    return [found[index] for index in range(count)]


def _unit(numbers: Sequence[JsonValue]) -> "array[float]":
    vector = array("d")
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ValueError("an embedding holds what is no number")
        try:
            vector.append(number)
        except OverflowError:
            raise ValueError("an embedding holds a number that is not finite") from None
    length = math.hypot(*vector)
    if not math.isfinite(length) or length == 0.0:
        raise ValueError("an embedding is all zero or not finite")
    return array("d", [number / length for number in vector])
