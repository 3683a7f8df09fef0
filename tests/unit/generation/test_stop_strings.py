import pytest
from tests.unit.generation.tiny_models import make_tokenizer

from pinetune.generation.stop_strings import StopStrings
from pinetune.generation.tokenisation import Tokenisation


@pytest.fixture(scope="module")
def tokenisation() -> Tokenisation:
    return Tokenisation(make_tokenizer())


@pytest.mark.parametrize("stop", ["apples", "les.", "3 + 4", "T"])
def test_the_fewest_ids_that_hold_a_stop_string_are_kept_and_it_is_cut_from_the_text(
    stop: str, tokenisation: Tokenisation
) -> None:
    text = "Tom has 3 + 4 = 7 apples. The answer is 7."
    ids = tokenisation.answer_ids(text)[:-1]
    strings = StopStrings(tokenisation.text, ("nowhere", stop))
    cut = strings.cut(ids)
    assert cut is not None
    length, kept = cut
    assert kept == text[: text.find(stop)]
    assert strings.found(ids[:length])
    assert not strings.found(ids[: length - 1])


def test_the_window_is_wide_enough_for_a_string_that_ends_in_the_newest_token(tokenisation: Tokenisation) -> None:
    ids = tokenisation.answer_ids("A train goes 60 miles an hour for 2 hours. How far does it go?")[:-1]
    strings = StopStrings(tokenisation.text, ("2 hours",))
    first = next(count for count in range(1, len(ids)) if strings.found(ids[:count]))
    assert [count for count in range(1, first + 1) if strings.found_lately(ids[:count], 1)] == [first]


def test_without_strings_nothing_is_found(tokenisation: Tokenisation) -> None:
    strings = StopStrings(tokenisation.text, ())
    assert strings.cut(tokenisation.answer_ids("Tom")) is None
    assert not strings.found_lately([9], 1)
