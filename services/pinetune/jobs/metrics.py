"""The metrics of the jobs room. What is about one job has its id as a label, and goes when the job has ended.

The label is `job_id`: `job` is Prometheus's own word for what it scrapes.
"""

import logging
import shutil
from functools import partial
from pathlib import Path
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.pod.metrics import CALL_SECONDS, STEP_SECONDS
from pinetune.pod.storage import is_local, open_address

log = logging.getLogger(__name__)

JOBS = Gauge("pinetune_jobs_jobs", "Jobs in each state.", ["state"])
EVALUATIONS = Gauge("pinetune_jobs_evaluations", "Evaluations in each state.", ["state"])
QUEUE_LENGTH = Gauge("pinetune_jobs_queue_length", "Jobs and evaluations that wait for their turn.")
OLDEST_QUEUED = Gauge(
    "pinetune_jobs_oldest_queued_seconds",
    "How long this process has seen the longest waiting job or evaluation in the queue; 0 where none waits.",
)
PENDING = Gauge(
    "pinetune_jobs_pending", "Running jobs and evaluations whose processes the cluster keeps from starting."
)
WATCHERS = Gauge("pinetune_jobs_watchers", "Streams of WatchJob that are open.")

STEP = Gauge("pinetune_jobs_step", "Last committed update step of a running job.", ["job_id"])
PLANNED_STEPS = Gauge("pinetune_jobs_planned_steps", "Update steps planned for a running job.", ["job_id"])
WARM_UP_STEP = Gauge("pinetune_jobs_warm_up_step", "Last committed warm-up step of a running job.", ["job_id"])
TRAIN_REWARD_MEAN = Gauge("pinetune_jobs_train_reward_mean", "Mean score of the last step's completions.", ["job_id"])
VALIDATION_REWARD_MEAN = Gauge("pinetune_jobs_validation_reward_mean", "Mean score of the last validation.", ["job_id"])
SAMPLED_TOKENS = Gauge(
    "pinetune_jobs_sampled_tokens_per_second", "Sampled tokens per second of sampling in the last step.", ["job_id"]
)
CANARY_GAP = Gauge(
    "pinetune_jobs_canary_gap", "Gap of the canary's log-probabilities after the last policy was loaded.", ["job_id"]
)
UNGRADED_SHARE = Gauge(
    "pinetune_jobs_ungraded_share", "Share of the last step's completions without a score.", ["job_id"]
)
SAMPLER_GAP_P99 = Gauge(
    "pinetune_jobs_sampler_gap_p99",
    "99th percentile of the gap of sampler's and learner's log-probabilities in the last step, in nats.",
    ["job_id"],
)
EFFECTIVE_SAMPLE_SHARE = Gauge(
    "pinetune_jobs_effective_sample_share",
    "Effective share of the last step's tokens, given that gap; 0 to 1.",
    ["job_id"],
)
LAST_NEWS_TIME = Gauge(
    "pinetune_jobs_last_heartbeat_timestamp_seconds", "When a running job's worker was last heard of.", ["job_id"]
)
LAST_STEP_TIME = Gauge(
    "pinetune_jobs_last_step_timestamp_seconds",
    "When a running job last committed a step or began a phase; gone while it compares models, which has no steps.",
    ["job_id"],
)
LAST_STEP_SECONDS = Gauge("pinetune_jobs_last_step_seconds", "Duration of a running job's last step.", ["job_id"])
PER_JOB = (
    STEP,
    PLANNED_STEPS,
    WARM_UP_STEP,
    TRAIN_REWARD_MEAN,
    VALIDATION_REWARD_MEAN,
    SAMPLED_TOKENS,
    CANARY_GAP,
    SAMPLER_GAP_P99,
    EFFECTIVE_SAMPLE_SHARE,
    UNGRADED_SHARE,
    LAST_NEWS_TIME,
    LAST_STEP_TIME,
    LAST_STEP_SECONDS,
)

STEPS = Counter("pinetune_jobs_steps_total", "Committed steps.", ["phase"])
STEPS_TAKEN_BACK = Counter("pinetune_jobs_steps_taken_back_total", "Steps taken back to be done again.")
STEP_TIME = Histogram(
    "pinetune_jobs_step_seconds", "Duration of committed steps by part.", ["part"], buckets=STEP_SECONDS
)
COMPLETIONS = Counter(
    "pinetune_jobs_completions_total",
    "Training completions: sampled, graded, ungraded, penalised. `graded` and `ungraded` add up to `sampled`.",
    ["outcome"],
)
EVENTS = Counter("pinetune_jobs_events_total", "Events of jobs.", ["level"])
ENDINGS = Counter("pinetune_jobs_endings_total", "Jobs and evaluations that ended.", ["kind", "state"])
FAULTS = Counter(
    "pinetune_jobs_faults_total",
    "Jobs and evaluations that failed, by the reason word of their error.",
    ["kind", "reason"],
)
LAUNCHES = Counter("pinetune_jobs_launches_total", "Workers started.", ["kind"])
RESTARTS = Counter("pinetune_jobs_restarts_total", "Workers started again because they had died.", ["kind"])
REPLICA_RESTARTS = Counter(
    "pinetune_jobs_replica_restarts_total", "Generation replicas started again alone because they had died."
)
SCHEDULER_FAILURES = Counter(
    "pinetune_jobs_scheduler_failures_total", "Rounds of the scheduler that failed; each is a fault of ours."
)
STALE_CALLS = Counter("pinetune_jobs_stale_calls_total", "Calls of workers that had lost their lease.")
DATABASE_ERRORS = Counter(
    "pinetune_jobs_database_errors_total", "Statements that the database refused or did not answer."
)
DATABASE_WRITE_TIME = Histogram(
    "pinetune_jobs_database_write_seconds",
    "Time of a writing transaction, its wait for its turn included.",
    buckets=CALL_SECONDS,
)
DATABASE_BYTES = Gauge("pinetune_jobs_database_bytes", "Size of the database.")
DATA_FREE_BYTES = Gauge(
    "pinetune_jobs_data_free_bytes",
    "Free space of the disk with the `place`: state, or artifacts where these are on a disk.",
    ["place"],
)
DATA_SIZE_BYTES = Gauge(
    "pinetune_jobs_data_size_bytes",
    "Size of the disk with the `place`: state, or artifacts where these are on a disk.",
    ["place"],
)

