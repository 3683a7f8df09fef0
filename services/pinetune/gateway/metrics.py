"""The gateway's metrics, beside those that every pod has."""

from prometheus_client import Counter, Histogram

from pinetune.pod.metrics import CALL_SECONDS

REQUESTS = Counter("pinetune_gateway_requests_total", "HTTP requests that were answered, by status code.", ["code"])
REQUEST_TIME = Histogram(
    "pinetune_gateway_request_seconds", "Time from an HTTP request to its answer.", buckets=CALL_SECONDS
)
