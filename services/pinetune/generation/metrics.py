"""What the generation service shows to Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

from pinetune.generation.engine import Engine
from pinetune.pod.metrics import CALL_SECONDS, STEP_SECONDS

TOKENS = Counter("pinetune_generation_tokens_total", "Tokens read in prompts and sampled in completions.", ["kind"])
COMPLETIONS = Counter(
    "pinetune_generation_completions_total",
    "Completions by outcome: stop and length were sampled; cancelled, refused and failed were asked for in vain.",
    ["outcome"],
)
GENERATE_TIME = Histogram("pinetune_generation_generate_seconds", "Time of a batch's sampling.", buckets=STEP_SECONDS)
FIRST_TOKEN_TIME = Histogram(
    "pinetune_generation_first_token_seconds",
    "Time from a call's arrival to its first sampled token, waiting included.",
    buckets=CALL_SECONDS,
)
NONFINITE_LOGPROBS = Counter(
    "pinetune_generation_nonfinite_logprobs_total",
    "Sampled tokens whose log-probability is no finite number; the policy has diverged, the learner drops them.",
)
TOKENS_PER_SECOND = Gauge(
    "pinetune_generation_tokens_per_second", "Tokens sampled per second of sampling in the last batch."
)
REQUESTS_RUNNING = Gauge("pinetune_generation_requests_running", "Calls that have the engine.")
REQUESTS_WAITING = Gauge("pinetune_generation_requests_waiting", "Calls that wait for the engine.")
COMPLETIONS_RUNNING = Gauge("pinetune_generation_completions_running", "Completions that are being sampled.")
COMPLETIONS_WAITING = Gauge("pinetune_generation_completions_waiting", "Completions that wait to be sampled.")
KV_CACHE_USAGE = Gauge(
    "pinetune_generation_kv_cache_usage_ratio", "Share of the memory for keys and values that is in use, 0 to 1."
)
POLICY_VERSION = Gauge("pinetune_generation_policy_version", "Version of the held policy.")
LOAD_TIME = Histogram(
    "pinetune_generation_policy_load_seconds", "Time to read, check and place a policy.", buckets=STEP_SECONDS
)


def show_load(engine: Engine) -> None:
    """Ask the engine how busy it is at each scrape, from now on."""
    COMPLETIONS_RUNNING.set_function(lambda: engine.load().running_count)
    COMPLETIONS_WAITING.set_function(lambda: engine.load().waiting_count)
    KV_CACHE_USAGE.set_function(lambda: engine.load().kv_cache_usage)