_phases: dict[str, int] = {}
"""What each running job does, as its worker last said."""


def watch_disks(*, state: Path, artifacts_uri: str) -> None:
    """Ask at each scrape, from now on, how much space there is for the state, and for artifacts that are on a disk."""
    folders = {"state": state}
    filesystem, path = open_address(artifacts_uri)
    if is_local(filesystem):
        folders["artifacts"] = Path(path)
    DATA_FREE_BYTES.clear()
    DATA_SIZE_BYTES.clear()
    for place, folder in folders.items():
        DATA_FREE_BYTES.labels(place).set_function(partial(_space, folder, "free"))
        DATA_SIZE_BYTES.labels(place).set_function(partial(_space, folder, "total"))


def _space(folder: Path, what: Literal["free", "total"]) -> float:
    """Return the bytes of the disk that the folder is on, or will be once it is made; no number where none is told."""
    try:
        there = next(one for one in (folder, *folder.parents) if one.exists())
        return float(getattr(shutil.disk_usage(there), what))
    except OSError as error:
        # A share that is gone must not take all other metrics along.
        log.warning("the disk of %s does not tell its space: %s", folder, error)
        return float("nan")


def note_heartbeat(job_id: str, phase: int, moment: int) -> None:
    """Show that a job's worker lives and what it does; `moment` is in microseconds."""
    LAST_NEWS_TIME.labels(job_id).set(moment / 1e6)
    if _phases.get(job_id) == phase:
        return
    _phases[job_id] = phase
    if phase == wire.JOB_PHASE_COMPARING:
        LAST_STEP_TIME.remove_by_labels({"job_id": job_id})
    else:
        LAST_STEP_TIME.labels(job_id).set(moment / 1e6)


def note_step(job_id: str, step: wire.Step) -> None:
    """Show a committed step."""
    STEPS.labels(wire.JobPhase.Name(step.phase).removeprefix("JOB_PHASE_").lower()).inc()
    LAST_STEP_TIME.labels(job_id).set(step.commit_time.ToMicroseconds() / 1e6)
    LAST_STEP_SECONDS.labels(job_id).set(step.timing.total_seconds)
    for field, seconds in step.timing.ListFields():
        STEP_TIME.labels(field.name.removesuffix("_seconds")).observe(seconds)
    if step.phase == wire.JOB_PHASE_WARM_UP:
        WARM_UP_STEP.labels(job_id).set(step.number)
    else:
        STEP.labels(job_id).set(step.number)
    if step.HasField("train_reward_mean"):
        TRAIN_REWARD_MEAN.labels(job_id).set(step.train_reward_mean)
    if step.HasField("validation"):
        VALIDATION_REWARD_MEAN.labels(job_id).set(step.validation.reward_mean)
    if step.sampled_tokens_per_second:
        SAMPLED_TOKENS.labels(job_id).set(step.sampled_tokens_per_second)
    if step.HasField("canary_gap"):
        CANARY_GAP.labels(job_id).set(step.canary_gap)
    if step.HasField("update"):
        SAMPLER_GAP_P99.labels(job_id).set(step.update.sampler_gap_p99)
        EFFECTIVE_SAMPLE_SHARE.labels(job_id).set(step.update.effective_sample_share)
    if step.HasField("training_grades"):
        _note_grades(job_id, step.training_grades)


def forget_job(job_id: str) -> None:
    """Take away what is about one job, once it runs no more."""
    _phases.pop(job_id, None)
    for gauge in PER_JOB:
        gauge.remove_by_labels({"job_id": job_id})


def _note_grades(job_id: str, grades: wire.GradeCounts) -> None:
    for outcome, count in (
        ("sampled", grades.sampled_count),
        ("graded", grades.graded_count),
        ("ungraded", grades.ungraded_count),
        ("penalised", grades.penalised_count),
    ):
        COMPLETIONS.labels(outcome).inc(count)
    if grades.sampled_count:
        UNGRADED_SHARE.labels(job_id).set(grades.ungraded_count / grades.sampled_count)
