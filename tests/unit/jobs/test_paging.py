"""Pages: sizes as AIP-158 has them, tokens that fit one list only."""

import pytest

from pinetune.jobs.paging import cut, page_size, position_of, token_of
from pinetune.pod.errors import InvalidInput


@pytest.mark.parametrize(("asked", "given"), [(0, 20), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)])
def test_a_page_size_is_defaulted_and_coerced(asked: int, given: int) -> None:
    assert page_size(asked) == given


def test_a_negative_page_size_is_refused() -> None:
    with pytest.raises(InvalidInput, match="page_size must be at least 0; it is -1"):
        page_size(-1)


def test_a_token_comes_back_as_its_position() -> None:
    assert position_of(token_of([7, 3], scope="a:b/c"), scope="a:b/c", length=2) == (7, 3)
    assert position_of("", scope="jobs") is None


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "ünlesbar",
        token_of([1], scope="events"),
        token_of([1, 2], scope="jobs"),
        token_of([-1], scope="jobs"),
        token_of([2**63], scope="jobs"),
    ],
)
def test_a_token_of_another_list_is_refused(token: str) -> None:
    with pytest.raises(InvalidInput, match="page_token is not one that this list gave"):
        position_of(token, scope="jobs")


def test_a_full_page_knows_whether_there_is_more() -> None:
    assert cut([1, 2, 3], 2) == ([1, 2], 2)
    assert cut([1, 2], 2) == ([1, 2], None)
