"""What a worker shows at /metrics: the reward and the pace of the one job it works on.

What has not been measured yet is NaN, never a 0 that looks like a bad reward.
"""

import math

from prometheus_client import Counter, Gauge

from pinetune.api.jobs.v1 import jobs_pb2 as wire


def _unmeasured(name: str, documentation: str) -> Gauge:
    gauge = Gauge(name, documentation)
    gauge.set(math.nan)
    return gauge


TRAIN_REWARD = _unmeasured(
    "pinetune_worker_train_reward_mean", "Mean score of the last step's graded training completions, 0 to 1."
)
VALIDATION_REWARD = _unmeasured("pinetune_worker_validation_reward_mean", "Mean score of the last validation, 0 to 1.")
SAMPLED_TOKENS_PER_SECOND = _unmeasured(
    "pinetune_worker_sampled_tokens_per_second", "Tokens sampled per second of sampling in the last step."
)
CANARY_GAP = _unmeasured(
    "pinetune_worker_canary_gap",
    "Mean gap of the canary's log-probabilities between sampler and learner after the last policy, in nats.",
)
UPDATE_GAUGES = {
    "sampler_gap_mean": Gauge(
        "pinetune_worker_sampler_gap_mean",
        "Mean absolute gap of sampler's and learner's log-probabilities of the last step's tokens, in nats.",
    ),
    "sampler_gap_p50": Gauge("pinetune_worker_sampler_gap_p50", "The median of that gap, in nats."),
    "sampler_gap_p95": Gauge("pinetune_worker_sampler_gap_p95", "The 95th percentile of that gap, in nats."),
    "sampler_gap_p99": Gauge("pinetune_worker_sampler_gap_p99", "The 99th percentile of that gap, in nats."),
    "sampler_gap_max": Gauge("pinetune_worker_sampler_gap_max", "The largest such gap, in nats."),
    "effective_sample_share": Gauge(
        "pinetune_worker_effective_sample_share", "Effective share of the tokens, given that gap; 0 to 1."
    ),
    "effective_sequence_share": Gauge(
        "pinetune_worker_effective_sequence_share", "Effective share of the completions, given that gap; 0 to 1."
    ),
}
"""One gauge for each of these fields of `UpdateMetrics`: how far sampler and learner were apart in the last step."""
for _gauge in UPDATE_GAUGES.values():
    _gauge.set(math.nan)
BOUNDED_TOKENS = Counter(
    "pinetune_worker_bounded_tokens_total",
    "Tokens, over all passes, whose log ratio of new to sampling policy passed the bound before its exponential.",
)
STEP = Gauge("pinetune_worker_step", "Last committed step of the phase.", ["phase"])
STEPS = Counter("pinetune_worker_steps_total", "Steps committed by this worker.", ["phase"])
COMPLETIONS = Counter(
    "pinetune_worker_completions_total",
    "Training completions by what became of them; ungraded ones may also be penalised.",
    ["outcome"],
)
REPLICAS_PRESENT = Gauge(
    "pinetune_worker_generation_replicas", "Generation replicas that hold the current policy and may be given work."
)
REPLICAS_WANTED = Gauge(
    "pinetune_worker_replicas_wanted", "Generation replicas that the job wants, by how long its steps sample."
)
REPLICAS_LOST = Counter("pinetune_worker_generation_replicas_lost_total", "Times that a generation replica was lost.")
REPLICAS_GIVEN_UP = Counter(
    "pinetune_worker_generation_replicas_given_up_total",
    "Times that a generation replica beyond those ordered could not be used, so that the job went on without it.",
)
BROKEN_BROADCASTS = Counter(
    "pinetune_worker_broken_broadcasts_total",
    "Policies whose broadcast failed on the way, so that each sampler got a stream.",
)
PROMPTS_MOVED = Counter(
    "pinetune_worker_prompts_moved_total",
    "Prompts that were sampled again because their replica was lost or busy, or a second time because it was slow.",
    ["reason"],
)
STEP_PART_SECONDS = Counter("pinetune_worker_step_part_seconds_total", "Seconds of committed steps by part.", ["part"])


def show_canary_gap(gap: float) -> None:
    """Show how far sampler and learner are apart, before anybody decides whether that is too far."""
    CANARY_GAP.set(gap)


def observe(step: wire.Step) -> None:
    """Show a committed step."""
    phase = wire.JobPhase.Name(step.phase).removeprefix("JOB_PHASE_").lower()
    STEP.labels(phase).set(step.number)
    STEPS.labels(phase).inc()
    if step.HasField("train_reward_mean"):
        TRAIN_REWARD.set(step.train_reward_mean)
        SAMPLED_TOKENS_PER_SECOND.set(step.sampled_tokens_per_second)
    if step.HasField("validation"):
        VALIDATION_REWARD.set(step.validation.reward_mean)
    if step.HasField("update"):
        for name, gauge in UPDATE_GAUGES.items():
            gauge.set(getattr(step.update, name))
        BOUNDED_TOKENS.inc(step.update.bounded_token_count)
    grades = step.training_grades
    for outcome in ("sampled", "graded", "ungraded", "penalised"):
        COMPLETIONS.labels(outcome).inc(getattr(grades, f"{outcome}_count"))
    for part in ("sampling", "grading", "learning", "weights", "validation"):
        STEP_PART_SECONDS.labels(part).inc(getattr(step.timing, f"{part}_seconds"))
