"""What the learning service shows to Prometheus. The last step's measurements are gauges; the history is in the job.

What has not been measured yet is NaN: a 0 would look like an effective share of no sample during the whole warm-up.
"""

import math

from prometheus_client import Counter, Gauge, Histogram

from pinetune.learning.learner import LearnerState
from pinetune.learning.measurements import UpdateMetrics
from pinetune.learning.warm_up import WarmUpMetrics
from pinetune.pod.metrics import STEP_SECONDS

TOKENS = Counter(
    "pinetune_learning_tokens_total", "Tokens of prompts and completions learnt from, passes counted once.", ["phase"]
)
DROPPED_TOKENS = Counter(
    "pinetune_learning_dropped_tokens_total",
    "Tokens left out of the loss because the sampler's log-probability was not finite.",
)
BOUNDED_TOKENS = Counter(
    "pinetune_learning_bounded_tokens_total",
    "Tokens, over all passes, whose log ratio of new to sampling policy passed the bound before its exponential.",
)
SECONDS = Histogram("pinetune_learning_step_seconds", "Duration of a step.", ["phase"], buckets=STEP_SECONDS)
STEP = Gauge("pinetune_learning_step", "Last step done.", ["phase"])
POLICY_VERSION = Gauge("pinetune_learning_policy_version", "Version of the last saved policy.")
LEARNING_RATE = Gauge("pinetune_learning_learning_rate", "Learning rate of the last step.", ["phase"])
GRADIENT_NORM = Gauge("pinetune_learning_gradient_norm", "Gradient norm of the last step before clipping.", ["phase"])
WARM_UP_LOSS = Gauge("pinetune_learning_warm_up_loss", "Mean cross-entropy of the last warm-up batch, in nats.")
WARM_UP_ACCURACY = Gauge(
    "pinetune_learning_warm_up_token_accuracy", "Share of the last warm-up batch's tokens that were most likely."
)
UPDATE_GAUGES = {
    "reward_mean": Gauge("pinetune_learning_reward_mean", "Mean reward of the last update."),
    "kl_to_reference": Gauge(
        "pinetune_learning_kl_to_reference", "Mean summed log ratio to the reference policy of a completion, in nats."
    ),
    "policy_loss": Gauge("pinetune_learning_policy_loss", "Clipped policy loss of the last update."),
    "value_loss": Gauge("pinetune_learning_value_loss", "Clipped value loss of the last update."),
    "explained_variance": Gauge(
        "pinetune_learning_explained_variance", "Share of the returns' variance that the old values explain."
    ),
    "entropy": Gauge("pinetune_learning_entropy", "Entropy of the policy at the sampled positions, in nats."),
    "clip_fraction": Gauge("pinetune_learning_clip_fraction", "Share of tokens whose ratio was clipped."),
    "approximate_kl": Gauge(
        "pinetune_learning_approximate_kl", "Estimated KL from the sampling to the new policy, in nats."
    ),
    "sampler_gap_mean": Gauge(
        "pinetune_learning_sampler_gap_mean",
        "Mean absolute gap of sampler's and learner's log-probabilities before the update, in nats.",
    ),
    "sampler_gap_p50": Gauge("pinetune_learning_sampler_gap_p50", "The median of that gap, in nats."),
    "sampler_gap_p95": Gauge("pinetune_learning_sampler_gap_p95", "The 95th percentile of that gap, in nats."),
    "sampler_gap_p99": Gauge("pinetune_learning_sampler_gap_p99", "The 99th percentile of that gap, in nats."),
    "sampler_gap_max": Gauge("pinetune_learning_sampler_gap_max", "The largest such gap, in nats."),
    "effective_sample_share": Gauge(
        "pinetune_learning_effective_sample_share", "Effective share of the tokens, given that gap; 0 to 1."
    ),
    "effective_sequence_share": Gauge(
        "pinetune_learning_effective_sequence_share", "Effective share of the completions, given that gap; 0 to 1."
    ),
    "zero_variance_group_share": Gauge(
        "pinetune_learning_zero_variance_group_share", "Share of groups whose rewards are all equal; 0 to 1."
    ),
}
"""One gauge for each of these fields of `UpdateMetrics`."""
for _gauge in (WARM_UP_LOSS, WARM_UP_ACCURACY, *UPDATE_GAUGES.values()):
    _gauge.set(math.nan)


def show_warm_up(step: int, metrics: WarmUpMetrics) -> None:
    """Show what a warm-up step measured."""
    _show_step("warm_up", step, metrics)
    WARM_UP_LOSS.set(metrics.loss)
    WARM_UP_ACCURACY.set(metrics.token_accuracy)


def show_update(step: int, metrics: UpdateMetrics) -> None:
    """Show what an update measured."""
    _show_step("update", step, metrics)
    DROPPED_TOKENS.inc(metrics.dropped_token_count)
    BOUNDED_TOKENS.inc(metrics.bounded_token_count)
    for name, gauge in UPDATE_GAUGES.items():
        gauge.set(getattr(metrics, name))


def show_state(state: LearnerState) -> None:
    """Show how far the learner is."""
    POLICY_VERSION.set(state.policy_version)
    STEP.labels("warm_up").set(state.warm_up_step)
    STEP.labels("update").set(state.update_step)


def _show_step(phase: str, step: int, metrics: WarmUpMetrics | UpdateMetrics) -> None:
    STEP.labels(phase).set(step)
    TOKENS.labels(phase).inc(metrics.token_count)
    SECONDS.labels(phase).observe(metrics.seconds)
    LEARNING_RATE.labels(phase).set(metrics.learning_rate)
    GRADIENT_NORM.labels(phase).set(metrics.gradient_norm)
