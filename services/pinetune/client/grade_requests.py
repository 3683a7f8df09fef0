"""Writes requests to the grading service from columns of texts, in Rust: messages in Python take eight times as long.

The one place outside the grading room that opens the core.
"""

from collections.abc import Sequence

from pinetune import _core


def encode_grade_request(
    grader: bytes,
    items_json: Sequence[str],
    output_texts: Sequence[str],
    item_indexes: Sequence[int],
    samples_json: Sequence[str] = (),
    finish_reasons: Sequence[int] = (),
) -> bytes:
    """Return the `GradeRequest` of these columns, `grader` being a `GraderSpec`, both in wire format."""
    return _core.encode_grade_request(grader, items_json, output_texts, item_indexes, samples_json, finish_reasons)
