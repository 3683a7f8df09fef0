"""What rollouts say about a model."""

import pytest

from pinetune.client.rollout import Completion, FinishReason, Grade, GradeError, Purpose
from pinetune.jobs.evaluation import compare, extracts_answers, gives_ranks, majority_votes, measure
from pinetune.jobs.rollout_files import Rollout
from pinetune.pod.errors import InvalidInput


def rollout(item: str, grade: Grade, vote: int | None = None) -> Rollout:
    index = 0 if vote is None else vote + 1
    completion = Completion(f"final-{item}-{index}", index, "text", (1,), (2,), (-0.5,), FinishReason.STOP, ())
    return Rollout(item, (), "{}", completion, grade, 0, Purpose.EVALUATION)


def right(answer: str = "7") -> Grade:
    return Grade(score=1.0, extracted_answer=answer)


def wrong(answer: str = "8") -> Grade:
    return Grade(score=0.0, extracted_answer=answer)


def ranked(rank: int, listed: int = 8) -> Grade:
    return Grade(score={1: 1.0, 2: 0.7}.get(rank, 0.0), matched_rank=rank, listed_count=listed)


FAILED = Grade(error=GradeError("OTHER", "no"))


def values(rollouts: list[Rollout], *, is_ranked: bool = False) -> dict[str, tuple[float, int]]:
    return {s.name: (s.value, s.count) for s in measure(rollouts, ranked=is_ranked)}


def test_single_answers_get_accuracy_and_mean_grade() -> None:
    measured = values([rollout("a", right()), rollout("b", Grade(score=0.1)), rollout("c", wrong())])
    assert {name: count for name, (_, count) in measured.items()} == {"accuracy": 3, "mean_grade": 3}
    assert [value for value, _ in measured.values()] == pytest.approx([1 / 3, 1.1 / 3])


def test_ungraded_completions_are_in_no_statistic() -> None:
    assert values([rollout("a", right()), rollout("b", FAILED)])["accuracy"] == (1.0, 1)


def test_ranked_answers_get_top_1_top_5_and_top_max() -> None:
    measured = values(
        [rollout("a", ranked(1)), rollout("b", ranked(2)), rollout("c", ranked(7)), rollout("d", ranked(0))],
        is_ranked=True,
    )
    assert [measured[name][0] for name in ("top_1", "top_5", "top_max")] == [0.25, 0.5, 0.75]


def test_a_model_that_lists_nothing_still_gets_rank_statistics() -> None:
    assert values([rollout("a", ranked(0, listed=0))], is_ranked=True)["top_1"] == (0.0, 1)


def test_the_commonest_answer_wins_the_vote_and_the_first_of_equals() -> None:
    votes = [rollout("a", right(), 0), rollout("a", wrong("8"), 1), rollout("a", wrong("8"), 2)]
    tie = [rollout("b", right(), 0), rollout("b", wrong(), 1)]
    none = [rollout("c", Grade(score=0.0), 0)]
    assert majority_votes([*votes, *tie, *none]) == {"a": False, "b": True, "c": False}


def test_an_item_whose_votes_all_failed_is_no_wrong_answer() -> None:
    failed = [rollout("b", FAILED), rollout("b", FAILED, 0)]
    measured = values([rollout("a", right()), rollout("a", right(), 0), *failed])
    assert (measured["accuracy"], measured["majority_vote"]) == ((1.0, 1), (1.0, 1))


def test_votes_are_compared_over_the_items_that_both_voted_on() -> None:
    ours = [rollout("a", right()), rollout("a", right(), 0), rollout("b", right()), rollout("b", right(), 0)]
    theirs = [rollout("a", wrong()), rollout("a", wrong(), 0), rollout("b", wrong()), rollout("b", FAILED, 0)]
    found = {
        difference.name: (difference.count, better) for difference, better, _ in compare(ours, theirs, ranked=False)
    }
    assert (found["accuracy"], found["majority_vote"]) == ((2, 2), (1, 1))


def test_votes_do_not_count_as_measured_completions() -> None:
    measured = values([rollout("a", wrong()), rollout("a", right(), 0), rollout("a", right(), 1)])
    assert (measured["accuracy"], measured["majority_vote"]) == ((0.0, 1), (1.0, 1))


def test_a_comparison_is_paired_over_items_that_both_graded() -> None:
    ours = [rollout("a", right()), rollout("b", right()), rollout("c", FAILED), rollout("d", wrong())]
    theirs = [rollout("d", right()), rollout("a", wrong()), rollout("b", wrong()), rollout("c", right())]
    difference, better, worse = compare(ours, theirs, ranked=False)[0]
    assert (difference.name, difference.count) == ("accuracy", 3)
    assert difference.value == pytest.approx(1 / 3)
    assert (better, worse) == (2, 1)


def test_evaluations_of_different_items_are_not_compared() -> None:
    with pytest.raises(InvalidInput, match="1 and 1, 0 of them shared"):
        compare([rollout("a", right())], [rollout("b", right())], ranked=False)


def test_a_ranked_part_makes_a_composed_grader_ranked() -> None:
    assert gives_ranks({"type": "multi", "graders": {"genes": {"type": "ranked_list"}}})
    assert not gives_ranks({"type": "multi", "graders": {"number": {"type": "number"}}})


def test_a_part_in_the_shadow_makes_no_grader_ranked() -> None:
    parts = {"exact": {"type": "ranked_list"}, "number": {"type": "number"}}
    assert not gives_ranks({"type": "multi", "graders": parts, "shadow": ["exact"]})
    assert gives_ranks({"type": "multi", "graders": {**parts, "rank": {"type": "ranked_list"}}, "shadow": ["exact"]})


@pytest.mark.parametrize(
    ("grader", "extracts"),
    [
        ({"type": "number"}, True),
        ({"type": "multiple_choice"}, True),
        ({"type": "ranked_list"}, True),
        ({"type": "string_check"}, False),
        ({"type": "multi", "graders": {"a": {"type": "string_check"}, "b": {"type": "number"}}}, True),
        ({"type": "multi", "graders": [{"name": "b", "type": "number"}]}, True),
        ({"type": "multi", "graders": [{"name": "b", "type": "number"}], "shadow": ["b"]}, False),
        ({"type": "multi", "graders": {"a": {"type": "string_check"}}}, False),
        (
            {
                "type": "multi",
                "graders": {"a": {"type": "string_check"}, "b": {"type": "number"}},
                "shadow": ["b"],
            },
            False,
        ),
    ],
    ids=["number", "choice", "ranked", "string check", "part", "listed part", "listed shadow", "no part", "shadow"],
)
def test_only_some_graders_find_an_answer_to_vote_on(grader: dict[str, object], extracts: bool) -> None:
    assert extracts_answers(grader) is extracts
