"""The samplers of jobs: how fast, how full, which policy."""

from tools.dashboards.panel import JOB, Board, lines, share

J = JOB
BOARD = Board(
    "generation",
    "Pinetune: generation",
    "The samplers of jobs: how fast, how full, which policy.",
    [
        lines(
            "Reward",
            "Mean score of the last training step: what the sampling is for.",
            "percentunit",
            (f"max by (job_id) (pinetune_jobs_train_reward_mean{{{J}}})", "{{job_id}}"),
            minimum=0,
            maximum=1,
        ),
        lines(
            "Tokens per second",
            "Tokens sampled (completion) and read (prompt), averaged over five minutes, pauses included.",
            "short",
            (f"sum by (job_id, kind) (job_id:pinetune_generation_tokens:rate5m{{{J}}})", "{{job_id}} {{kind}}"),
            minimum=0,
        ),
        lines(
            "Speed of sampling",
            "Tokens sampled per second of sampling in the last batch of each replica.",
            "short",
            (f"max by (job_id, process) (pinetune_generation_tokens_per_second{{{J}}})", "{{job_id}} {{process}}"),
            minimum=0,
        ),
        lines(
            "Completions by outcome",
            "Per second. `length` is cut off at the token limit; cancelled, refused and failed were asked for in vain.",
            "short",
            (
                f"sum by (job_id, outcome) (rate(pinetune_generation_completions_total{{{J}}}[5m]))",
                "{{job_id}} {{outcome}}",
            ),
            minimum=0,
            alerts=["PinetuneCompletionsCutOff", "PinetuneCompletionsFail"],
        ),
        share(
            "Completions cut off",
            "Share that ends at the token limit. Cut-off answers seldom have an answer in them.",
            (f"max by (job_id) (job_id:pinetune_generation_completions_cut_off:ratio_rate5m{{{J}}})", "{{job_id}}"),
            alerts=["PinetuneCompletionsCutOff"],
        ),
        lines(
            "Requests",
            "Calls that have the engine and calls that wait for it.",
            "short",
            (f"sum by (job_id) (pinetune_generation_requests_running{{{J}}})", "{{job_id}} running"),
            (f"sum by (job_id) (pinetune_generation_requests_waiting{{{J}}})", "{{job_id}} waiting"),
            minimum=0,
            alerts=["PinetuneCompletionsFail"],
        ),
        lines(
            "Completions",
            "Completions that are being sampled, and that wait for room.",
            "short",
            (
                f"max by (job_id, process) (pinetune_generation_completions_running{{{J}}})",
                "{{job_id}} {{process}} running",
            ),
            (
                f"max by (job_id, process) (pinetune_generation_completions_waiting{{{J}}})",
                "{{job_id}} {{process}} waiting",
            ),
            minimum=0,
            alerts=["PinetuneKvCacheFull"],
        ),
        share(
            "Use of the cache",
            "Share of the memory for keys and values that is in use. Full with completions waiting is the bottleneck.",
            (f"max by (job_id, process) (pinetune_generation_kv_cache_usage_ratio{{{J}}})", "{{job_id}} {{process}}"),
            alerts=["PinetuneKvCacheFull"],
        ),
        lines(
            "Time to the first token",
            "From a call's arrival to its first token, waiting included: the median and the 99th percentile.",
            "s",
            *(
                (
                    f"histogram_quantile({q}, sum by (job_id, le) "
                    f"(rate(pinetune_generation_first_token_seconds_bucket{{{J}}}[5m])))",
                    f"{{{{job_id}}}} {name}",
                )
                for q, name in ((0.5, "median"), (0.99, "99th percentile"))
            ),
            minimum=0,
        ),
        share(
            "Completions that fail",
            "Share that was refused or failed. Refused ones come again.",
            (f"max by (job_id) (job_id:pinetune_generation_completions_failed:ratio_rate5m{{{J}}})", "{{job_id}}"),
            alerts=["PinetuneCompletionsFail"],
        ),
        lines(
            "Replicas",
            "Replicas that hold the current policy, those wanted; prompts a second sampled again; lost replicas, those "
            "given up, broken broadcasts within 15 minutes.",
            "short",
            (f"max by (job_id) (pinetune_worker_generation_replicas{{{J}}})", "{{job_id}} present"),
            (f"max by (job_id) (pinetune_worker_replicas_wanted{{{J}}})", "{{job_id}} wanted"),
            (f"job_id:pinetune_worker_generation_replicas_lost:increase15m{{{J}}}", "{{job_id}} lost"),
            (f"job_id:pinetune_worker_generation_replicas_given_up:increase15m{{{J}}}", "{{job_id}} given up"),
            (f"sum(rate(pinetune_worker_prompts_moved_total{{{J}}}[5m])) or vector(0)", "prompts moved"),
            (f"sum(increase(pinetune_worker_broken_broadcasts_total{{{J}}}[15m])) or vector(0)", "broken broadcasts"),
            minimum=0,
            alerts=["PinetuneReplicasLost", "PinetuneReplicaGivenUp"],
        ),
        lines(
            "Time of a batch",
            "The median and the 99th percentile.",
            "s",
            *(
                (
                    f"histogram_quantile({q}, sum by (job_id, le) "
                    f"(rate(pinetune_generation_generate_seconds_bucket{{{J}}}[5m])))",
                    f"{{{{job_id}}}} {name}",
                )
                for q, name in ((0.5, "median"), (0.99, "99th percentile"))
            ),
            minimum=0,
        ),
        lines(
            "Policy version",
            "Of each replica. One that stays behind samples from an old policy; its completions are refused.",
            "short",
            (f"max by (job_id, process) (pinetune_generation_policy_version{{{J}}})", "{{job_id}} {{process}}"),
            alerts=["PinetuneWeightsNotAttested"],
        ),
        lines(
            "Time to load a policy",
            "Mean time to read, check and place a policy.",
            "s",
            (
                f"sum by (job_id) (rate(pinetune_generation_policy_load_seconds_sum{{{J}}}[5m]))"
                f" / (sum by (job_id) (rate(pinetune_generation_policy_load_seconds_count{{{J}}}[5m])) > 0)",
                "{{job_id}}",
            ),
            minimum=0,
        ),
        lines(
            "Log-probabilities that are no numbers",
            "Sampled tokens within 15 minutes whose log-probability is not finite. Should be 0.",
            "short",
            (f"job_id:pinetune_generation_nonfinite_logprobs:increase15m{{{J}}}", "{{job_id}}"),
            minimum=0,
            alerts=["PinetuneNonfiniteLogprobs"],
        ),
        lines(
            "Memory",
            "Resident memory of each replica.",
            "bytes",
            (
                f'max by (job_id, process) (process_resident_memory_bytes{{{J}, room="generation"}})',
                "{{job_id}} {{process}}",
            ),
            minimum=0,
            alerts=["PinetuneMemoryGrowing"],
        ),
    ],
)
