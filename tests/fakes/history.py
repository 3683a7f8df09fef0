"""A made-up past of a job, in the messages that the jobs service would give: for tests of what shows them to people.

The curves rise as such curves do; nothing here was measured.
"""

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp

from pinetune.api.grading.v1.grading_pb2 import GraderSpec
from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1 import spec_pb2
from pinetune.api.learning.v1 import learning_pb2
from pinetune.api.rollout.v1 import rollout_pb2

START_SECONDS = 1_767_225_600  # 2026-01-01T00:00:00Z
GRADER_JSON = json.dumps({"type": "number", "name": "answer", "reference": "{{item.answer}}"})


@dataclass(frozen=True)
class History:
    """All that a job left behind."""

    job: wire.Job
    steps: Sequence[wire.Step] = ()
    messages: Sequence[wire.WatchJobResponse] = ()
    evaluations: Sequence[wire.Evaluation] = ()
    checkpoints: Sequence[wire.Checkpoint] = ()
    rollouts: Sequence[rollout_pb2.Rollout] = ()
    evaluation_rollouts: dict[str, list[rollout_pb2.Rollout]] = field(default_factory=dict)


def at(seconds: float) -> Timestamp:
    """Return a time, in seconds after the history's beginning."""
    return Timestamp(seconds=START_SECONDS + int(seconds))


def statistic(name: str, value: float, count: int = 200) -> wire.Statistic:
    """Return a share with a normal interval."""
    half = 1.96 * math.sqrt(max(value * (1 - value), 1e-4) / count)
    return wire.Statistic(name=name, value=value, low=max(0.0, value - half), high=min(1.0, value + half), count=count)


def reinforcement(
    job_id: str = "ftjob-rl",
    *,
    step_count: int = 40,
    warm_up_count: int = 12,
    eval_interval: int = 10,
    ended: bool = True,
) -> History:
    """Return the history of a reinforcement job: warm-up, updates, validations and the final comparison."""
    draw = random.Random(7)
    job = _job(job_id, "reinforcement", step_count, warm_up_count, ended)
    warm_up = [_warm_up_step(job_id, n, draw) for n in range(1, warm_up_count + 1)]
    training = [_training_step(job_id, n, step_count, eval_interval, draw) for n in range(step_count + 1)]
    measured = [("base", 0.02), ("warm_up", 0.285), ("fine_tuned", 0.455)]
    evaluations = [_evaluation(job_id, name, accuracy, order) for order, (name, accuracy) in enumerate(measured)]
    rollouts = [r for step in training for r in _rollouts(job_id, step, step_count, draw)]
    return History(
        job=job,
        steps=[*warm_up, *training],
        messages=_messages(job, [*warm_up, *training]),
        evaluations=evaluations if ended else [],
        checkpoints=[_checkpoint(job_id, step) for step in training if step.HasField("validation")][::-1],
        rollouts=rollouts,
        evaluation_rollouts={evaluations[2].evaluation_id: rollouts[-3:]},
    )


def supervised(job_id: str = "ftjob-sft", *, warm_up_count: int = 30) -> History:
    """Return the history of a supervised job: warm-up steps only."""
    draw = random.Random(8)
    job = _job(job_id, "supervised", 0, warm_up_count, True)
    steps = [_warm_up_step(job_id, n, draw) for n in range(1, warm_up_count + 1)]
    steps[-1].validation.CopyFrom(_validation(0.31))
    return History(
        job=job,
        steps=steps,
        messages=_messages(job, steps),
        evaluations=[_evaluation(job_id, "fine_tuned", 0.305, 3, "eval-sft")],
    )


def _job(job_id: str, kind: str, step_count: int, warm_up_count: int, ended: bool) -> wire.Job:
    method = spec_pb2.Method(type=kind)
    if kind == "reinforcement":
        method.reinforcement.grader.json = GRADER_JSON
        method.reinforcement.hyperparameters.batch_size = 32
        method.reinforcement.hyperparameters.eval_interval = 10
    else:
        method.supervised.grader.json = GRADER_JSON
    spec = spec_pb2.JobSpec(
        model="nano", training_file="file-train", validation_file="file-valid", method=method, seed=42, suffix="sums"
    )
    spec.pinetune.algorithm.name = "ppo"
    spec.pinetune.algorithm.kl_coefficient = 0.05
    return wire.Job(
        job_id=job_id,
        spec=spec,
        state=wire.JOB_STATE_SUCCEEDED if ended else wire.JOB_STATE_RUNNING,
        phase=wire.JOB_PHASE_COMPARING if ended else wire.JOB_PHASE_TRAINING,
        create_time=at(0),
        start_time=at(3),
        end_time=at(1200) if ended else None,
        step=step_count,
        total_steps=step_count,
        warm_up_step=warm_up_count,
        total_warm_up_steps=warm_up_count,
        model_uri=f"/data/{job_id}/model" if ended else "",
        fine_tuned_model=f"ft:nano:sums:{job_id}" if ended else "",
        usage=wire.Usage(
            seconds=1190, sampled_token_count=812_345, trained_token_count=3_400_000, compute_flops=2.4e13
        ),
        attempt=1,
        best_checkpoint_id="ftckpt-40" if ended else "",
    )


