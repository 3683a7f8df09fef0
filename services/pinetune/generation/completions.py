"""From the tokens of a row to a completion: its text, cut before a stop string, and which policy wrote what."""

from collections.abc import Sequence

from pinetune.generation.decoding import SampledRow
from pinetune.generation.samples import PolicySpan, SampledCompletion
from pinetune.generation.stop_strings import StopStrings


def completion_of(row: SampledRow, stop: StopStrings) -> SampledCompletion:
    """Return what a row sampled; ids end with the token that completed a stop string, the text before that string."""
    answer = row.token_ids[:-1] if row.ended else row.token_ids
    cut = stop.cut(answer)
    length, text = cut or (len(row.token_ids), stop.text_of(answer))
    return SampledCompletion(
        tuple(row.token_ids[:length]),
        tuple(row.logprobs[:length]),
        text,
        "stop" if row.ended or cut else "length",
        _spans(row.versions, length),
    )


def _spans(versions: Sequence[tuple[int, int]], token_count: int) -> tuple[PolicySpan, ...]:
    """Return which version wrote which of `token_count` tokens, from where each of them began."""
    stops = [*(start for start, _ in versions[1:]), token_count]
    return tuple(
        PolicySpan(version, min(stop, token_count) - start)
        for (start, version), stop in zip(versions, stops, strict=True)
        if start < token_count
    )
