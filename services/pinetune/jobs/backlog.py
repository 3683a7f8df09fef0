"""How many samplers a job wants, by how long the completions of its steps take to sample.

The rule is that of Kubernetes' horizontal pod autoscaler (Algorithm details,
https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/#algorithm-details):

    desired = ceil(current * value / target), and no change while value / target is within 10% of 1

with the seconds that a step sampled as the value and `pinetune.engine.backlog_seconds` as the target. It looks once a
step, since that is when work comes. Up it goes at once; down only after some steps that all want fewer, to the largest
of what they want, as that autoscaler's stabilisation window does it over time. Nothing here knows a clock or a replica.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

TOLERANCE = 0.1
"""Share of the target that the value may be off without a change: `--horizontal-pod-autoscaler-tolerance`."""
STEPS_BEFORE_FEWER = 3
"""Steps in a row that must want fewer: a new sampler reads a model, which one short step is no reason to repeat."""


@dataclass(frozen=True)
class Bounds:
    """What the job's order allows."""

    replicas: int
    """Fewest samplers, and those that an attempt starts with."""
    max_replicas: int
    """Most samplers."""
    backlog_seconds: float
    """Seconds within which the completions of a step should be sampled."""


@dataclass(frozen=True)
class Change:
    """Another number of samplers is wanted."""

    before: int
    """How many were wanted."""
    after: int
    """How many are."""
    sampling_seconds: Sequence[float]
    """How long the steps sampled that decided it."""


class Backlog:
    """One attempt's wish; it begins with the samplers that the attempt starts with."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        """What the order allows."""
        self.wanted = bounds.replicas
        """How many samplers are wanted now."""
        self._fewer: deque[tuple[int, float]] = deque(maxlen=STEPS_BEFORE_FEWER)
        """Wish and seconds of the last steps, as long as all of them want fewer."""

    def after_step(self, present: Sequence[bool], sampling_seconds: float) -> Change | None:
        """Take up a step that sampled for so long; returns what changes.

        `present` says of each wanted sampler, by number, whether it was there all the time. At least one was.
        """
        wish = self._wish(sum(present), sampling_seconds)
        if wish > self.wanted:
            return self._change(wish, [sampling_seconds])
        # The highest numbers go. Where one of those that would stay is away, the ones that do its work are among them.
        if wish == self.wanted or not all(present[:wish]):
            self._fewer.clear()
            return None
        self._fewer.append((wish, sampling_seconds))
        if len(self._fewer) < STEPS_BEFORE_FEWER:
            return None
        wishes, seconds = zip(*self._fewer, strict=True)
        return self._change(max(wishes), seconds)

    def _wish(self, present_count: int, sampling_seconds: float) -> int:
        ratio = sampling_seconds / self.bounds.backlog_seconds
        # Those that were there are enough, whatever more are on their way.
        enough = abs(ratio - 1) <= TOLERANCE
        wish = present_count if enough else math.ceil(present_count * ratio)
        return min(max(wish, self.bounds.replicas), self.bounds.max_replicas)

    def _change(self, wanted: int, seconds: Sequence[float]) -> Change:
        change = Change(self.wanted, wanted, tuple(seconds))
        self.wanted = wanted
        self._fewer.clear()
        return change
