"""One job, or a few side by side: does it learn, how fast, on what does it wait."""

from tools.dashboards.panel import JOB, Board, lines, number, share

J = JOB
BY = "by (job_id)"
BOARD = Board(
    "job",
    "Pinetune: job",
    "One job, or a few side by side: does it learn, how fast, on what does it wait.",
    [
        lines(
            "Reward",
            "Mean score of the last training step and validation, 0 to 1. Beware if training alone rises.",
            "percentunit",
            (f"max {BY} (pinetune_jobs_train_reward_mean{{{J}}})", "{{job_id}} training"),
            (f"max {BY} (job_id:pinetune_jobs_validation_reward_mean:last{{{J}}})", "{{job_id}} validation"),
            minimum=0,
            maximum=1,
            alerts=["PinetuneRewardNotMoving", "PinetuneNoLearningSignal"],
        ),
        lines(
            "Sampled tokens per second",
            "Tokens per second of sampling in the last step.",
            "short",
            (f"max {BY} (pinetune_jobs_sampled_tokens_per_second{{{J}}})", "{{job_id}}"),
            minimum=0,
        ),
        number("Step", "Last committed update.", "short", f"max(job_id:pinetune_jobs_step:last{{{J}}})"),
        number(
            "Done", "Share of the planned updates.", "percentunit", f"max(job_id:pinetune_jobs_progress:ratio{{{J}}})"
        ),
        number(
            "Since the last step",
            "Time since a step was committed or a phase began; the longest of the chosen jobs.",
            "s",
            f"max(job_id:pinetune_jobs_since_last_step_seconds:max{{{J}}})",
            alerts=["PinetuneStepStalled"],
        ),
        number(
            "Since the last heartbeat",
            "Workers speak every 2 s and are given up after 180 s.",
            "s",
            f"max(job_id:pinetune_jobs_since_last_heartbeat_seconds:max{{{J}}})",
            alerts=["PinetuneWorkerSilent"],
        ),
        lines(
            "Smoothed reward",
            "Training reward averaged over half an hour; the alert compares it with that of two hours before.",
            "percentunit",
            (f"job_id:pinetune_jobs_train_reward_mean:avg30m{{{J}}}", "{{job_id}}"),
            minimum=0,
            maximum=1,
            alerts=["PinetuneRewardNotMoving"],
        ),
        lines(
            "Steps",
            "Last committed step: warm-up, then updates.",
            "short",
            (f"max {BY} (pinetune_jobs_warm_up_step{{{J}}})", "{{job_id}} warm-up"),
            (f"max {BY} (pinetune_jobs_step{{{J}}})", "{{job_id}} update"),
            (f"max {BY} (pinetune_jobs_planned_steps{{{J}}})", "{{job_id}} planned"),
            minimum=0,
        ),
        lines(
            "Steps per second",
            "How fast steps are committed.",
            "short",
            (f"sum by (job_id, phase) (job_id:pinetune_worker_steps:rate5m{{{J}}})", "{{job_id}} {{phase}}"),
            minimum=0,
        ),
        lines(
            "Step by part",
            "Seconds of each second that steps spend in each part.",
            "s",
            (
                f"sum by (job_id, part) (rate(pinetune_worker_step_part_seconds_total{{{J}}}[5m]))",
                "{{job_id}} {{part}}",
            ),
            minimum=0,
            alerts=["PinetuneStepStalled"],
        ),
        lines(
            "Duration of a step",
            "The last step and the median of two hours.",
            "s",
            (f"max {BY} (pinetune_jobs_last_step_seconds{{{J}}})", "{{job_id}} last"),
            (f"job_id:pinetune_jobs_last_step_seconds:median2h{{{J}}}", "{{job_id}} median"),
            minimum=0,
            alerts=["PinetuneStepStalled"],
        ),
        share(
            "Completions without a score",
            "Share of the last step's completions without a grade. At 50%, unless told otherwise, the job fails.",
            (f"max {BY} (pinetune_jobs_ungraded_share{{{J}}})", "{{job_id}}"),
            alerts=["PinetuneUngradedShareHigh"],
        ),
        lines(
            "Completions by what became of them",
            "Per second. Graded and ungraded add up to sampled; ungraded ones may also be penalised.",
            "short",
            (f"sum by (outcome) (rate(pinetune_worker_completions_total{{{J}}}[5m]))", "{{outcome}}"),
            minimum=0,
            alerts=["PinetuneGraderErrors"],
        ),
        lines(
            "Canary gap",
            "Gap of the canary's log-probabilities between sampler and learner after the last push of weights.",
            "none",
            (f"max {BY} (pinetune_jobs_canary_gap{{{J}}})", "{{job_id}}"),
            minimum=0,
            alerts=["PinetuneCanaryGapHigh", "PinetuneWeightsNotAttested"],
        ),
        lines(
            "Policy version",
            "Of the learner and of each sampler. They are equal but for the time of a push.",
            "short",
            (f"max by (job_id, room, process) (pinetune_learning_policy_version{{{J}}})", "{{job_id}} {{process}}"),
            (f"max by (job_id, room, process) (pinetune_generation_policy_version{{{J}}})", "{{job_id}} {{process}}"),
            alerts=["PinetuneWeightsNotAttested"],
        ),
        lines(
            "KL to the reference",
            "Summed log ratio of a completion to the reference policy. It rises as the policy learns; slowly is good.",
            "none",
            (f"max {BY} (pinetune_learning_kl_to_reference{{{J}}})", "{{job_id}}"),
            alerts=["PinetuneKlHigh"],
        ),
        lines(
            "Memory",
            "Resident memory of each process of the job.",
            "bytes",
            (f"max by (job_id, process) (process_resident_memory_bytes{{{J}}})", "{{job_id}} {{process}}"),
            minimum=0,
            alerts=["PinetuneMemoryGrowing"],
        ),
    ],
)
