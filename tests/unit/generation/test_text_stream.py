from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.generation.tiny_models import make_tokenizer

from pinetune.generation.stop_strings import StopStrings
from pinetune.generation.text_stream import TextStream
from pinetune.generation.tokenisation import Tokenisation

TOKENISATION = Tokenisation(make_tokenizer(), "model")
TOKEN_IDS = st.lists(st.integers(6, 319), min_size=1, max_size=60)

STOPS = st.lists(st.sampled_from(["e", "he", "ap", "\n", "é", " m"]), max_size=3)


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
