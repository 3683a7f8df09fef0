"""What a text can cost at most: every kind of grader on long texts that were made to be slow.

    python -m benchmarks.grading.hostile [--mb 1 4]

Each text is a pattern over and over. Printed are seconds a MB, the worst pattern of each kind, for each length: equal
numbers in a line mean that time grows as the text does. No peer: most of them never come back.
"""

import argparse
import json
import time
from collections.abc import Mapping
from typing import Any

from pinetune.api.grading.v1 import grading_pb2 as wire
from pinetune.grading import graders

REFERENCE = {"reference": "{{item.answer}}"}
TEXT = {"input": "{{sample.output_text}}", **REFERENCE}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
KINDS: dict[str, tuple[Mapping[str, Any], str]] = {
    "string_check like": ({"type": "string_check", "operation": "ilike", **TEXT}, "answer"),
    **{
        metric: ({"type": "text_similarity", "evaluation_metric": metric, **TEXT}, "the answer is forty two")
        for metric in ("fuzzy_match", "bleu", "gleu", "meteor", "rouge_1", "rouge_l")
    },
    "number": ({"type": "number", **REFERENCE}, "42"),
    "math": ({"type": "math", **REFERENCE}, "42"),
    "multiple_choice": ({"type": "multiple_choice", **REFERENCE}, "B"),
    "ranked_list": ({"type": "ranked_list", **REFERENCE}, "NF1"),
    "json_fields": ({"type": "json_fields", "schema_json": json.dumps(SCHEMA), **REFERENCE}, '{"a": "b"}'),
    "regex": ({"type": "regex", "pattern": "(a|aa)*b", **REFERENCE}, "aab"),
    "shape": ({"type": "shape", "min_characters": 10, "max_characters": 100, "slope_characters": 10}, ""),
}
PATTERNS = (
    *("a", " ", "1", "1 ", "1,", "-", "(", "{", "[", "|x", "x^", "0<x", "$1$ ", "\\frac{", "\\boxed{", "\\sqrt{"),
    *('{"a":', "[[", '"', "\\", "- a\n", "1. a\n", "A. ", "the answer is ", "½", "Σ", "👍🏽", "\n", "B is not "),
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What a text can cost at most.")
    parser.add_argument("--mb", type=int, nargs="+", default=[1, 4], help="lengths of the texts")
    lengths = parser.parse_args().mb
    graders.use_threads(1)
    print(f"{'seconds a MB, at':24} {'':16} " + " ".join(f"{length:>5} MB" for length in lengths))
    for kind, (grader, answer) in KINDS.items():
        worst, by_length = max(
            ((pattern, [seconds(grader, answer, pattern, mb) / mb for mb in lengths]) for pattern in PATTERNS),
            key=lambda found: max(found[1]),
        )
        print(f"{kind:24} {worst!r:16} " + " ".join(f"{one:8.3f}" for one in by_length), flush=True)


def seconds(grader: Mapping[str, Any], answer: str, pattern: str, mb: int) -> float:
    """Return the processor time of grading one text of so many MB."""
    request = wire.GradeRequest(
        grader=wire.GraderSpec(json=json.dumps(grader)),
        items_json=[json.dumps({"answer": answer})],
        output_texts=[pattern * ((mb << 20) // len(pattern.encode()))],
    ).SerializeToString()
    begin = time.process_time()
    graders.grade(request)
    return time.process_time() - begin


if __name__ == "__main__":
    main()
