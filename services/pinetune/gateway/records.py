"""What pages and reports show, as plain values: no message of the contract goes further than `reading.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Interval:
    """A measured number with its 95% interval."""

    value: float
    """The number."""
    low: float
    """Low end."""
    high: float
    """High end."""

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def signed(self) -> str:
        """Return it as a difference."""
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True)
class StepRecord:
    """What a committed step measured; None where it did not."""

    number: int
    """Number inside its phase; training step 0 is the validation before the first update."""
    train_reward: float | None
    """Mean score of the graded training completions."""
    validation: Interval | None
    """Mean score of the validation items."""
    loss: float | None
    """Cross-entropy of a warm-up step, in nats per token."""
    kl: float | None
    """Mean summed log ratio to the reference policy, in nats per completion."""
    completion_tokens: float | None
    """Mean length of the training completions."""
    truncated_share: float | None
    """Share of training completions cut off by the token limit."""
    ungraded_share: float | None
    """Share of training completions that got no score."""
    tokens_per_second: float | None
    """Sampled tokens per second of sampling."""


@dataclass(frozen=True)
class Run:
    """A finished evaluation: one model measured on one data set."""

    evaluation_id: str
    """Its id."""
    name: str
    """base, warm_up, sft, fine_tuned …"""
    job_id: str
    """The job it belongs to; empty for one asked for by itself."""
    model: str
    """What was measured."""
    dataset_id: str
    """On which items."""
    items: str
    """What these are to its job: `test`, or `validation` where they chose its checkpoint; empty where it has none."""
    sampled_count: int
    """Completions sampled."""
    ungraded_count: int
    """Completions without a score."""
    statistics: dict[str, Interval]
    """By name."""


@dataclass(frozen=True)
class PairedDifference:
    """Two runs on the same items, subtracted item by item."""

    name: str
    """The later run."""
    baseline: str
    """The run subtracted from it."""
    statistic: str
    """Of which statistic."""
    interval: Interval
    """The difference."""
    better_count: int
    """Items where the later run is better."""
    worse_count: int
    """Items where it is worse."""


@dataclass(frozen=True)
class Sample:
    """One rollout."""

    completion_id: str
    """Its id."""
    step: int
    """The step that sampled it."""
    item_id: str
    """The item."""
    prompt: str
    """What the model read."""
    reference: str
    """The hidden answer."""
    completion: str
    """What the model wrote."""
    score: float | None
    """The grade; None where grading failed."""
    answer: str
    """The answer that the grader found; empty where it found none."""
    error: str
    """Why there is no score; empty where there is one."""
    part_errors: Sequence[str]
    """Which parts of a composed grader failed, and why."""


@dataclass(frozen=True)
class SamplePair:
    """One validation item, answered by the policy at the first and at the last validation."""

    first: Sample
    """At the first validation."""
    last: Sample
    """At the last one."""

    @property
    def change(self) -> float | None:
        """The last score minus the first; None where either grading failed."""
        if self.first.score is None or self.last.score is None:
            return None
        return self.last.score - self.first.score


@dataclass(frozen=True)
class SampleChanges:
    """How single validation items fared between the first and the last validation of a job."""

    first_step: int
    """Step of the first validation."""
    last_step: int
    """Step of the last validation."""
    item_count: int
    """Items graded both times."""
    better_count: int
    """Items with a higher score at the last."""
    worse_count: int
    """Items with a lower score at the last."""
    shown: Sequence[SamplePair]
    """Some of the items: better, worse and equal ones."""


@dataclass(frozen=True)
class JobRecord:
    """A job as pages show it."""

    job_id: str
    """Its id."""
    suffix: str
    """The user's word for it; may be empty."""
    kind: str
    """reinforcement or supervised."""
    model: str
    """The base model."""
    state: str
    """queued, running, succeeded …"""
    phase: str
    """What it is doing; empty where it is not running."""
    waiting_for: str
    """What it waits for; empty where it does not."""
    error: str
    """Why it failed; empty where it did not."""
    created: datetime
    """When it was ordered, UTC."""
    step: int
    """Last training step."""
    total_steps: int
    """Training steps planned."""
    warm_up_step: int
    """Last warm-up step."""
    total_warm_up_steps: int
    """Warm-up steps planned."""
    facts: Sequence[tuple[str, str]]
    """Names and values for the paragraph of what was run."""
    order_json: str
    """The whole order with every default, as JSON text."""

    @property
    def title(self) -> str:
        """The user's word with the id, or the id."""
        return f"{self.suffix} ({self.job_id})" if self.suffix else self.job_id

    @property
    def under_way(self) -> bool:
        """True while the job changes by itself."""
        return self.state in ("validating", "queued", "running")


@dataclass(frozen=True)
class JobHistory:
    """A job with all that it left behind and a report shows."""

    job: JobRecord
    """The job."""
    warm_up: Sequence[StepRecord]
    """Its warm-up steps, in order."""
    training: Sequence[StepRecord]
    """Its training steps, in order."""
    changes: SampleChanges | None
    """Single items at the first and the last validation; None before there are two validations."""


@dataclass(frozen=True)
class RunTable:
    """Runs side by side."""

    runs: Sequence[Run]
    """The runs."""
    differences: Sequence[PairedDifference]
    """Each run minus each run before it, in the headline's statistic."""
    note: str
    """Why there are no differences; empty where there are."""

    @property
    def headline(self) -> str:
        """The statistic that stands for the rest: accuracy, else top_1, else the first there is; empty without runs."""
        names = list(dict.fromkeys(name for run in self.runs for name in run.statistics))
        return next((name for name in ("accuracy", "top_1") if name in names), names[0] if names else "")


@dataclass(frozen=True)
class RolloutsPage:
    """One page of a job's or an evaluation's rollouts."""

    samples: Sequence[Sample]
    """The page."""
    next_page_token: str
    """Where the next page begins; empty at the end."""
