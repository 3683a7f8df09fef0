from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.generation.tiny_models import make_tokenizer

from pinetune.generation.stop_strings import StopStrings
from pinetune.generation.text_stream import WINDOW_TOKENS, TextStream
from pinetune.generation.tokenisation import Tokenisation

TOKENISATION = Tokenisation(make_tokenizer(), "model")
TOKEN_IDS = st.lists(st.integers(6, 319), min_size=1, max_size=60)

STOPS = st.lists(st.sampled_from(["e", "he", "ap", "\n", "é", " m"]), max_size=3)


class CountingDecoder:
    """One byte a token, and how many tokens were decoded in all."""

    def __init__(self) -> None:
        self.decoded_count = 0

    def text(self, token_ids: Sequence[int]) -> str:
        self.decoded_count += len(token_ids)
        return bytes(token_ids).decode(errors="replace")


def ids_of(text: str) -> list[int]:
    ids: list[int] = make_tokenizer().encode(text, add_special_tokens=False)
    return ids


def pieces_of(ids: list[int], stop: tuple[str, ...], sizes: list[int]) -> tuple[list[str], str]:
    """Return what is shown of a completion whose tokens come in runs of these sizes, and the completion's text."""
    cut = StopStrings(TOKENISATION.text, stop).cut(ids)
    length, text = cut or (len(ids), TOKENISATION.text(ids))
    stream, shown, place = TextStream(TOKENISATION.text, stop), [], 0
    # As an engine has it: the token that completes a stop string comes with the end.
    going_on = ids[: length - 1] if cut else ids
    for size in [*sizes, len(going_on)]:
        shown.append(stream.push(going_on[place : place + size]))
        place += size
    return [*shown, stream.finish(text)], text


@settings(deadline=None, max_examples=300)
@given(
    TOKEN_IDS,
    st.lists(st.sampled_from(["e", "he", "ap", "\n", "é", " m"]), max_size=3),
    st.lists(st.integers(1, 4), max_size=60),
)
def test_the_pieces_are_the_completions_text(ids: list[int], stop: list[str], sizes: list[int]) -> None:
    shown, text = pieces_of(ids, tuple(stop), sizes)
    assert "".join(shown) == text


def test_a_character_of_several_tokens_is_shown_whole() -> None:
    ids = ids_of("a 🌲 b")
    shown, _ = pieces_of(ids, (), [1] * len(ids))
    assert "🌲" in shown or " 🌲" in shown
    assert not any("\ufffd" in piece for piece in shown)


def test_what_may_be_a_stop_string_is_held_back_until_it_is_none() -> None:
    stream = TextStream(TOKENISATION.text, ("END",))
    first = stream.push(ids_of("So E"))
    assert first == "So "
    assert stream.push(ids_of("N")) == ""
    assert stream.push(ids_of("ter")) == "ENter"


def test_most_of_the_text_is_shown_before_the_end() -> None:
    ids = ids_of("Tom has 3 apples and buys 4 more.")
    *before, last = pieces_of(ids, ("never seen",), [1] * len(ids))[0]
    assert last == ""
    assert sum(map(bool, before)) > len(ids) / 2


GARBAGE = {
    "bytes that begin nothing": b"\xff" * 4000,
    "beginnings without an end": b"\xe2\x82" * 2000,
    "text, and behind it such bytes": b"ab" + b"\xff" * 4000,
}


@pytest.mark.parametrize("data", [*GARBAGE.values(), b"plain text " * 400], ids=[*GARBAGE, "text"])
def test_every_token_is_decoded_a_bounded_number_of_times(data: bytes) -> None:
    decoder = CountingDecoder()
    stream = TextStream(decoder.text, ())
    shown = [stream.push([byte]) for byte in data]
    assert decoder.decoded_count <= 2 * (WINDOW_TOKENS + 1) * len(data)
    assert "".join([*shown, stream.finish(data.decode(errors="replace"))]) == data.decode(errors="replace")


def test_tokens_whose_text_changes_what_was_shown_before_cost_no_more() -> None:
    class Fickle(CountingDecoder):
        """Writes all tokens in another way once there are more than four: nothing decoded then begins as it did."""

        def text(self, token_ids: Sequence[int]) -> str:
            text = super().text(token_ids)
            return text if len(token_ids) < 5 else text.upper()

    decoder = Fickle()
    stream = TextStream(decoder.text, ())
    assert "".join(stream.push([byte]) for byte in b"a" * 4000) == "aaaa"
    assert decoder.decoded_count <= 2 * (WINDOW_TOKENS + 1) * 4000


def test_text_behind_a_run_of_no_characters_is_shown_before_the_run_has_doubled() -> None:
    stream = TextStream(CountingDecoder().text, ())
    assert "".join(stream.push([0xFF]) for _ in range(1000)) == ""
    shown = "".join(stream.push([byte]) for byte in b"text" * 100)
    assert shown.startswith("\ufffd" * 1000 + "text")


def test_a_character_of_four_tokens_is_shown_with_its_last_wherever_it_stands() -> None:
    stream = TextStream(CountingDecoder().text, ())
    pushed = [[stream.push([byte]) for byte in "🌲".encode()] for _ in range(20)]
    assert pushed == [["", "", "", "🌲"]] * 20
