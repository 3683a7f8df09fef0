"""The metrics of the jobs room. What is about one job has its id as a label, and goes when the job has ended."""

from prometheus_client import Counter, Gauge, Histogram

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.pod.metrics import STEP_SECONDS

JOBS = Gauge("pinetune_jobs_jobs", "Jobs in each state.", ["state"])
EVALUATIONS = Gauge("pinetune_jobs_evaluations", "Evaluations in each state.", ["state"])
QUEUE_LENGTH = Gauge("pinetune_jobs_queue_length", "Jobs and evaluations that wait for their turn.")
WATCHERS = Gauge("pinetune_jobs_watchers", "Streams of WatchJob that are open.")

STEP = Gauge("pinetune_jobs_step", "Last committed update step of a running job.", ["job"])
PLANNED_STEPS = Gauge("pinetune_jobs_planned_steps", "Update steps planned for a running job.", ["job"])
WARM_UP_STEP = Gauge("pinetune_jobs_warm_up_step", "Last committed warm-up step of a running job.", ["job"])
TRAIN_REWARD_MEAN = Gauge("pinetune_jobs_train_reward_mean", "Mean score of the last step's completions.", ["job"])
VALIDATION_REWARD_MEAN = Gauge("pinetune_jobs_validation_reward_mean", "Mean score of the last validation.", ["job"])
SAMPLED_TOKENS = Gauge(
    "pinetune_jobs_sampled_tokens_per_second", "Sampled tokens per second of sampling in the last step.", ["job"]
)
CANARY_GAP = Gauge(
    "pinetune_jobs_canary_gap", "Gap of the canary's log-probabilities after the last policy was loaded.", ["job"]
)
SAMPLER_GAP_P99 = Gauge(
    "pinetune_jobs_sampler_gap_p99",
    "99th percentile of the gap of sampler's and learner's log-probabilities in the last step, in nats.",
    ["job"],
)
EFFECTIVE_SAMPLE_SHARE = Gauge(
    "pinetune_jobs_effective_sample_share",
    "Effective share of the last step's tokens, given that gap; 0 to 1.",
    ["job"],
)
UNGRADED_SHARE = Gauge("pinetune_jobs_ungraded_share", "Share of the last step's completions without a score.", ["job"])
LAST_NEWS_TIME = Gauge(
    "pinetune_jobs_last_heartbeat_timestamp_seconds", "When a running job's worker was last heard of.", ["job"]
)
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
LAUNCHES = Counter("pinetune_jobs_launches_total", "Workers started.", ["kind"])
RESTARTS = Counter("pinetune_jobs_restarts_total", "Workers started again because they had died.", ["kind"])
REPLICA_RESTARTS = Counter(
    "pinetune_jobs_replica_restarts_total", "Generation replicas started again alone because they had died."
)
SCHEDULER_FAILURES = Counter(
    "pinetune_jobs_scheduler_failures_total", "Rounds of the scheduler that failed; each is a fault of ours."
)
STALE_CALLS = Counter("pinetune_jobs_stale_calls_total", "Calls of workers that had lost their lease.")


def note_step(job_id: str, step: wire.Step) -> None:
    """Show a committed step."""
    STEPS.labels(wire.JobPhase.Name(step.phase).removeprefix("JOB_PHASE_").lower()).inc()
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
    for gauge in PER_JOB:
        gauge.remove_by_labels({"job": job_id})


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
