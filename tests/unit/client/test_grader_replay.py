"""Which groups flip when their completions are graded otherwise."""

import random

import pytest

from pinetune.client.grader_replay import Regrade, compare

Scores = list[float | None]


def group(old: Scores, new: Scores, *, step: int = 1, item: str = "a", purpose: str = "training") -> list[Regrade]:
    return [
        Regrade(f"s{step}-{item}-{index}", item, step, purpose, before, after)
        for index, (before, after) in enumerate(zip(old, new, strict=True))
    ]


@pytest.mark.parametrize(
    ("old", "new", "reasons"),
    [
        ([0, 0, 1], [0, 0, 1], ()),
        ([0, 0, 1], [0.2, 0.2, 0.9], ()),
        ([0, 0.4, 1], [0, 0.6, 1], ("sign",)),
        ([0, 1, 1], [0, 0.8, 1], ()),
        ([0, 0.1, 1], [0.1, 0, 1], ("order",)),
        ([0, 1], [1, 0], ("sign", "order")),
        ([1, 1], [1, 0], ("gained_spread",)),
        ([0, 1], [1, 1], ("lost_spread",)),
        ([0.1, 0.1, 0.1], [0.7, 0.7, 0.7], ()),
        ([0, None, 1], [0, 1, 1], ()),
        ([0, 1, None], [None, 1, 0], ()),
        ([0, 1], [None, 1], ("lost_spread",)),
        ([None, None], [None, None], ()),
    ],
    ids=[
        "the same",
        "a new scale",
        "over the mean",
        "a tie undone",
        "changed places below the mean",
        "changed places",
        "gained",
        "lost",
        "one value each, whose mean rounds",
        "a new grade",
        "another one ungraded",
        "nobody left to compare with",
        "no grades",
    ],
)
def test_a_group_flips_for_these_reasons(old: Scores, new: Scores, reasons: tuple[str, ...]) -> None:
    found = compare(group(old, new))
    assert [flip.reasons for flip in found.flips] == ([reasons] if reasons else [])
    assert (found.group_count, found.single_count) == (1, 0)


def plain_flips(old: list[float], new: list[float]) -> bool:
    """Whether a fully graded group flips, as the words have it."""
    if (len(set(old)) > 1) != (len(set(new)) > 1):
        return True

    def side(scores: list[float], index: int) -> int:
        above = scores[index] * len(scores) - sum(scores)
        return (above > 1e-6) - (above < -1e-6)

    signs = any(side(old, i) != side(new, i) for i in range(len(old)))
    places = any((old[i] - old[j]) * (new[i] - new[j]) < 0 for i in range(len(old)) for j in range(i))
    return signs or places


@pytest.mark.parametrize("seed", range(50))
def test_flips_are_those_of_a_plain_loop(seed: int) -> None:
    draw = random.Random(seed)
    old = [draw.randrange(4) / 3 for _ in range(draw.randrange(2, 6))]
    new = [draw.choice([score, draw.randrange(4) / 3]) for score in old]
    assert bool(compare(group([*old], [*new])).flips) == plain_flips(old, new)


def test_groups_are_those_of_one_item_in_one_step_and_purpose() -> None:
    regrades = [
        *group([0, 1], [1, 0], step=1),
        *group([0, 1], [0, 1], step=2),
        *group([0, 1], [1, 0], step=2, purpose="validation"),
        *group([0, 1], [0, 1], item="b"),
    ]
    found = compare(regrades)
    assert (found.completion_count, found.group_count) == (8, 4)
    assert {(flip.step, flip.purpose, flip.item_id) for flip in found.flips} == {
        (1, "training", "a"),
        (2, "validation", "a"),
    }
    assert found.reason_counts == {"sign": 2, "order": 2}


def test_single_completions_are_compared_with_the_mean_of_their_step() -> None:
    old, new = {"a": 1.0, "b": 0.0, "c": 0.0}, {"a": 1.0, "b": 1.0, "c": 0.0}
    regrades = [one for item in old for one in group([old[item]], [new[item]], item=item)]
    found = compare([*regrades, *group([0], [1], step=2, item="b")])
    assert (found.group_count, found.single_count) == (0, 4)
    (flip,) = found.flips
    assert (flip.item_id, flip.reasons) == ("b", ("sign",))
    (change,) = flip.changes
    assert change.old_advantage == pytest.approx(-1 / 3)
    assert change.new_advantage == pytest.approx(1 / 3)


def test_the_widest_swing_comes_first_in_flips_and_in_their_completions() -> None:
    found = compare([*group([0, 0.1, 0.2], [0.1, 0, 0.2], item="small"), *group([0, 0.1, 1], [1, 0, 0], item="wide")])
    assert [flip.item_id for flip in found.flips] == ["wide", "small"]
    swings = [change.swing for change in found.flips[0].changes]
    assert swings == sorted(swings, reverse=True)
    assert found.flips[0].changes[0].completion_id in ("s1-wide-0", "s1-wide-2")


def test_means_and_counts_are_over_what_each_grader_graded() -> None:
    found = compare(group([0, 1, None, 1], [1, None, None, 1]))
    assert found.old_mean == pytest.approx(2 / 3)
    assert found.new_mean == 1.0
    assert (found.old_ungraded, found.new_ungraded) == (1, 2)
    assert found.tau_b is None


def test_nothing_to_compare_has_no_means() -> None:
    found = compare([])
    assert (found.old_mean, found.new_mean, found.tau_b, found.flips) == (None, None, None, ())
