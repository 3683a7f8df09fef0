"""What rollouts say about a model: its statistics, and its difference to another, paired per item. No I/O.

A measurement samples each item once (greedily unless told otherwise), completion 0; the samples of a majority vote come
beside it, from 1 on. Single answers get accuracy (grade 1), mean grade and majority vote. Ranked answers get mean
grade, Top-1, Top-5 and Top-max: the share of items whose reference is first, among the first five, anywhere in the
list. Ungraded completions are left out of every statistic and counted apart.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from pinetune.client.rollout import Grade
from pinetune.jobs.rollout_files import Rollout
from pinetune.jobs.statistics import Statistic, mean_statistic, paired_difference
from pinetune.pod.errors import InvalidInput

RIGHT = 1.0 - 1e-9
"""A grade from here on counts as right."""
EXTRACTING = ("number", "multiple_choice", "ranked_list", "math", "json_fields", "tool_calls")
"""Types of graders that find an answer in a text, which is what a majority vote counts."""


def gives_ranks(grader: Mapping[str, object]) -> bool:
    """Return whether a grader (openai JSON) judges ranked answers: a ranked list, alone or as a part of a formula.

    A part in the shadow does not count: its rank is not the grade's.
    """
    return any(part.get("type") == "ranked_list" for part in (grader, *_shown_parts(grader)))


def extracts_answers(grader: Mapping[str, object]) -> bool:
    """Return whether a grader (openai JSON) finds the answers that a majority vote counts; a shadow's are not shown."""
    return grader.get("type") in EXTRACTING or any(map(extracts_answers, _shown_parts(grader)))


def _shown_parts(grader: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return the parts of a composed grader that are not shadows; they come by name or, as openai has it, in a list."""
    parts, shadow = grader.get("graders"), grader.get("shadow")
    named = list(parts.items()) if isinstance(parts, Mapping) else []
    if isinstance(parts, list):
        named = [(part.get("name"), part) for part in parts if isinstance(part, Mapping)]
    hidden = shadow if isinstance(shadow, list) else []
    return [part for name, part in named if isinstance(part, Mapping) and name not in hidden]


def measure(rollouts: Sequence[Rollout], *, ranked: bool) -> list[Statistic]:
    """Return the statistics of a measurement, each with its 95% interval; `ranked` as `gives_ranks` says."""
    first = list(_per_item(rollouts).values())
    if ranked:
        statistics = [
            mean_statistic("top_1", [_within(grade, 1) for grade in first]),
            mean_statistic("top_5", [_within(grade, 5) for grade in first]),
            mean_statistic("top_max", [_within(grade, None) for grade in first]),
        ]
    else:
        statistics = [mean_statistic("accuracy", [float(_score(grade) >= RIGHT) for grade in first])]
    statistics.append(mean_statistic("mean_grade", [_score(grade) for grade in first]))
    votes = majority_votes(rollouts)
    if votes:
        statistics.append(mean_statistic("majority_vote", [float(right) for right in votes.values()]))
    return statistics


def majority_votes(rollouts: Sequence[Rollout]) -> dict[str, bool]:
    """Return for each item that was voted on whether the commonest extracted answer is right.

    Answers that could not be extracted have no vote; of equally common answers the one sampled first wins; an item
    whose answers were graded and none extracted is wrong, and one of which none was graded is left out.
    """
    ballots: dict[str, list[Grade]] = defaultdict(list)
    for rollout in rollouts:
        if _is_vote(rollout):
            ballots[rollout.item_id].append(rollout.grade)
    outcome = {}
    for item_id, grades in ballots.items():
        graded = [grade for grade in grades if grade.score is not None]
        if not graded:
            continue
        answers = [grade for grade in graded if grade.extracted_answer]
        # Counter keeps the order of first sight, and most_common is stable.
        commonest = Counter(grade.extracted_answer for grade in answers).most_common(1)
        outcome[item_id] = any(
            grade.extracted_answer == commonest[0][0] and _score(grade) >= RIGHT for grade in answers if commonest
        )
    return outcome


def compare(
    rollouts: Sequence[Rollout], baseline: Sequence[Rollout], *, ranked: bool
) -> list[tuple[Statistic, int, int]]:
    """Return (difference to the baseline, items better, items worse) per statistic, over the items both graded.

    Raises InvalidInput DIFFERENT_ITEMS where the two measured different items.
    """
    ours, theirs = _per_item(rollouts, graded_only=False), _per_item(baseline, graded_only=False)
    if ours.keys() != theirs.keys():
        raise InvalidInput(
            f"the evaluations measured different items: {len(ours)} and {len(theirs)}, "
            f"{len(ours.keys() & theirs.keys())} of them shared; compare evaluations of one data set",
            reason="DIFFERENT_ITEMS",
        )
    found = []
    bases = _by_item(baseline, ranked)
    for name, values in _by_item(rollouts, ranked).items():
        base = bases.get(name, {})
        if pairs := [(value, base[item]) for item, value in values.items() if item in base]:
            better, worse = sum(value > other for value, other in pairs), sum(value < other for value, other in pairs)
            difference = paired_difference(name, [value for value, _ in pairs], [other for _, other in pairs])
            found.append((difference, better, worse))
    return found


def _by_item(rollouts: Sequence[Rollout], ranked: bool) -> dict[str, dict[str, float]]:
    """Return each statistic's value per item that was graded."""
    grades = _per_item(rollouts)
    values: dict[str, dict[str, float]] = {}
    if ranked:
        for name, rank in (("top_1", 1), ("top_5", 5), ("top_max", None)):
            values[name] = {item: _within(grade, rank) for item, grade in grades.items()}
    else:
        values["accuracy"] = {item: float(_score(grade) >= RIGHT) for item, grade in grades.items()}
    values["mean_grade"] = {item: _score(grade) for item, grade in grades.items()}
    values["majority_vote"] = {item: float(right) for item, right in majority_votes(rollouts).items()}
    return values


def _per_item(rollouts: Sequence[Rollout], *, graded_only: bool = True) -> dict[str, Grade]:
    """Return the grade of each item's one measured completion."""
    grades = {rollout.item_id: rollout.grade for rollout in rollouts if not _is_vote(rollout)}
    return {item: grade for item, grade in grades.items() if grade.score is not None or not graded_only}


def _is_vote(rollout: Rollout) -> bool:
    return rollout.completion.index > 0


def _within(grade: Grade, rank: int | None) -> float:
    return float(grade.matched_rank > 0 and (rank is None or grade.matched_rank <= rank))


def _score(grade: Grade) -> float:
    assert grade.score is not None
    return grade.score
