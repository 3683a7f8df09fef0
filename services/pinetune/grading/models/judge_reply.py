"""What a judge must answer with, and how its answer is read: a number or a label, never a guess from words.

    {"steps": [{"description": "compare", "conclusion": "same meaning"}], "result": 0.8}

The steps come first since strict decoding keeps the schema's order: a judge that reasons does so before it decides.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue

from pinetune.client.rollout import Grade

STEP: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"description": {"type": "string"}, "conclusion": {"type": "string"}},
    "required": ["description", "conclusion"],
    "additionalProperties": False,
}
SHOWN_CHARACTERS_MAX = 200
STRAY_BRACES_MAX = 4096


class Verdict(Protocol):
    """The form of a judge's answer."""

    @property
    def name(self) -> str:
        """Return the name of the schema, as servers ask for one."""

    def result_schema(self) -> dict[str, JsonValue]:
        """Return the JSON Schema of `result`."""

    def read(self, result: JsonValue) -> float | str:
        """Return the result; raises ValueError with a sentence where it is none."""

    def grade(self, result: float | str) -> Grade:
        """Turn a result into a grade."""


@dataclass(frozen=True)
class NumberVerdict:
    """A number; what lies outside the range counts as its nearer end, as the hosted product has it."""

    lowest: float
    """Lowest score."""
    highest: float
    """Highest score."""
    name: str = "score"

    def result_schema(self) -> dict[str, JsonValue]:
        """Return the JSON Schema of `result`."""
        return {"type": "number"}

    def read(self, result: JsonValue) -> float | str:
        """Return the number; raises ValueError for what is none or is not finite."""
        if isinstance(result, bool) or not isinstance(result, int | float):
            raise ValueError(f"its result is no number but {_shown(result)}")
        try:
            number = float(result)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(f"its result {_shown(result)} is not finite")
        return number

    def grade(self, result: float | str) -> Grade:
        """Return the score, clamped to the range."""
        return Grade(score=min(max(float(result), self.lowest), self.highest))


@dataclass(frozen=True)
class LabelVerdict:
    """One of several labels; passing ones score 1, the others 0."""

    labels: tuple[str, ...]
    """All labels."""
    passing: frozenset[str]
    """Those that score 1."""
    name: str = "label"

    def result_schema(self) -> dict[str, JsonValue]:
        """Return the JSON Schema of `result`."""
        return {"type": "string", "enum": list(self.labels)}

    def read(self, result: JsonValue) -> float | str:
        """Return the label; raises ValueError for what is none of them."""
        if not isinstance(result, str) or result not in self.labels:
            raise ValueError(f"its result {_shown(result)} is none of the labels {', '.join(self.labels)}")
        return result

    def grade(self, result: float | str) -> Grade:
        """Return the score, the label beside it."""
        return Grade(score=1.0 if result in self.passing else 0.0, extracted_answer=str(result))


def verdict_of(kind: str, grader: Mapping[str, JsonValue]) -> Verdict:
    """Return the form of answer that a grader's judge gives."""
    match kind, grader:
        case "score_model", {"range": [int() | float() as lowest, int() | float() as highest]}:
            return NumberVerdict(float(lowest), float(highest))
        case "label_model", {"labels": list(labels), "passing_labels": list(passing)}:
            return LabelVerdict(tuple(map(str, labels)), frozenset(map(str, passing)))
    raise ValueError(f"{kind}: no range of two numbers, or no lists of labels; the core writes them out")


def schema_of(verdict: Verdict) -> dict[str, JsonValue]:
    """Return the JSON Schema of a judge's whole answer."""
    return {
        "type": "object",
        "properties": {"steps": {"type": "array", "items": STEP}, "result": verdict.result_schema()},
        "required": ["steps", "result"],
        "additionalProperties": False,
    }


def read_answer(text: str, verdict: Verdict) -> float | str:
    """Return the result of an answer that is one JSON object; raises ValueError with a sentence."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"its answer is no JSON: {_shown(text)}") from None
    if not isinstance(found, dict) or "result" not in found:
        raise ValueError(f"its answer is no object with a result: {_shown(text)}")
    return verdict.read(found["result"])


def last_answer(text: str) -> str:
    """Return the last JSON object with a `result` in a text that may hold words around it; raises ValueError.

    For judges that no decoder holds to a schema. The last one, as a model that thinks aloud tries before it decides.
    """
    decoder = json.JSONDecoder()
    answer, position, stray_count = "", text.find("{"), 0
    while position >= 0:
        try:
            found, end = decoder.raw_decode(text, position)
        except ValueError:
            end, stray_count = position + 1, stray_count + 1
            # Each failure costs the length of the text; LaTeX has braces by the hundred.
            if stray_count > STRAY_BRACES_MAX:
                raise ValueError(f"its answer has too many stray braces: {_shown(text)}") from None
        except RecursionError:
            raise ValueError(f"its answer is nested too deeply: {_shown(text)}") from None
        else:
            if "result" in found:
                answer = text[position:end]
        position = text.find("{", end)
    if not answer:
        raise ValueError(f"there is no JSON object with a result in its answer: {_shown(text)}")
    return answer


def _shown(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}…"
