"""All of pinetune at a glance: what runs, what waits, what fails."""

from tools.dashboards.panel import NAMESPACE, Board, Panel, Query, lines, number, share

WRITES = "pinetune_jobs_database_write_seconds"

N = NAMESPACE
BOARD = Board(
    "fleet",
    "Pinetune: fleet",
    "All jobs and services: what runs, what waits, what fails.",
    [
        lines(
            "Reward by job",
            "Mean score of each running job's last training step, 0 to 1. It should rise.",
            "percentunit",
            (f"max by (namespace, job_id) (pinetune_jobs_train_reward_mean{{{N}}})", "{{job_id}}"),
            minimum=0,
            maximum=1,
            alerts=["PinetuneRewardNotMoving"],
        ),
        lines(
            "Tokens per second",
            "Tokens that are sampled (completion), read (prompt) and learnt from, over all jobs.",
            "short",
            (f"sum by (kind) (namespace:pinetune_generation_tokens:rate5m{{{N}}})", "{{kind}}"),
            (f"sum(job_id:pinetune_learning_tokens:rate5m{{{N}}})", "learnt"),
            minimum=0,
        ),
        number("Running", "Jobs that run.", "short", f'sum(pinetune_jobs_jobs{{{N}, state="running"}})'),
        number(
            "Waiting",
            "Jobs and evaluations in the queue.",
            "short",
            f"sum(pinetune_jobs_queue_length{{{N}}})",
            alerts=["PinetuneQueueStuck"],
        ),
        number(
            "Longest wait",
            "How long the oldest in the queue has waited.",
            "s",
            f"max(namespace:pinetune_jobs_oldest_queued_seconds:max{{{N}}})",
            alerts=["PinetuneQueueOld"],
        ),
        number(
            "Waiting for the cluster",
            "Running jobs whose pods the cluster does not start.",
            "short",
            f"sum(pinetune_jobs_pending{{{N}}})",
            alerts=["PinetunePodsPending"],
        ),
        Panel(
            "Alerts that fire",
            "Each with its severity; the runbook of that name says what to do. Empty is good.",
            "short",
            [Query(f'ALERTS{{{N}, alertname=~"Pinetune.+", alertstate="firing"}}')],
            kind="table",
        ),
        lines(
            "Jobs by state",
            "Jobs in each state, ended ones included.",
            "short",
            (f"sum by (state) (pinetune_jobs_jobs{{{N}}})", "{{state}}"),
            minimum=0,
        ),
        lines(
            "Failures by reason",
            "Jobs and evaluations that failed within 15 minutes.",
            "short",
            (f"sum by (reason) (reason:pinetune_jobs_faults:increase15m{{{N}}})", "{{reason}}"),
            minimum=0,
            alerts=["PinetuneJobFailed", "PinetuneWeightsNotAttested", "PinetunePolicyDiverged"],
        ),
        lines(
            "Launches and restarts",
            "Workers started, and started again because they had died, since the jobs service began.",
            "short",
            (f"sum(pinetune_jobs_launches_total{{{N}}})", "launches"),
            (f"sum(pinetune_jobs_restarts_total{{{N}}}) or vector(0)", "restarts"),
            (f"sum(pinetune_jobs_replica_restarts_total{{{N}}})", "restarts of a replica alone"),
            (f"sum(pinetune_jobs_stale_calls_total{{{N}}})", "calls of replaced workers"),
            minimum=0,
            alerts=["PinetuneWorkerRestarts"],
        ),
        lines(
            "Calls by room",
            "Calls that each room answers a second.",
            "reqps",
            (f"sum by (room) (room:pinetune_pod_calls:rate5m{{{N}}})", "{{room}}"),
            minimum=0,
        ),
        share(
            "Calls that fail",
            "Share of calls that end in a fault of the callee's. Callers repeat them.",
            (f"max by (room) (room:pinetune_pod_call_errors:ratio_rate5m{{{N}}})", "{{room}}"),
            (f"max(namespace:pinetune_gateway_request_errors:ratio_rate5m{{{N}}})", "gateway, HTTP 5xx"),
            alerts=["PinetuneCallErrors"],
        ),
        lines(
            "Calls by code",
            "How calls end, over all rooms.",
            "reqps",
            (f"sum by (code) (rate(pinetune_pod_calls_total{{{N}}}[5m]))", "{{code}}"),
            minimum=0,
            alerts=["PinetuneCallErrors"],
        ),
        lines(
            "Time of a call, 99th percentile",
            "By room, over all its methods; updates take minutes, grades milliseconds.",
            "s",
            (
                f"histogram_quantile(0.99, sum by (room, le) (rate(pinetune_pod_call_seconds_bucket{{{N}}}[5m])))",
                "{{room}}",
            ),
            minimum=0,
        ),
        lines(
            "Time of a page, 99th percentile",
            "Time to answer an HTTP request.",
            "s",
            (
                f"histogram_quantile(0.99, sum by (le) (rate(pinetune_gateway_request_seconds_bucket{{{N}}}[5m])))",
                "gateway",
            ),
            minimum=0,
        ),
        lines(
            "Unexpected errors and failed rounds",
            "Exceptions that nobody foresaw, and rounds of the scheduler that failed, within 15 minutes. Should be 0.",
            "short",
            (f"sum by (room) (room:pinetune_pod_unexpected_errors:increase15m{{{N}}})", "{{room}}"),
            (f"sum(namespace:pinetune_jobs_scheduler_failures:increase15m{{{N}}})", "scheduler"),
            (f"sum(namespace:pinetune_jobs_database_errors:increase15m{{{N}}})", "database"),
            minimum=0,
            alerts=["PinetuneUnexpectedErrors", "PinetuneSchedulerFailures", "PinetuneDatabaseErrors"],
        ),
        lines(
            "Memory by room",
            "Resident memory of the largest process of each room. A slope that never ends is a leak.",
            "bytes",
            (f'max by (room) (process_resident_memory_bytes{{{N}, job="pinetune"}})', "{{room}}"),
            minimum=0,
            alerts=["PinetuneMemoryGrowing", "PinetunePodRestarting"],
        ),
        lines(
            "Processor by room",
            "Processor seconds a second of all processes of each room.",
            "short",
            (f'sum by (room) (rate(process_cpu_seconds_total{{{N}, job="pinetune"}}[5m]))', "{{room}}"),
            minimum=0,
        ),
        lines(
            "Processes that are up",
            "Processes that Prometheus reaches, by room.",
            "short",
            (f'sum by (room) (up{{{N}, job="pinetune"}})', "{{room}}"),
            minimum=0,
            alerts=["PinetuneTargetDown", "PinetuneRoomMissing"],
        ),
        share(
            "Free space",
            "Free share of the disks with the state (SQLite, logs) and with the artifacts (policies, checkpoints, "
            "rollouts, data sets). Artifacts in object storage have no line.",
            (
                f"min by (place) (pinetune_jobs_data_free_bytes{{{N}}} / pinetune_jobs_data_size_bytes{{{N}}})",
                "{{place}}",
            ),
            alerts=["PinetuneDiskSpaceLow"],
        ),
        lines(
            "Database",
            "Size of the database; rollouts and weights are not in it.",
            "bytes",
            (f"sum(pinetune_jobs_database_bytes{{{N}}})", "size"),
            minimum=0,
            alerts=["PinetuneDatabaseErrors"],
        ),
        lines(
            "Time of a database write",
            "The median and the 99th percentile of writing transactions, their wait for each other included.",
            "s",
            *(
                (f"histogram_quantile({quantile}, sum by (le) (rate({WRITES}_bucket{{{N}}}[5m])))", name)
                for quantile, name in ((0.5, "median"), (0.99, "99th percentile"))
            ),
            minimum=0,
            alerts=["PinetuneDatabaseErrors"],
        ),
        lines(
            "Spans of traces",
            "Spans a second that the collector took, and that were lost. 0 where no collector is named.",
            "short",
            (f"sum(rate(pinetune_pod_spans_sent_total{{{N}}}[5m])) or vector(0)", "sent"),
            (f"sum(rate(pinetune_pod_spans_dropped_total{{{N}}}[5m])) or vector(0)", "lost"),
            minimum=0,
        ),
    ],
    by_job=False,
)
