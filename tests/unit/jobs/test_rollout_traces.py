"""What a job's loop tells of its steps and rollouts, with services in memory that tell nothing themselves."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.fakes.collector import Seen, remembered
from tests.unit.jobs.test_loop import Job, make_job

from pinetune.api.jobs.v1 import jobs_pb2, worker_pb2
from pinetune.api.learning.v1 import learning_pb2
from pinetune.client.learning import Trajectory
from pinetune.jobs.journal import StopAsked
from pinetune.jobs.rollout_traces import RolloutTraces, evenly
from pinetune.pod import trace
from pinetune.pod.errors import Conflict

TEXTS = ("policy 1", "policy 2", "t0?", "t 0?", "think then x", "the grader is down")
"""What stands in prompts, answers and messages of errors."""


def told(job: Job, count: int) -> list[Seen]:
    """Run the job to its end; return what it told with `count` rollouts of a step followed."""
    with remembered() as memory:
        loop = job.loop()
        loop.rollout_traces = RolloutTraces(count, "string_check")
        with trace.within(job="ftjob-1"):
            loop.run()
        return memory.all()


def children(found: Sequence[Seen], parent: Seen) -> list[Seen]:
    return [span for span in found if span.parent_id == parent.span_id]


def values(span: Seen) -> dict[str, object]:
    return {name.removeprefix("pinetune."): value for name, value in span.attributes.items()}


def test_every_step_is_a_trace_with_its_parts_in_order(tmp_path: Path) -> None:
    found = told(make_job(tmp_path), 0)
    steps = {(values(one)["phase"], values(one)["step"]): one for one in found if one.name == "step"}
    assert list(steps) == [("warm_up", 1), ("warm_up", 2)] + [("training", step) for step in range(5)]
    assert len({one.trace_id for one in steps.values()}) == 7
    assert all(one.parent_id == "" and values(one)["job_id"] == "ftjob-1" for one in steps.values())

    def parts(*step: object) -> list[str]:
        return [one.name for one in children(found, steps[step])]  # type: ignore[index]

    assert parts("warm_up", 1) == ["update", "commit"]
    kept = ["checkpoint", "checkpoint"]
    assert parts("training", 0) == ["weights", "checkpoint", "evaluate", "validate", "commit", *kept]
    assert parts("training", 1) == ["sample", "grade", "update", "weights", "commit"]
    assert parts("training", 2) == ["sample", "grade", "update", "weights", "validate", "commit", *kept]
    (validate,) = (one for one in children(found, steps["training", 2]) if one.name == "validate")
    assert [one.name for one in children(found, validate)] == ["sample", "grade"]
    assert "rollout" not in {one.name for one in found}


def test_followed_rollouts_have_a_trace_each_that_links_to_their_step(tmp_path: Path) -> None:
    found = told(make_job(tmp_path, scores={1: 0.25}), 2)
    roots = [one for one in found if one.name == "rollout"]
    assert Counter(values(one)["step"] for one in roots) == {1: 2, 2: 2, 3: 2, 4: 2}
    assert len({one.trace_id for one in roots}) == 8
    steps = {one.trace_id: one for one in found if one.name == "step"}
    for root in roots:
        (linked,) = root.linked_traces
        assert values(steps[linked])["step"] == values(root)["step"]
        assert root.trace_id in steps[linked].linked_traces
        sampled, graded = children(found, root)
        assert (sampled.name, graded.name) == ("sampled", "graded")
        assert root.begin == sampled.begin <= sampled.end <= graded.begin <= graded.end <= root.end
    first = roots[0]
    prompt = f"training-000001-{values(first)['item_id']}"
    assert values(first) == {
        "job_id": "ftjob-1",
        "step": 1,
        "item_id": values(first)["item_id"],
        "prompt_id": prompt,
        "completion_id": f"{prompt}-0",
        "policy_version": 1,
        "reward": 0.25,
        "reward_source": "grade",
    }
    told_of_sampling, told_of_grading = map(values, children(found, first))
    where = {"job_id": "ftjob-1", "step": 1}
    assert told_of_sampling == where | {
        "replica": "generation-0",
        "prompt_tokens": 2,
        "tokens": 2,
        "finish_reason": "stop",
    }
    assert told_of_grading == where | {"grader": "string_check", "score": 0.25}


def test_a_rollout_without_a_grade_says_the_class_of_the_error_and_no_text_is_told(tmp_path: Path) -> None:
    job = make_job(tmp_path, policies={"ungraded": "exclude", "max_ungraded_share": 0.9})
    job.grading.every_other_fails = True
    found = told(job, 4)
    graded = [values(one) for one in found if one.name == "graded"]
    assert Counter(one.get("error_class") for one in graded) == {"OTHER": 8, None: 8}
    assert all(("score" in one) != ("error_class" in one) for one in graded)
    excluded = [values(one) for one in found if one.name == "rollout" and "reward" not in values(one)]
    assert [one["reward_source"] for one in excluded] == ["excluded"] * 8
    said = repr(found)
    assert not [text for text in TEXTS if text in said]


def test_the_learner_is_given_the_traces_of_those_that_are_followed(tmp_path: Path) -> None:
    given: list[Trajectory] = []
    job = make_job(tmp_path)
    update = job.learning.update

    def watched(step: int, trajectories: Sequence[Trajectory]) -> learning_pb2.UpdateMetrics:
        given.extend(trajectories)
        return update(step, trajectories)

    job.learning.update = watched  # type: ignore[method-assign]
    found = told(job, 1)
    # Version, trace, span, flags.
    traceparents = [one.to_wire().traceparent.split("-")[1:3] for one in given if one.traceparent]
    assert traceparents == [[one.trace_id, one.span_id] for one in found if one.name == "rollout"]
    assert len(given) == 4 * len(traceparents)


def test_rollouts_of_an_update_that_fails_end_as_failed(tmp_path: Path) -> None:
    job = make_job(tmp_path)

    def diverge(step: int, trajectories: Sequence[Trajectory]) -> learning_pb2.UpdateMetrics:
        raise Conflict("it diverged", reason="GRADIENT_NOT_FINITE")

    job.learning.update = diverge  # type: ignore[method-assign]
    with remembered() as memory:
        loop = job.loop()
        loop.rollout_traces = RolloutTraces(3, "string_check")
        with pytest.raises(Conflict):
            loop.run()
        found = memory.all()
    failed = [one for one in found if one.failed]
    assert Counter(one.name for one in failed) == {"rollout": 3, "update": 1, "step": 1}
    assert {one.attributes["error.type"] for one in failed} == {"GRADIENT_NOT_FINITE"}


def test_a_step_after_which_the_user_stops_the_job_has_not_failed(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    job.jobs.wish_after[(jobs_pb2.JOB_PHASE_TRAINING, 1)] = worker_pb2.WORKER_ACTION_PAUSE
    with remembered() as memory:
        with pytest.raises(StopAsked):
            job.loop().run()
        found = memory.all()
    assert values([one for one in found if one.name == "step"][-1])["step"] == 1
    assert [one for one in found if one.failed] == []


def test_a_job_whose_pod_has_no_collector_does_the_same(tmp_path: Path) -> None:
    silent, telling = make_job(tmp_path / "silent"), make_job(tmp_path / "telling")
    loop = silent.loop()
    loop.rollout_traces = RolloutTraces(4, "string_check")
    loop.run()
    told(telling, 4)
    assert silent.calls == telling.calls
    assert silent.learning.rewards_seen == telling.learning.rewards_seen


def test_followed_rollouts_are_spread_over_the_step() -> None:
    rollouts = list(range(16))
    assert evenly(rollouts, 4) == [0, 4, 8, 12]
    assert evenly(rollouts, 0) == []
    assert evenly(rollouts, 3) == [0, 5, 10]
    assert evenly(rollouts[:2], 4) == [0, 1]