def _warm_up_step(job_id: str, number: int, draw: random.Random) -> wire.Step:
    loss = 0.6 + 5.0 * math.exp(-number / 4) + draw.gauss(0, 0.03)
    return wire.Step(
        job_id=job_id,
        number=number,
        phase=wire.JOB_PHASE_WARM_UP,
        commit_time=at(5 + number),
        warm_up=learning_pb2.WarmUpMetrics(loss=loss, token_accuracy=0.9 - 0.6 * math.exp(-number / 5), seconds=1.0),
        timing=wire.StepTiming(learning_seconds=1.0, total_seconds=1.1),
    )


def _training_step(job_id: str, number: int, count: int, interval: int, draw: random.Random) -> wire.Step:
    share = number / max(count, 1)
    reward = 0.3 + 0.18 * share + draw.gauss(0, 0.025)
    step = wire.Step(
        job_id=job_id,
        number=number,
        phase=wire.JOB_PHASE_TRAINING,
        commit_time=at(60 + 20 * number),
        policy_version=number,
    )
    if number:
        step.train_reward_mean = reward
        step.update.CopyFrom(
            learning_pb2.UpdateMetrics(
                reward_mean=reward,
                kl_to_reference=2.4 * share**1.3 + abs(draw.gauss(0, 0.05)),
                entropy=0.9 - 0.3 * share,
                clip_fraction=0.04,
                learning_rate=1e-4,
                seconds=4.0,
            )
        )
        step.training_grades.CopyFrom(wire.GradeCounts(sampled_count=128, graded_count=127, ungraded_count=1))
        step.timing.CopyFrom(
            wire.StepTiming(
                sampling_seconds=8, grading_seconds=0.1, learning_seconds=4, weights_seconds=0.5, total_seconds=13
            )
        )
        step.completion_tokens_mean = 46 + 9 * share + draw.gauss(0, 1)
        step.truncated_share = max(0.0, 0.06 - 0.05 * share)
        step.sampled_tokens_per_second = 690 + draw.gauss(0, 25)
    if number % interval == 0:
        step.validation.CopyFrom(_validation(0.29 + 0.16 * share + draw.gauss(0, 0.01)))
    return step


def _validation(reward: float) -> wire.ValidationResult:
    shown = statistic("accuracy", reward)
    return wire.ValidationResult(
        reward_mean=shown.value,
        reward_low=shown.low,
        reward_high=shown.high,
        grades=wire.GradeCounts(sampled_count=200, graded_count=200),
        statistics=[shown],
    )


def _evaluation(job_id: str, name: str, accuracy: float, order: int, evaluation_id: str = "") -> wire.Evaluation:
    return wire.Evaluation(
        evaluation_id=evaluation_id or f"eval-{name}",
        order=wire.EvaluationOrder(
            name=name, model=f"job:{job_id}", dataset_id="file-test", grader=GraderSpec(json=GRADER_JSON), job_id=job_id
        ),
        state=wire.JOB_STATE_SUCCEEDED,
        create_time=at(1000 + order),
        end_time=at(1010 + order),
        statistics=[statistic("accuracy", accuracy), statistic("mean_grade", accuracy + 0.05)],
        grades=wire.GradeCounts(sampled_count=200, graded_count=199, ungraded_count=1),
    )


def _checkpoint(job_id: str, step: wire.Step) -> wire.Checkpoint:
    return wire.Checkpoint(
        checkpoint_id=f"ftckpt-{step.number}",
        job_id=job_id,
        step_number=step.number,
        kind=wire.CHECKPOINT_KIND_BEST if step.number else wire.CHECKPOINT_KIND_WARM_UP,
        create_time=step.commit_time,
        policy_uri=f"/data/{job_id}/policies/{step.number}",
        policy_version=step.number,
        validation=step.validation,
        fine_tuned_model_checkpoint=f"ft:nano:sums:{job_id}:ckpt-step-{step.number}",
    )


