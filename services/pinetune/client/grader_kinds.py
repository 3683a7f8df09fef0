"""Which graders the core grades alone, and which ask somebody outside. Read from a checked grader's JSON."""

import re
from collections.abc import Iterator, Mapping

from pydantic import JsonValue

COSINE = "cosine"
KINDS_THAT_ASK = ("python", "score_model", "label_model", "remote", COSINE)
"""The kinds that ask; text similarity does by its metric `cosine` alone, which stands for it here."""

NAME = re.compile(r"[A-Za-z_]\w*")


def kind_of(grader: Mapping[str, JsonValue]) -> str:
    """Return the kind of a grader that is no multi, for text similarity by an embedding model its metric."""
    return COSINE if grader.get("evaluation_metric") == COSINE else str(grader["type"])


def asks(grader: Mapping[str, JsonValue]) -> bool:
    """Return whether somebody outside the core has to be asked for a grade."""
    return any(kind_of(part) in KINDS_THAT_ASK for _, part in parts_of(grader))


def parts_of(grader: Mapping[str, JsonValue]) -> Iterator[tuple[str, Mapping[str, JsonValue]]]:
    """Yield the parts of a multi grader, another grader as its only part; each with the path before its fields."""
    parts = grader.get("graders")
    if not isinstance(parts, Mapping):
        yield "", grader
        return
    for name, part in parts.items():
        if isinstance(part, Mapping):
            yield f"graders.{name}.", part


def graders_without_asking(grader: Mapping[str, JsonValue]) -> list[Mapping[str, JsonValue]]:
    """Return what of a grader the core can grade alone: itself, or those of its parts that ask nobody."""
    if not asks(grader):
        return [grader]
    return [part for _, part in parts_of(grader) if not asks(part)]


def idle_parts(grader: Mapping[str, JsonValue]) -> list[str]:
    """Return the parts of a multi grader that decide nothing and are not watched: in no formula, gate or shadow."""
    parts, shadow = grader.get("graders"), grader.get("shadow")
    if not isinstance(parts, Mapping):
        return []
    read = {*NAME.findall(str(grader.get("calculate_output"))), grader.get("gate")}
    return [name for name in parts if name not in read and name not in (shadow if isinstance(shadow, list) else ())]
