"""How several samples become one answer at serving time: a vote, or the best by a grader.

The grading service is asked once for all samples of a call. A sample that it cannot grade never wins and has no vote;
of equals the one sampled first wins. Majority voting over sampled chains of thought: Wang et al. 2023, Self-Consistency
(arXiv:2203.11171), section 2; best of n by a scorer: Cobbe et al. 2021 (arXiv:2110.14168), section 4.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pinetune.client.grader_view import samples_json
from pinetune.client.grading import GradingClient
from pinetune.client.rollout import Completion, Grade
from pinetune.pod.errors import Conflict, InvalidInput, Unsupported

Rule = Literal["majority_vote", "best_of"]


@dataclass(frozen=True)
class Selected:
    """The answer of one prompt."""

    weights: tuple[float, ...]
    """For each sample the share of votes for its answer, or its score; 0 where it could not be graded."""
    index: int | None
    """The sample that stands for all; None where none could be graded, or none has an answer to vote for."""


class Selector:
    """Selects by a grading service."""

    def __init__(self, grading: GradingClient | None) -> None:
        self._grading = grading

    def select(self, rule: Rule, grader_json: str, groups: Sequence[Sequence[Completion]]) -> list[Selected]:
        """Return the selection among the samples of each prompt.

        Raises Unsupported where no grading service is known, InvalidInput for a grader that is none, Conflict
        NOTHING_GRADED where not one sample of the call could be graded.
        """
        if self._grading is None:
            raise Unsupported(
                "selection: this service knows no grading service; set PINETUNE_GENERATION_GRADING_ADDRESS",
                reason="SELECTION_UNSUPPORTED",
            )
        if not grader_json:
            raise InvalidInput(
                "selection.grader_json is required: the grader that scores samples or finds their answers",
                reason="FIELD_REQUIRED",
                field="selection.grader_json",
            )
        samples = [completion for group in groups for completion in group]
        graded = self._grading.grade(
            grader_json,
            # What is served has no item; a grader that needs one says so in its error.
            items_json=["{}"],
            output_texts=[sample.final_answer for sample in samples],
            item_indexes=[0] * len(samples),
            finish_reasons=[sample.finish_reason for sample in samples],
            samples_json=samples_json(_read(grader_json), samples),
        )
        _refuse_nothing_graded(graded.grades)
        grades = iter(graded.grades)
        choose = majority_vote if rule == "majority_vote" else best_of
        return [choose([next(grades) for _ in group]) for group in groups]


def _read(grader_json: str) -> object:
    """Return the grader; None where it is no JSON, of which the grading service says more."""
    try:
        return json.loads(grader_json)
    except ValueError:
        return None


def majority_vote(grades: Sequence[Grade]) -> Selected:
    """Return the first of those samples whose extracted answer is the commonest."""
    answers = [grade.extracted_answer if grade.score is not None else "" for grade in grades]
    votes = Counter(answer for answer in answers if answer)
    if not votes:
        return Selected((0.0,) * len(grades), None)
    # Counter keeps the order of first sight, and most_common is stable.
    winner = votes.most_common(1)[0][0]
    weights = tuple(votes[answer] / votes.total() if answer else 0.0 for answer in answers)
    return Selected(weights, answers.index(winner))


def best_of(grades: Sequence[Grade]) -> Selected:
    """Return the sample with the best score."""
    scored = [(grade.score, -index) for index, grade in enumerate(grades) if grade.score is not None]
    weights = tuple(0.0 if grade.score is None else grade.score for grade in grades)
    return Selected(weights, -max(scored)[1] if scored else None)


def _refuse_nothing_graded(grades: Sequence[Grade]) -> None:
    errors = [grade.error for grade in grades if grade.error is not None]
    if len(errors) == len(grades):
        detail, count = Counter(f"{error.error_class}: {error.detail}" for error in errors).most_common(1)[0]
        raise Conflict(
            f"selection: none of {len(grades)} samples could be graded; {count}x {detail}. A grader for selection may "
            "not need an item",
            reason="NOTHING_GRADED",
            field="selection.grader_json",
        )
