"""The grading service: what is scored, what fails, who is waited for."""

from tools.dashboards.panel import NAMESPACE, Board, Panel, Query, lines, share

N = NAMESPACE
BOARD = Board(
    "grading",
    "Pinetune: grading",
    "What is scored, what fails, who is waited for.",
    [
        lines(
            "Mean score by kind",
            "Mean of the scores given within five minutes, by kind of grader. The reward, before a job's policies.",
            "percentunit",
            (
                f"sum by (kind) (rate(pinetune_grading_score_sum{{{N}}}[5m]))"
                f" / (sum by (kind) (rate(pinetune_grading_score_count{{{N}}}[5m])) > 0)",
                "{{kind}}",
            ),
            minimum=0,
            maximum=1,
        ),
        lines(
            "Grades per second",
            "By grader, errors included.",
            "short",
            (f"sum by (grader) (grader:pinetune_grading_grades:rate5m{{{N}}})", "{{grader}}"),
            (f"sum(namespace:pinetune_grading_grades:rate5m{{{N}}})", "all"),
            minimum=0,
        ),
        share(
            "Errors by grader",
            "Share of grades that are an error in place of a score. They are kept out of the reward.",
            (f"max by (grader) (grader:pinetune_grading_grade_errors:ratio_rate5m{{{N}}})", "{{grader}}"),
            alerts=["PinetuneGraderErrors", "PinetuneUngradedShareHigh"],
        ),
        lines(
            "Errors by outcome",
            "Grades that are errors, per second, by class. The texts stand in the rollouts.",
            "short",
            (
                f'sum by (grader, outcome) (rate(pinetune_grading_grades_total{{{N}, outcome!="scored"}}[5m]))',
                "{{grader}} {{outcome}}",
            ),
            minimum=0,
            alerts=["PinetuneGraderErrors"],
        ),
        Panel(
            "Scores",
            "How scores are distributed over 0 to 1. All in one bucket leaves nothing to learn.",
            "short",
            [Query(f"sum by (le) (rate(pinetune_grading_score_bucket{{{N}}}[5m]))", "{{le}}")],
            kind="heatmap",
            alerts=["PinetuneNoLearningSignal"],
        ),
        lines(
            "Time of a batch",
            "By kind of grader: the median and the 99th percentile.",
            "s",
            (
                f"histogram_quantile(0.5, sum by (kind, le) (rate(pinetune_grading_grade_seconds_bucket{{{N}}}[5m])))",
                "{{kind}} median",
            ),
            (f"max by (kind) (kind:pinetune_grading_grade_seconds:p99_rate5m{{{N}}})", "{{kind}} 99th percentile"),
            minimum=0,
            alerts=["PinetuneGradingStuck"],
        ),
        lines(
            "Oldest batch",
            "Age of the oldest batch in flight. One that only rises is a grader that hangs.",
            "s",
            (f"max(namespace:pinetune_grading_oldest_batch_seconds:max{{{N}}})", "oldest"),
            minimum=0,
            alerts=["PinetuneGradingStuck"],
        ),
        lines(
            "In flight",
            "Batches that are graded, and samples that somebody outside was asked about.",
            "short",
            (f"sum(pinetune_grading_batches_in_flight{{{N}}})", "batches"),
            (f"sum by (kind) (pinetune_grading_questions_in_flight{{{N}}})", "questions, {{kind}}"),
            minimum=0,
        ),
        lines(
            "Samples in a batch",
            "The median and the 99th percentile.",
            "short",
            *(
                (
                    f"histogram_quantile({q}, sum by (le) (rate(pinetune_grading_batch_samples_bucket{{{N}}}[5m])))",
                    name,
                )
                for q, name in ((0.5, "median"), (0.99, "99th percentile"))
            ),
            minimum=0,
        ),
        lines(
            "Refused requests",
            "Graders and requests that were refused, per second, by reason.",
            "short",
            (f"sum by (reason) (rate(pinetune_grading_refusals_total{{{N}}}[5m]))", "{{reason}}"),
            minimum=0,
        ),
        lines(
            "Sandbox",
            "Processes of Python graders that live, and threads that wait for one.",
            "short",
            (f"sum(pinetune_grading_sandbox_workers{{{N}}})", "processes"),
            (f"sum(pinetune_grading_sandbox_waiting{{{N}}})", "waiting"),
            (f"sum(rate(pinetune_grading_sandbox_starts_total{{{N}}}[5m]))", "starts per second"),
            minimum=0,
        ),
        lines(
            "Kills by reason",
            "Processes of Python graders that ended before their time, within 15 minutes.",
            "short",
            (f"sum by (reason) (reason:pinetune_grading_sandbox_kills:increase15m{{{N}}})", "{{reason}}"),
            minimum=0,
            alerts=["PinetuneSandboxKills"],
        ),
        lines(
            "Calls to models by outcome",
            "Judge and embedding models, per second.",
            "reqps",
            (
                f"sum by (model, outcome) (rate(pinetune_grading_model_calls_total{{{N}}}[5m]))",
                "{{model}} {{outcome}}",
            ),
            minimum=0,
            alerts=["PinetuneJudgeErrors"],
        ),
        share(
            "Calls to models that fail",
            "Share of calls without a usable answer. A grade may ask three times.",
            (f"max by (model) (model:pinetune_grading_model_call_errors:ratio_rate5m{{{N}}})", "{{model}}"),
            alerts=["PinetuneJudgeErrors"],
        ),
        lines(
            "Models left alone",
            "1 while a model's breaker is open: its server failed again and again, and grades that need it are errors.",
            "short",
            (f"max by (model) (pinetune_grading_model_breaker_open{{{N}}})", "{{model}}"),
            minimum=0,
            maximum=1,
            alerts=["PinetuneJudgeBreakerOpen"],
        ),
        lines(
            "Time of a call to a model, 99th percentile",
            "By model.",
            "s",
            (
                "histogram_quantile(0.99, sum by (model, le) "
                f"(rate(pinetune_grading_model_call_seconds_bucket{{{N}}}[5m])))",
                "{{model}}",
            ),
            minimum=0,
        ),
        lines(
            "Tokens of models",
            "Tokens per second that judges used, and questions that needed no call.",
            "short",
            (f"sum by (model, kind) (rate(pinetune_grading_model_tokens_total{{{N}}}[5m]))", "{{model}} {{kind}}"),
            (f"sum by (model) (rate(pinetune_grading_model_cache_hits_total{{{N}}}[5m]))", "{{model}} asked before"),
            minimum=0,
        ),
        lines(
            "Questions that wait for a model",
            "Questions that wait for their turn.",
            "short",
            (f"sum by (model) (pinetune_grading_model_waiting{{{N}}})", "{{model}}"),
            minimum=0,
        ),
        lines(
            "Calls to remote graders by outcome",
            "Graders that teams run themselves, per second.",
            "reqps",
            (f"sum by (outcome) (rate(pinetune_grading_remote_calls_total{{{N}}}[5m]))", "{{outcome}}"),
            minimum=0,
            alerts=["PinetuneRemoteGraderErrors"],
        ),
        lines(
            "Time and failures of remote graders",
            "99th percentile of a call, and the share of calls without a usable answer.",
            "none",
            (
                f"histogram_quantile(0.99, sum by (le) (rate(pinetune_grading_remote_call_seconds_bucket{{{N}}}[5m])))",
                "seconds, 99th percentile",
            ),
            (f"max(namespace:pinetune_grading_remote_call_errors:ratio_rate5m{{{N}}})", "share that fails"),
            minimum=0,
            alerts=["PinetuneRemoteGraderErrors"],
        ),
    ],
    by_job=False,
)
