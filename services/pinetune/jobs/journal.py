"""What the worker reports to the jobs service: steps, checkpoints, evaluations, events, and what it waits for.

The loop speaks in plain values; here they become messages. The service's answers carry what the user wants, and
`stop_if_asked` turns a wish into an exception that the worker ends by.
"""

import contextlib
import logging
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean as mean

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1 import worker_pb2
from pinetune.api.learning.v1 import learning_pb2
from pinetune.client.rollout import FinishReason
from pinetune.client.worker import WorkerClient
from pinetune.jobs import worker_metrics
from pinetune.jobs.policies import Policy
from pinetune.jobs.rewards import GradeCounts
from pinetune.jobs.rollout_files import Rollout
from pinetune.jobs.statistics import Statistic
from pinetune.jobs.story import AWAY, Story
from pinetune.jobs.usage import Usage
from pinetune.pod.errors import PinetuneError

log = logging.getLogger(__name__)


class StopAsked(Exception):  # noqa: N818  no error
    """The user wants the job to stop: for good, or until resumed."""

    def __init__(self, action: worker_pb2.WorkerAction) -> None:
        super().__init__(worker_pb2.WorkerAction.Name(action))
        self.paused = action == worker_pb2.WORKER_ACTION_PAUSE


@dataclass(frozen=True)
class Measurement:
    """A policy measured on items."""

    statistics: Sequence[Statistic]
    """What was measured."""
    grades: GradeCounts
    """How the completions were graded."""
    rollouts_uri: str
    """The measurement's rollouts."""

    @property
    def reward(self) -> Statistic:
        """The mean grade, by which checkpoints are chosen."""
        return next(statistic for statistic in self.statistics if statistic.name == "mean_grade")


@dataclass(frozen=True)
class StepRecord:
    """What the loop knows of a step when it commits it."""

    number: int
    """1, 2, … within the phase; 0 is the validation before the first update."""
    phase: wire.JobPhase
    """Warm-up or training."""
    policy: Policy
    """The samplers' policy after the step."""
    warm_up: learning_pb2.WarmUpMetrics | None = None
    """What the warm-up measured."""
    update: learning_pb2.UpdateMetrics | None = None
    """What the update measured."""
    rollouts: Sequence[Rollout] = ()
    """The training rollouts."""
    rollouts_uri: str = ""
    """Where they are kept."""
    rollouts_sha256: str = ""
    """Hash of that file."""
    grades: GradeCounts | None = None
    """How they were graded."""
    validation: Measurement | None = None
    """The validation after the step."""


class Journal:
    """One worker's reports."""

    def __init__(self, client: WorkerClient, usage: Usage) -> None:
        self._client = client
        self._usage = usage
        self._story = Story(client)
        self._action = worker_pb2.WORKER_ACTION_CONTINUE
        self._lock = threading.Lock()
        # One heartbeat after another: one that was overtaken would take the job back to the phase before.
        self._beating = threading.Lock()
        self.waiting_for = ""
        """What the worker waits for, in words."""
        self.phase = wire.JOB_PHASE_PREPARING
        """What it is doing; `begin` changes it."""
        self.total_steps = 0
        """Updates planned."""
        self.total_warm_up_steps = 0
        """Warm-up steps planned."""
        self.wanted_replicas = 0
        """Samplers that the job wants; 0 where that is what its order says."""

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Say in every heartbeat of the block what is waited for."""
        self.waiting_for = what
        try:
            yield
        finally:
            self.waiting_for = ""

    def begin(self, phase: wire.JobPhase) -> None:
        """Begin a phase; once this returns, the job says so and names the steps that are planned."""
        self.phase = phase
        self._send_heartbeat(patient=True)

    def beat(self) -> None:
        """Send a heartbeat; one that does not get through is left to the next."""
        with contextlib.suppress(*AWAY):
            self._send_heartbeat(patient=False)

    def _send_heartbeat(self, *, patient: bool) -> None:
        with self._beating:
            action = self._client.heartbeat(
                waiting_for=self.waiting_for,
                phase=self.phase,
                total_steps=self.total_steps,
                total_warm_up_steps=self.total_warm_up_steps,
                wanted_replicas=self.wanted_replicas,
                patient=patient,
            )
        self._note(action)
        self._story.catch_up_unless_busy()

    def stop_if_asked(self) -> None:
        """Raise StopAsked where the user wants the job to stop."""
        if self._action in (worker_pb2.WORKER_ACTION_CANCEL, worker_pb2.WORKER_ACTION_PAUSE):
            raise StopAsked(self._action)

    def commit_step(self, record: StepRecord, timing: Mapping[str, float]) -> None:
        """Commit a step and where its time went: it counts from here on."""
        step = _step(record, timing)
        with self._in_the_story():
            self._note(self._client.commit_step(step, self._usage_message()))
        worker_metrics.observe(step)

    def commit_checkpoint(
        self,
        kind: wire.CheckpointKind,
        *,
        step: int,
        warm_up_step: int,
        policy: Policy,
        state_uri: str = "",
        validation: Measurement | None = None,
    ) -> tuple[wire.Checkpoint, list[str]]:
        """Record a checkpoint; returns it with its id, and the folders that may be deleted."""
        checkpoint = wire.Checkpoint(
            kind=kind,
            step_number=step,
            warm_up_step_number=warm_up_step,
            policy_uri="" if state_uri else policy.uri,
            state_uri=state_uri,
            policy_version=policy.version,
            content_hash=policy.content_hash,
            validation=None if validation is None else _validation(validation),
            usage=self._usage_message(),
        )
        with self._in_the_story():
            return self._client.commit_checkpoint(checkpoint)

    def commit_evaluation(self, name: str, measurement: Measurement, *, content_hash: str) -> None:
        """Record a finished evaluation."""
        evaluation = wire.Evaluation(
            order=wire.EvaluationOrder(name=name),
            state=wire.JOB_STATE_SUCCEEDED,
            statistics=[_statistic(one) for one in measurement.statistics],
            grades=_counts(measurement.grades),
            rollouts_uri=measurement.rollouts_uri,
            content_hash=content_hash,
        )
        with self._in_the_story():
            self._client.commit_evaluation(evaluation)

    def warn(self, message: str) -> None:
        """Add a warning to the log and to the job's events; one that does not get through stops no step and is kept."""
        log.warning(message)
        self._story.tell(wire.EVENT_LEVEL_WARN, message)

    def note(self, message: str) -> None:
        """Add good news to the log and to the job's events, as `warn` does bad ones."""
        log.info(message)
        self._story.tell(wire.EVENT_LEVEL_INFO, message)

    def finish(
        self, state: wire.JobState, *, error: wire.JobError | None = None, model_uri: str = "", best: str = ""
    ) -> None:
        """End the work; nothing can be told after that, so that events which wait go first."""
        self._story.catch_up(patient=True)
        self._client.finish(
            state, error=error, model_uri=model_uri, best_checkpoint_id=best, usage=self._usage_message()
        )

    def break_off(self) -> None:
        """Tell the events that wait, as this attempt ends and its successor knows nothing of them; raises nothing."""
        try:
            self._story.catch_up(patient=True)
        except PinetuneError:
            log.exception("the job's last events could not be told")

    @contextlib.contextmanager
    def _in_the_story(self) -> Iterator[None]:
        """Around a commit: events that wait come before it where they can, else right after it."""
        self._story.catch_up()
        yield
        self._story.catch_up()

    def _note(self, action: worker_pb2.WorkerAction) -> None:
        with self._lock:
            self._action = action

    def _usage_message(self) -> wire.Usage:
        usage = self._usage
        return wire.Usage(
            seconds=usage.seconds,
            sampled_token_count=usage.sampled_tokens,
            trained_token_count=usage.trained_tokens,
            compute_flops=usage.compute_flops,
            judge_token_count=usage.judge_tokens,
        )


