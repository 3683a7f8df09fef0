"""The metrics of the grading room. Grades are counted in the core, a batch at a time, and arrive here as sums."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from pinetune.grading.graders import SCORE_BOUNDS, GradedBatch
from pinetune.pod.metrics import BATCH_COUNT, CALL_SECONDS

NAMES_MAX, NAME_CHARACTERS_MAX, OTHER_NAMES = 200, 64, "(other)"
"""Graders that have series of their own; those that come later share one."""
SCORED = "scored"
"""The outcome of a grade that has a score; the others are the error classes."""


class ScoreHistogram(Collector):
    """A histogram that takes whole batches: prometheus_client's own takes one value at a time."""

    def __init__(self, name: str, documentation: str, label: str, bounds: Sequence[float]) -> None:
        self._name, self._documentation, self._label = name, documentation, label
        self._bounds = [*map(str, bounds), "+Inf"]
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, value: str, counts: Sequence[int], total: float) -> None:
        """Add a batch under a value of the label: `counts` by bucket, the last one above all bounds; their `total`."""
        with self._lock:
            former = self._counts.get(value, [0] * len(self._bounds))
            self._counts[value] = [old + new for old, new in zip(former, counts, strict=True)]
            self._sums[value] = self._sums.get(value, 0.0) + total

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Name the metric, without values."""
        return [HistogramMetricFamily(self._name, self._documentation, labels=[self._label])]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return the buckets so far, each with those below it as Prometheus has them."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=[self._label])
        with self._lock:
            for value, counts in self._counts.items():
                totals = [sum(counts[: place + 1]) for place in range(len(counts))]
                family.add_metric([value], list(zip(self._bounds, totals, strict=True)), self._sums[value])
        return [family]


GRADES = Counter(
    "pinetune_grading_grades_total", "Grades by grader, its kind, and outcome.", ["kind", "grader", "outcome"]
)
SCORE = ScoreHistogram("pinetune_grading_score", "Scores by kind of grader.", "kind", SCORE_BOUNDS)
REGISTRY.register(SCORE)
GRADE_TIME = Histogram("pinetune_grading_grade_seconds", "Time to grade a batch.", ["kind"], buckets=CALL_SECONDS)
BATCH_SIZE = Histogram("pinetune_grading_batch_samples", "Samples in a batch.", buckets=BATCH_COUNT)
QUESTIONS_IN_FLIGHT = Gauge(
    "pinetune_grading_questions_in_flight",
    "Samples that somebody outside was asked about and has not answered.",
    ["kind"],
)
BATCHES_IN_FLIGHT = Gauge("pinetune_grading_batches_in_flight", "Batches that are being graded.")
OLDEST_BATCH = Gauge("pinetune_grading_oldest_batch_seconds", "Age of the oldest batch in flight; 0 where none is.")
REFUSALS = Counter("pinetune_grading_refusals_total", "Graders and requests that were refused, by reason.", ["reason"])
SANDBOX_KILLS = Counter(
    "pinetune_grading_sandbox_kills_total", "Processes of Python graders that ended before their time.", ["reason"]
)
SANDBOX_STARTS = Counter("pinetune_grading_sandbox_starts_total", "Processes started for Python graders.")
SANDBOX_WORKERS = Gauge("pinetune_grading_sandbox_workers", "Processes of Python graders that live.")
SANDBOX_WAITING = Gauge("pinetune_grading_sandbox_waiting", "Threads that wait for a process of a Python grader.")

ANSWERED = "answered"
"""The outcome of a call that had a usable answer; the others are the error classes."""
MODEL_CALLS = Counter(
    "pinetune_grading_model_calls_total", "Calls to judge and embedding models, by outcome.", ["model", "outcome"]
)
MODEL_CALL_TIME = Histogram(
    "pinetune_grading_model_call_seconds", "Time of one call to a model.", ["model"], buckets=CALL_SECONDS
)
MODEL_TOKENS = Counter(
    "pinetune_grading_model_tokens_total", "Tokens that models used: kind is prompt or completion.", ["model", "kind"]
)
MODEL_CACHE_HITS = Counter(
    "pinetune_grading_model_cache_hits_total", "Questions answered without a call, as the same was asked.", ["model"]
)
MODEL_BREAKER_OPEN = Gauge(
    "pinetune_grading_model_breaker_open", "1 while a model is left alone for the failures of its server.", ["model"]
)
MODEL_WAITING = Gauge("pinetune_grading_model_waiting", "Questions that wait for their turn at a model.", ["model"])
REMOTE_CALLS = Counter("pinetune_grading_remote_calls_total", "Calls to remote graders, by outcome.", ["outcome"])
REMOTE_CALL_TIME = Histogram(
    "pinetune_grading_remote_call_seconds", "Time of one call to a remote grader.", buckets=CALL_SECONDS
)


_begun: set[float] = set()
"""When the batches in flight began; no two in the same tick of the clock, or they count as one."""


@contextmanager
def in_flight() -> Iterator[float]:
    """Count a batch as in flight; gives when it began, on the clock of `time.perf_counter`."""
    begin = time.perf_counter()
    _begun.add(begin)
    try:
        with BATCHES_IN_FLIGHT.track_inprogress():
            yield begin
    finally:
        _begun.discard(begin)


def _oldest_age() -> float:
    # A copy in one step of the interpreter: other threads add and take away meanwhile.
    begun = tuple(_begun)
    return time.perf_counter() - min(begun) if begun else 0.0


OLDEST_BATCH.set_function(_oldest_age)


_names: set[str] = set()
_names_lock = threading.Lock()


def _label_of(name: str) -> str:
    """Return a grader's name as a label: names are the users', and Prometheus keeps a series for each."""
    label = name[:NAME_CHARACTERS_MAX]
    with _names_lock:
        if label in _names or len(_names) < NAMES_MAX:
            _names.add(label)
            return label
    return OTHER_NAMES


def note_batch(batch: GradedBatch, seconds: float) -> None:
    """Show a graded batch that took `seconds`."""
    scored, name = sum(batch.score_counts), _label_of(batch.name)
    GRADES.labels(batch.kind, name, SCORED).inc(scored)
    for error_class, count in batch.error_counts.items():
        GRADES.labels(batch.kind, name, error_class.lower()).inc(count)
    SCORE.add(batch.kind, batch.score_counts, batch.score_sum)
    GRADE_TIME.labels(batch.kind).observe(seconds)
    BATCH_SIZE.observe(scored + sum(batch.error_counts.values()))
