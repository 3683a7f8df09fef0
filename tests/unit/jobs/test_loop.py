"""The loop against services in memory: what it asks for, in which order, and what it makes of faults."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.fakes.services import Calls, FakeGeneration, FakeGrading, FakeJobs, FakeLearning, Killed

from pinetune.api.jobs.v1 import jobs_pb2, worker_pb2
from pinetune.client.prompts import Message
from pinetune.jobs.clock import Clock
from pinetune.jobs.components import Components
from pinetune.jobs.dataset import Item
from pinetune.jobs.evaluator import Evaluator
from pinetune.jobs.journal import Journal, StopAsked
from pinetune.jobs.keeper import Keeper
from pinetune.jobs.loop import Loop
from pinetune.jobs.plan import Plan
from pinetune.jobs.policies import Policies
from pinetune.jobs.preparation import prepare
from pinetune.jobs.rollout_files import read_rollouts
from pinetune.jobs.sampler import Sampler
from pinetune.jobs.spec import JobSpec
from pinetune.jobs.usage import Usage
from pinetune.pod.errors import Conflict

GRADER = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "x", "operation": "eq"}


@dataclass
class Job:
    """A job with its services in memory."""

    plan: Plan
    calls: Calls
    learning: FakeLearning
    generation: FakeGeneration
    grading: FakeGrading
    jobs: FakeJobs

    def loop(self, *, seconds_before: float = 0.0) -> Loop:
        """Wire a loop as a worker does, or its successor: from the newest state that was kept."""
        usage, clock = Usage(), Clock()
        state = self.jobs.take_back()
        usage.begin_from(state.usage)
        usage.seconds_before += seconds_before
        journal = Journal(self.jobs, usage)
        prepared = prepare(self.plan, self.learning, self.generation, journal, checkpoint_uri=state.state_uri)
        sampler = Sampler(
            self.generation,
            self.grading,
            self.plan.grader or {},
            self.plan.rewards,
            clock,
            usage,
            prepared.learner.parameter_count,
        )
        folder = f"{self.plan.artifacts_uri}/policies"
        policies = Policies(self.learning, self.generation, folder=folder, max_canary_gap=0.01)
        keeper = Keeper(
            journal,
            self.learning,
            policies,
            artifacts_uri=self.plan.artifacts_uri,
            kept=[one for one in self.jobs.checkpoints if one.policy_uri],
        )
        evaluator = None
        if self.plan.grader:
            evaluator = Evaluator(sampler, journal, self.plan.rollouts_uri, self.plan.measuring_sampling, ranked=False)
        return Loop(
            self.plan, prepared, Components(self.learning, sampler, policies, evaluator, keeper, journal, clock)
        )


def items(count: int, prefix: str, fields_json: str = "{}") -> list[Item]:
    return [
        Item(f"{prefix}{n}", n + 1, (Message("user", f"{prefix} {n}?"),), (), fields_json, "x", "think then x")
        for n in range(count)
    ]


def make_job(
    folder: Path, *, scores: dict[int, float | None] | None = None, method: str = "reinforcement", **pinetune: object
) -> Job:
    hyperparameters = {"n_epochs": 2, "batch_size": 4, "eval_interval": 2}
    order = {
        "model": "base",
        "training_file": "t",
        "validation_file": "v",
        "method": {"type": method, method: {"grader": GRADER, "hyperparameters": hyperparameters}},
        "pinetune": {"warm_up": {"epochs": 1, "batch_size": 4} if method == "reinforcement" else {}, **pinetune},
    }
    plan = Plan(
        job_id="ftjob-1",
        spec=JobSpec.model_validate(order),
        artifacts_uri=str(folder),
        model_uri="base",
        training=items(8, "t"),
        validation=items(3, "v", '{"purpose": "measuring"}'),
        test=items(3, "v", '{"purpose": "measuring"}'),
    )
    calls = Calls()
    learning = FakeLearning(calls)
    grading = FakeGrading(scores or {})
    return Job(plan, calls, learning, FakeGeneration(calls, learning), grading, FakeJobs(calls))


def test_a_job_warms_up_freezes_the_reference_and_trains_on_the_newest_policy(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    job.loop().run()
    assert job.calls == [
        "open",
        "generate base x3x1",
        "begin warm_up",
        "warm_up 1",
        "commit warm_up 1",
        "warm_up 2",
        "commit warm_up 2",
        "checkpoint 2/0",
        "begin training",
        "load v1",
        "freeze",
        "generate warm_up x3x1",
        "generate validation-000000 x3x1",
        "commit training 0",
        "checkpoint 2/0",
        "generate training-000001 x4x1",
        "update 1",
        "load v2",
        "commit training 1",
        "generate training-000002 x4x1",
        "update 2",
        "load v3",
        "generate validation-000002 x3x1",
        "commit training 2",
        "checkpoint 2/2",
        "generate training-000003 x4x1",
        "update 3",
        "load v4",
        "commit training 3",
        "generate training-000004 x4x1",
        "update 4",
        "load v5",
        "generate validation-000004 x3x1",
        "commit training 4",
        "checkpoint 2/4",
        "begin comparing",
        # All validations scored 0, so the earliest policy is the best.
        "load v1",
        "generate fine_tuned x3x1",
    ]


def test_the_policy_with_the_best_validation_is_given_back(tmp_path: Path) -> None:
    job = make_job(tmp_path, scores={1: 0.2, 3: 0.9, 5: 0.6})
    model_uri = job.loop().run()
    assert (Path(model_uri) / "weights").read_text() == (tmp_path / "policies" / "v000003" / "weights").read_text()
    named = {one.order.name: one.statistics[-1].value for one in job.jobs.evaluations}
    assert named == pytest.approx({"base": 0.0, "warm_up": 0.2, "fine_tuned": 0.9})


def test_policies_that_no_checkpoint_needs_are_deleted(tmp_path: Path) -> None:
    job = make_job(tmp_path, scores={3: 0.9})
    job.loop().run()
    kept = sorted(path.name for path in (tmp_path / "policies").iterdir())
    assert kept == ["v000001", "v000003", "v000005"]  # warmed up, best, and the learner's last


@pytest.mark.parametrize(
    ("ungraded", "rewards", "penalised"),
    [("exclude", [0.5, 0.5], 0), ("penalise", [0.5, -0.5, 0.5, -0.5], 2), ("zero", [0.5, 0.0, 0.5, 0.0], 2)],
)
def test_ungraded_completions_reach_the_learner_only_as_the_policy_says(
    tmp_path: Path, ungraded: str, rewards: list[float], penalised: int
) -> None:
    policies = {"ungraded": ungraded, "max_ungraded_share": 0.5} | ({"penalty": -0.5} if ungraded == "penalise" else {})
    job = make_job(tmp_path, scores={1: 0.5}, policies=policies, budget={"max_steps": 1})
    job.grading.every_other_fails = True
    job.loop().run()
    assert job.learning.rewards_seen == [rewards]
    counts = job.jobs.steps[-1].training_grades
    assert (counts.sampled_count, counts.graded_count, counts.ungraded_count) == (4, 2, 2)
    assert counts.penalised_count == penalised


@pytest.mark.parametrize("ungraded", ["exclude", "penalise", "zero"])
def test_a_step_without_any_grade_stops_the_job_whatever_the_policy(tmp_path: Path, ungraded: str) -> None:
    policies = {"ungraded": ungraded, "max_ungraded_share": 1.0} | ({"penalty": -0.5} if ungraded == "penalise" else {})
    job = make_job(tmp_path, scores={1: 0.5, 2: None}, policies=policies)
    with pytest.raises(Conflict, match="4 of 4 completions could not be graded") as caught:
        job.loop().run()
    assert caught.value.reason == "TOO_MANY_UNGRADED"
    assert job.learning.rewards_seen == [[0.5] * 4]
    kept = read_rollouts(str(caught.value).rpartition(" are in ")[2])
    assert [rollout.step for rollout in kept] == [2] * 4
    assert all(rollout.grade.error is not None for rollout in kept)


def test_a_validation_that_could_not_be_graded_chooses_no_policy(tmp_path: Path) -> None:
    job = make_job(tmp_path, scores={1: 0.2, 3: 0.9, 5: 0.4})
    job.grading.failing_validations = {3}
    model_uri = job.loop().run()
    assert (Path(model_uri) / "weights").read_text() == (tmp_path / "policies" / "v000005" / "weights").read_text()
    assert [text for text in job.jobs.messages if "does not count" in text] == [
        "the validation after step 2 does not count: 3 of 3 completions could not be graded: "
        "3x OTHER: the grader is down"
    ]


def test_a_job_whose_validations_all_failed_says_that_its_last_policy_is_not_the_best(tmp_path: Path) -> None:
    job = make_job(tmp_path, scores={1: 0.2, 3: 0.9, 5: 0.4})
    job.grading.failing_validations = {1, 3, 5}
    model_uri = job.loop().run()
    assert (Path(model_uri) / "weights").read_text() == str(job.learning.weights)
    assert "no validation counts, so the last policy is given back and not the best" in job.jobs.messages


def test_a_sampler_that_kept_its_old_weights_stops_the_job_before_a_step_uses_them(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    job.generation.stale_weights = True
    with pytest.raises(Conflict, match="at generation-0:50051 and the learner disagree on policy 1") as caught:
        job.loop().run()
    assert caught.value.reason == "POLICY_NOT_ATTESTED"
    assert "update 1" not in job.calls


def test_a_paused_job_writes_a_checkpoint_first(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    job.jobs.wish_after[jobs_pb2.JOB_PHASE_TRAINING, 1] = worker_pb2.WORKER_ACTION_PAUSE
    with pytest.raises(StopAsked) as caught:
        job.loop().run()
    assert caught.value.paused
    assert job.calls[-2:] == ["commit training 1", "checkpoint 2/1"]
    assert job.jobs.checkpoints[-1].kind == jobs_pb2.CHECKPOINT_KIND_PAUSE


def test_a_cancelled_job_stops_after_the_step_that_was_under_way(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    job.jobs.wish_after[jobs_pb2.JOB_PHASE_TRAINING, 1] = worker_pb2.WORKER_ACTION_CANCEL
    with pytest.raises(StopAsked) as caught:
        job.loop().run()
    assert not caught.value.paused
    assert job.calls[-1] == "commit training 1"


def test_a_job_goes_on_where_its_checkpoint_stands(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    job.jobs.wish_after[jobs_pb2.JOB_PHASE_TRAINING, 2] = worker_pb2.WORKER_ACTION_PAUSE
    with pytest.raises(StopAsked):
        job.loop().run()
    job.jobs.wish_after.clear()
    job.calls.clear()
    job.loop().run()
    assert job.calls[:6] == [
        "open",
        "restore 2/2",
        # The warm-up is behind it, and does not begin again.
        "begin training",
        "load v3",
        "generate training-000003 x4x1",
        "update 3",
    ]
    assert [step.number for step in job.jobs.steps if step.phase == jobs_pb2.JOB_PHASE_TRAINING] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("interval", [1, 100])
@pytest.mark.parametrize(
    ("method", "budget"),
    [("reinforcement", None), ("reinforcement", 9e5), ("supervised", None), ("supervised", 3.6e5)],
)
def test_a_job_killed_anywhere_takes_the_steps_and_gives_back_the_model_of_one_that_was_not(
    tmp_path: Path, method: str, budget: float | None, interval: int
) -> None:
    def job(folder: str) -> Job:
        settings = {"budget": {"max_compute_flops": budget}, "checkpoints": {"interval": interval}}
        return make_job(tmp_path / folder, method=method, scores={1: 0.2, 2: 0.9, 3: 0.6, 5: 0.1}, **settings)

    whole = job("whole")
    weights = (Path(whole.loop().run()) / "weights").read_text()
    assert any("the budget is spent" in text for text in whole.jobs.messages) == (budget == 9e5)
    for point in range(1, whole.calls.points + 1):
        killed = job(f"killed-{point}")
        killed.calls.kill_at = point
        with pytest.raises(Killed) as caught:
            killed.loop().run()
        model_uri = killed.loop().run()
        assert (Path(model_uri) / "weights").read_text() == weights, caught.value
        assert course_of(killed) == course_of(whole), caught.value


def course_of(job: Job) -> list[tuple[int, int, int, float | None, float]]:
    """Return what counts of each step."""
    return [
        (
            step.phase,
            step.number,
            step.policy_version,
            step.validation.reward_mean if step.HasField("validation") else None,
            usage.compute_flops,
        )
        for step, usage in zip(job.jobs.steps, job.jobs.usages, strict=True)
    ]


def test_a_supervised_job_validates_while_it_imitates_and_keeps_the_best(tmp_path: Path) -> None:
    job = make_job(tmp_path, method="supervised", scores={1: 0.4, 2: 0.3})
    model_uri = job.loop().run()
    assert "freeze" not in job.calls
    assert [step.number for step in job.jobs.steps if step.HasField("validation")] == [2, 4]
    assert (Path(model_uri) / "weights").read_text() == "2"


def test_a_compute_budget_plans_the_supervised_steps(tmp_path: Path) -> None:
    # 8 sequences of 5 tokens in 2 batches: 6 operations x 1000 weights x 20 tokens a step.
    job = make_job(tmp_path, method="supervised", budget={"max_compute_flops": 3 * 6 * 1000 * 20})
    job.loop().run()
    assert [step.number for step in job.jobs.steps] == [1, 2, 3]
    assert job.jobs.usages[-1].compute_flops > 0


def test_a_compute_budget_ends_the_training(tmp_path: Path) -> None:
    job = make_job(tmp_path, budget={"max_compute_flops": 1.0})
    job.loop().run()
    assert "update 1" not in job.calls
    assert [one.order.name for one in job.jobs.evaluations] == ["base", "warm_up", "fine_tuned"]
    assert job.jobs.messages == [
        "the budget is spent, pinetune.budget.max_compute_flops of 1: no more steps after 0 of 2"
    ]


def test_the_policy_of_the_step_that_a_budget_ends_at_is_measured_and_kept(tmp_path: Path) -> None:
    whole = make_job(tmp_path / "whole", scores={2: 0.9})
    whole.loop().run()
    first = next(one for one in whole.jobs.steps if one.phase == jobs_pb2.JOB_PHASE_TRAINING and one.number == 1)
    assert not first.HasField("validation")
    spent = whole.jobs.usages[whole.jobs.steps.index(first)].compute_flops
    job = make_job(tmp_path / "cut", scores={2: 0.9}, budget={"max_compute_flops": spent})
    model_uri = job.loop().run()
    assert job.jobs.steps[-1].number == 1
    assert job.jobs.steps[-1].validation.reward_mean == 0.9
    assert (Path(model_uri) / "weights").read_text() == (tmp_path / "cut/policies/v000002/weights").read_text()


@pytest.mark.parametrize("method", ["reinforcement", "supervised"])
def test_a_time_budget_ends_the_imitation_too(tmp_path: Path, method: str) -> None:
    job = make_job(tmp_path, method=method, budget={"max_seconds": 3600})
    job.loop(seconds_before=3600.0).run()
    assert "warm_up 1" not in job.calls
    assert job.jobs.messages[0].startswith("the budget is spent, pinetune.budget.max_seconds of 3600: no more steps")
    assert job.jobs.evaluations[-1].order.name == "fine_tuned"


def test_a_steps_record_says_what_was_sampled_and_where_it_is_kept(tmp_path: Path) -> None:
    job = make_job(tmp_path, scores={1: 0.25})
    job.loop().run()
    step = next(one for one in job.jobs.steps if one.phase == jobs_pb2.JOB_PHASE_TRAINING and one.number == 1)
    assert step.train_reward_mean == 0.25
    assert (step.training_grades.sampled_count, step.training_grades.graded_count) == (4, 4)
    assert (step.completion_tokens_mean, step.truncated_share, step.canary_gap) == (2.0, 0.0, 0.0)
    rollouts = read_rollouts(step.rollouts_uri)
    assert [rollout.reward for rollout in rollouts] == [0.25] * 4
    assert {span.policy_version for rollout in rollouts for span in rollout.completion.policy_spans} == {1}


def test_what_is_measured_is_drawn_from_the_same_tokens_as_what_is_trained_on(tmp_path: Path) -> None:
    sampling = {"top_p": 0.9, "top_k": 7, "max_tokens": 20, "min_tokens": 3, "stop": ["."]}
    plan = make_job(tmp_path, sampling=sampling, evaluation={"vote_samples": 3}).plan
    assert plan.vote_sampling is not None
    for drawn in (plan.training_sampling, plan.measuring_sampling, plan.vote_sampling):
        assert (drawn.top_p, drawn.top_k, tuple(drawn.stop)) == (0.9, 7, (".",))
        assert (drawn.min_tokens, drawn.max_tokens) == (3, 20)
    assert plan.measuring_sampling.temperature == 0.0
