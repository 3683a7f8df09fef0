"""The metrics that every pod has, and the buckets that all rooms share.

A room's own metrics stand in `<room>/metrics.py`, named `pinetune_<room>_<what>_<unit>[_total]`, in the default
registry: one process is one pod, and that registry brings memory, file handles and garbage collection along.
"""

from prometheus_client import Counter, Gauge, Histogram

CALL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""Buckets for calls: from a grade of one sample (about a millisecond) to an update of a large model (minutes)."""
STEP_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 1200, 2400)
"""Buckets for what happens once a step: sampling, updates, weight transfer."""
BATCH_COUNT = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
"""Buckets for how many things came at once."""

CALLS = Counter("pinetune_pod_calls_total", "Calls that ended, by method and gRPC code.", ["method", "code"])
CALL_TIME = Histogram(
    "pinetune_pod_call_seconds", "Time from a call's first line of ours to its last.", ["method"], buckets=CALL_SECONDS
)
CALLS_IN_FLIGHT = Gauge("pinetune_pod_calls_in_flight", "Calls that are being handled.")
UNEXPECTED_ERRORS = Counter(
    "pinetune_pod_unexpected_errors_total", "Exceptions that no handler foresaw; each is a fault of ours.", ["method"]
)
SENT_SPANS = Counter("pinetune_pod_spans_sent_total", "Spans that the collector of traces took.")
DROPPED_SPANS = Counter(
    "pinetune_pod_spans_dropped_total",
    "Spans that were lost: the queue was full, the collector did not take them, or the pod had stopped.",
    ["reason"],
)
SERVING = Gauge("pinetune_pod_serving", "1 while the pod takes calls, 0 while it starts or stops.")
