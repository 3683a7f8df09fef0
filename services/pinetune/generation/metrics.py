"""What the generation service shows to Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

from pinetune.pod.metrics import STEP_SECONDS

TOKENS = Counter("pinetune_generation_tokens_total", "Tokens read in prompts and sampled in completions.", ["kind"])
COMPLETIONS = Counter("pinetune_generation_completions_total", "Completions by why they ended.", ["finish_reason"])
GENERATE_TIME = Histogram("pinetune_generation_generate_seconds", "Time of a batch's sampling.", buckets=STEP_SECONDS)
NONFINITE_LOGPROBS = Counter(
    "pinetune_generation_nonfinite_logprobs_total",
    "Sampled tokens whose log-probability is no finite number; the policy has diverged, the learner drops them.",
)
TOKENS_PER_SECOND = Gauge(
    "pinetune_generation_tokens_per_second", "Tokens sampled per second of sampling in the last batch."
)
REQUESTS_WAITING = Gauge("pinetune_generation_requests_waiting", "Calls that wait for the engine or hold it.")
COMPLETIONS_RUNNING = Gauge("pinetune_generation_completions_running", "Completions of the batch being sampled.")
POLICY_VERSION = Gauge("pinetune_generation_policy_version", "Version of the held policy.")
LOAD_TIME = Histogram(
    "pinetune_generation_policy_load_seconds", "Time to read, check and place a policy.", buckets=STEP_SECONDS
)
