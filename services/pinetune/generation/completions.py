"""From the tokens of a row to a completion: its text, cut before a stop string, and which policy wrote what."""

from collections.abc import Callable, Sequence

from pinetune.generation.decoding import SampledRow
from pinetune.generation.engine import PolicySpan, SampledCompletion

TextOf = Callable[[Sequence[int]], str]
"""Decodes ids, special tokens left out."""


def completion_of(row: SampledRow, stop: tuple[str, ...], text_of: TextOf) -> SampledCompletion:
    """Return what a row sampled; ids end with the token that completed a stop string, the text before that string."""
    ids, ended = row.token_ids, row.ended
    text = text_of(ids[:-1] if ended else ids)
    if any(string in text for string in stop):
        ids = ids[: _stop_length(ids, stop, text_of)]
        text = text_of(ids)
        text = text[: min(place for place in map(text.find, stop) if place >= 0)]
        ended = True
    return SampledCompletion(
        tuple(ids),
        tuple(row.logprobs[: len(ids)]),
        text,
        "stop" if ended else "length",
        _spans(row.versions, len(ids)),
    )


def _stop_length(token_ids: Sequence[int], stop: tuple[str, ...], text_of: TextOf) -> int:
    """Return the smallest number of tokens whose text contains a stop string, by halving."""
    low, high = 1, len(token_ids)
    while low < high:
        middle = (low + high) // 2
        text = text_of(token_ids[:middle])
        if any(string in text for string in stop):
            high = middle
        else:
            low = middle + 1
    return low


def _spans(versions: Sequence[tuple[int, int]], token_count: int) -> tuple[PolicySpan, ...]:
    """Return which version wrote which of `token_count` tokens, from where each of them began."""
    stops = [*(start for start, _ in versions[1:]), token_count]
    return tuple(
        PolicySpan(version, min(stop, token_count) - start)
        for (start, version), stop in zip(versions, stops, strict=True)
        if start < token_count
    )