def _rollouts(job_id: str, step: wire.Step, count: int, draw: random.Random) -> list[rollout_pb2.Rollout]:
    """Return three training rollouts of the step and, where it has a validation, four validation rollouts."""
    rollouts = []
    for index in range(3 if step.number else 0):
        rollouts.append(_rollout(step.number, index, rollout_pb2.ROLLOUT_PURPOSE_TRAINING, draw.random() < 0.4))
    for index in range(4 if step.HasField("validation") else 0):
        right = index == 0 or (index in (1, 2) and step.number == count)
        rollouts.append(_rollout(step.number, index, rollout_pb2.ROLLOUT_PURPOSE_VALIDATION, right))
    return rollouts


def _rollout(step: int, index: int, purpose: rollout_pb2.RolloutPurpose, right: bool) -> rollout_pb2.Rollout:
    apples, gone = 12 + 7 * index, 4 + index
    question = f"Rosa picked {apples} apples and gave {gone} to her brother. How many apples does she have left?"
    found = apples - gone if right else apples + gone
    sign = "-" if right else "+"
    grade = rollout_pb2.Grade(score=1.0 if right else 0.0, extracted_answer=str(found))
    if purpose == rollout_pb2.ROLLOUT_PURPOSE_TRAINING and index == 2 and step % 7 == 3:
        grade = rollout_pb2.Grade(
            error=rollout_pb2.GradeError(
                error_class=rollout_pb2.GRADE_ERROR_CLASS_TRUNCATED, detail="the sample was cut off after 128 tokens"
            )
        )
    graded = grade.WhichOneof("outcome") == "score"
    return rollout_pb2.Rollout(
        item=rollout_pb2.Item(
            item_id=f"item-{index}",
            messages=[rollout_pb2.Message(role=rollout_pb2.ROLE_USER, content=question)],
            fields_json=json.dumps({"question": question, "answer": str(apples - gone)}),
        ),
        completion=rollout_pb2.Completion(
            completion_id=f"s{step}-p{purpose}-i{index}",
            index=0,
            text=f"Rosa had {apples} and gave {gone} away, so {apples} {sign} {gone} = {found}. The answer is {found}.",
            finish_reason=rollout_pb2.FINISH_REASON_STOP,
            policy_spans=[rollout_pb2.PolicySpan(policy_version=step, token_count=31)],
        ),
        grade=grade,
        step=step,
        reward=grade.score if graded else None,
        reward_source=rollout_pb2.REWARD_SOURCE_GRADE if graded else rollout_pb2.REWARD_SOURCE_EXCLUDED,
        purpose=purpose,
    )


def fail_part(rollout: rollout_pb2.Rollout, part: str, detail: str) -> None:
    """Let a part of a rollout's composed grader have failed."""
    error = rollout_pb2.GradeError(error_class=rollout_pb2.GRADE_ERROR_CLASS_MODEL_REFUSAL, detail=detail)
    rollout.grade.part_errors[part].CopyFrom(error)


def _messages(job: wire.Job, steps: Sequence[wire.Step]) -> list[wire.WatchJobResponse]:
    """Return the events of the steps between a first and a last one, with the job as it was after each."""
    now = wire.Job()
    now.CopyFrom(job)
    now.ClearField("end_time")
    now.state, now.step, now.warm_up_step = wire.JOB_STATE_RUNNING, 0, 0
    told: list[wire.WatchJobResponse] = []

    def tell(kind: wire.EventType, text: str, step: wire.Step | None = None) -> None:
        number = len(told) + 1
        event = wire.Event(
            event_id=f"ftevent-{number:04}",
            job_id=job.job_id,
            create_time=step.commit_time if step else at(0 if number == 1 else 1200),
            level=wire.EVENT_LEVEL_INFO,
            type=kind,
            message=text,
            step=step,
        )
        told.append(wire.WatchJobResponse(event=event, job=now, resume_token=str(number)))

    tell(wire.EVENT_TYPE_STATE, "the job is running")
    for step in steps:
        now.phase = step.phase
        if step.phase == wire.JOB_PHASE_WARM_UP:
            now.warm_up_step = step.number
        else:
            now.step = step.number
            now.estimated_seconds_left = 13.0 * (job.total_steps - step.number)
        tell(wire.EVENT_TYPE_METRICS, f"step {step.number}", step)
    if job.state == wire.JOB_STATE_SUCCEEDED:
        now.CopyFrom(job)
        tell(wire.EVENT_TYPE_STATE, "the job succeeded")
    return told
