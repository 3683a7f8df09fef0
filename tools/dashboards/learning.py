"""The learner of jobs: is the update sound."""

from tools.dashboards.panel import JOB, Board, Panel, lines, share

J = JOB


def learnt(title: str, description: str, unit: str, *names: str, alerts: tuple[str, ...] = ()) -> Panel:
    """Return a panel with gauges of the learner as they are."""
    queries = [
        (f"max by (job_id) (pinetune_learning_{name}{{{J}}})", f"{{{{job_id}}}} {name.replace('_', ' ')}")
        for name in names
    ]
    return lines(title, description, unit, *queries, alerts=alerts)


BOARD = Board(
    "learning",
    "Pinetune: learning",
    "The learner of jobs: is the update sound.",
    [
        learnt("Reward", "Mean reward of the last update, after the job's policies on errors.", "none", "reward_mean"),
        lines(
            "Tokens per second",
            "Tokens of prompts and completions learnt from.",
            "short",
            (f"sum by (job_id, phase) (job_id:pinetune_learning_tokens:rate5m{{{J}}})", "{{job_id}} {{phase}}"),
            minimum=0,
        ),
        share(
            "Groups without a difference",
            "Share of groups whose rewards are all equal: they teach nothing.",
            (f"max by (job_id) (pinetune_learning_zero_variance_group_share{{{J}}})", "{{job_id}}"),
            alerts=("PinetuneNoLearningSignal",),
        ),
        learnt(
            "KL to the reference",
            "Summed log ratio of a completion to the reference policy, in nats.",
            "none",
            "kl_to_reference",
            alerts=("PinetuneKlHigh",),
        ),
        learnt(
            "Gap of sampler and learner",
            "Absolute gap of their log-probabilities before the update, in nats: mean, percentiles, largest.",
            "none",
            "sampler_gap_mean",
            "sampler_gap_p50",
            "sampler_gap_p95",
            "sampler_gap_p99",
            "sampler_gap_max",
            alerts=("PinetuneSamplerGapHigh",),
        ),
        share(
            "Effective share of the samples",
            "What tokens and whole completions are worth given that gap. 1 is all of them.",
            (f"min by (job_id) (pinetune_learning_effective_sample_share{{{J}}})", "{{job_id}} tokens"),
            (f"min by (job_id) (pinetune_learning_effective_sequence_share{{{J}}})", "{{job_id}} completions"),
            alerts=("PinetuneEffectiveSampleShareLow",),
        ),
        learnt(
            "Change of an update",
            "Estimated KL from the sampling to the new policy, in nats a token.",
            "none",
            "approximate_kl",
            alerts=("PinetuneUpdateTooLarge",),
        ),
        share(
            "Clipped tokens",
            "Share of tokens whose ratio was clipped; a tenth or two is usual.",
            (f"max by (job_id) (pinetune_learning_clip_fraction{{{J}}})", "{{job_id}}"),
            alerts=("PinetuneUpdateTooLarge",),
        ),
        learnt(
            "Entropy",
            "Of the policy at the sampled positions, in nats. Near 0 it always says the same and finds nothing new.",
            "none",
            "entropy",
        ),
        lines(
            "Gradient norm",
            "Before clipping. A trend upwards over hours is a warning.",
            "none",
            (f"max by (job_id, phase) (pinetune_learning_gradient_norm{{{J}}})", "{{job_id}} {{phase}}"),
            minimum=0,
            alerts=["PinetuneGradientNormGrowing", "PinetunePolicyDiverged"],
        ),
        learnt("Losses", "Clipped losses of policy and value of the last update.", "none", "policy_loss", "value_loss"),
        learnt(
            "Explained variance",
            "Share of the returns' variance that the values explain. 1 is perfect; below 0 they mislead.",
            "none",
            "explained_variance",
        ),
        lines(
            "Learning rate",
            "Of the last step.",
            "sci",
            (f"max by (job_id, phase) (pinetune_learning_learning_rate{{{J}}})", "{{job_id}} {{phase}}"),
            minimum=0,
        ),
        learnt(
            "Warm-up",
            "Mean cross-entropy of the last batch, in nats, and the share of tokens that were most likely.",
            "none",
            "warm_up_loss",
            "warm_up_token_accuracy",
        ),
        lines(
            "Duration of a step of the learner",
            "Mean over five minutes.",
            "s",
            (
                f"sum by (job_id, phase) (rate(pinetune_learning_step_seconds_sum{{{J}}}[5m]))"
                f" / (sum by (job_id, phase) (rate(pinetune_learning_step_seconds_count{{{J}}}[5m])) > 0)",
                "{{job_id}} {{phase}}",
            ),
            minimum=0,
        ),
        lines(
            "Dropped and bounded tokens",
            "Per second: left out for a log-probability that is not finite; log ratio cut before its exponential.",
            "short",
            (f"sum by (job_id) (rate(pinetune_learning_dropped_tokens_total{{{J}}}[5m]))", "{{job_id}} dropped"),
            (f"sum by (job_id) (rate(pinetune_learning_bounded_tokens_total{{{J}}}[5m]))", "{{job_id}} bounded"),
            minimum=0,
            alerts=["PinetuneNonfiniteLogprobs"],
        ),
        lines(
            "Steps and policy",
            "Last step of each phase, and the version of the last saved policy.",
            "short",
            (f"max by (job_id, phase) (pinetune_learning_step{{{J}}})", "{{job_id}} {{phase}}"),
            (f"max by (job_id) (pinetune_learning_policy_version{{{J}}})", "{{job_id}} policy"),
            minimum=0,
        ),
    ],
)
