"""Sets evaluations side by side: each one's difference to the first, over the items that both measured."""

import json
from collections.abc import Sequence

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.jobs.evaluation import compare as compare_rollouts
from pinetune.jobs.evaluation import gives_ranks
from pinetune.jobs.rollout_files import read_rollouts
from pinetune.jobs.statistics import Statistic
from pinetune.pod.errors import Conflict, InvalidInput

EVALUATIONS_MAX = 50


def compare(evaluations: Sequence[wire.Evaluation]) -> wire.Comparison:
    """Compare evaluations with the first as the baseline.

    Raises InvalidInput for fewer than two or for different items, Conflict where one has not succeeded.
    """
    if not 2 <= len(evaluations) <= EVALUATIONS_MAX:
        raise InvalidInput(
            f"evaluation_ids must have 2 to {EVALUATIONS_MAX} entries; it has {len(evaluations)}",
            reason="INVALID_COMPARISON",
            field="evaluation_ids",
        )
    for evaluation in evaluations:
        if evaluation.state != wire.JOB_STATE_SUCCEEDED:
            raise Conflict(
                f"{evaluation.evaluation_id} is {wire.JobState.Name(evaluation.state)}; only finished ones compare",
                reason="EVALUATION_NOT_FINISHED",
                evaluation_id=evaluation.evaluation_id,
            )
    baseline = evaluations[0]
    base_rollouts = read_rollouts(baseline.rollouts_uri)
    ranked = gives_ranks(json.loads(baseline.order.grader.json))
    comparison = wire.Comparison(evaluations=evaluations)
    for evaluation in evaluations[1:]:
        differences = compare_rollouts(read_rollouts(evaluation.rollouts_uri), base_rollouts, ranked=ranked)
        for statistic, better_count, worse_count in differences:
            comparison.differences.add(
                evaluation_id=evaluation.evaluation_id,
                baseline_id=baseline.evaluation_id,
                statistic=_statistic(statistic),
                better_count=better_count,
                worse_count=worse_count,
            )
    return comparison


def _statistic(one: Statistic) -> wire.Statistic:
    return wire.Statistic(name=one.name, value=one.value, low=one.low, high=one.high, count=one.count)
