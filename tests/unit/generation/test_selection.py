import pytest

from pinetune.client.rollout import Grade, GradeError
from pinetune.generation.selection import Selected, best_of, majority_vote

FAILED = Grade(error=GradeError("INVALID_VARIABLE", "item.answer is not there", retryable=False), extracted_answer="9")


def voted(answer: str) -> Grade:
    return Grade(score=0.0, extracted_answer=answer)


def test_the_commonest_answer_wins_and_the_first_sample_stands_for_it() -> None:
    grades = [voted("4"), voted("7"), voted("7"), voted(""), FAILED]
    assert majority_vote(grades) == Selected((1 / 3, 2 / 3, 2 / 3, 0.0, 0.0), 1)


def test_of_equally_common_answers_the_one_sampled_first_wins() -> None:
    assert majority_vote([voted("b"), voted("a"), voted("a"), voted("b")]).index == 0


def test_the_best_score_wins_and_of_equals_the_first() -> None:
    grades = [Grade(score=0.2), Grade(score=0.9), FAILED, Grade(score=0.9)]
    assert best_of(grades) == Selected((0.2, 0.9, 0.0, 0.9), 1)


def test_a_sample_that_could_not_be_graded_never_wins() -> None:
    assert best_of([FAILED, Grade(score=-2.0)]).index == 1
    assert majority_vote([FAILED, voted("4")]).index == 1


@pytest.mark.parametrize("choose", [majority_vote, best_of])
def test_where_nothing_can_be_chosen_nothing_is(choose: object) -> None:
    assert callable(choose)
    assert choose([FAILED, FAILED]) == Selected((0.0, 0.0), None)