def _step(record: StepRecord, timing: Mapping[str, float]) -> wire.Step:
    step = wire.Step(
        number=record.number,
        phase=record.phase,
        policy_version=record.policy.version,
        warm_up=record.warm_up,
        update=record.update,
        training_grades=None if record.grades is None else _counts(record.grades),
        validation=None if record.validation is None else _validation(record.validation),
        timing=wire.StepTiming(
            sampling_seconds=timing.get("sampling", 0.0),
            grading_seconds=timing.get("grading", 0.0),
            learning_seconds=timing.get("learning", 0.0),
            weights_seconds=timing.get("weights", 0.0),
            validation_seconds=timing.get("validation", 0.0),
            total_seconds=timing["total"],
        ),
        rollouts_uri=record.rollouts_uri,
        rollouts_sha256=record.rollouts_sha256,
        canary_gap=record.policy.canary_gap,
    )
    if record.rollouts:
        _describe_rollouts(step, record.rollouts)
    return step


def _describe_rollouts(step: wire.Step, rollouts: Sequence[Rollout]) -> None:
    """Fill in what a step says of its training rollouts; means of scores are over the graded ones."""
    scores = [rollout.grade.score for rollout in rollouts if rollout.grade.score is not None]
    if scores:
        step.train_reward_mean = mean(scores)
    parts: dict[str, list[float]] = defaultdict(list)
    for rollout in rollouts:
        for name, score in rollout.grade.part_scores.items():
            parts[name].append(score)
    step.train_part_means.update({name: mean(values) for name, values in parts.items()})
    lengths = [len(rollout.completion.token_ids) for rollout in rollouts]
    step.truncated_share = mean(rollout.completion.finish_reason is FinishReason.LENGTH for rollout in rollouts)
    step.completion_tokens_mean = mean(lengths)
    if step.timing.sampling_seconds > 0:
        step.sampled_tokens_per_second = sum(lengths) / step.timing.sampling_seconds


def _validation(measurement: Measurement) -> wire.ValidationResult:
    reward = measurement.reward
    return wire.ValidationResult(
        reward_mean=reward.value,
        reward_low=reward.low,
        reward_high=reward.high,
        grades=_counts(measurement.grades),
        statistics=[_statistic(one) for one in measurement.statistics],
        rollouts_uri=measurement.rollouts_uri,
    )


def _statistic(one: Statistic) -> wire.Statistic:
    return wire.Statistic(name=one.name, value=one.value, low=one.low, high=one.high, count=one.count)


def _counts(counts: GradeCounts) -> wire.GradeCounts:
    return wire.GradeCounts(
        sampled_count=counts.sampled,
        graded_count=counts.graded,
        ungraded_count=counts.ungraded,
        penalised_count=counts.penalised,
        common_errors=dict(counts.common_errors),
    )
