"""Lets a job have as many samplers as its backlog needs: watches each step sample, and carries out what changes.

The worker decides and the launcher obeys, with the heartbeats between them: a sampler that is wanted is looked after
from now on, and gets work once it is there; one that is not gets no more, and only then does the launcher hear of it.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pinetune.client.generation_replicas import GenerationReplicas
from pinetune.jobs import worker_metrics
from pinetune.jobs.backlog import Backlog, Bounds, Change
from pinetune.jobs.journal import Journal


class Scaling:
    """The number of one job's samplers."""

    def __init__(self, generation: GenerationReplicas, bounds: Bounds, journal: Journal) -> None:
        self._generation, self._journal = generation, journal
        self._backlog = Backlog(bounds)
        journal.wanted_replicas = self._backlog.wanted

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take the block for the sampling of a step, and have more or fewer samplers after it where it says so."""
        before, began = self._generation.attendance(), time.monotonic()
        yield
        seconds = time.monotonic() - began
        attendance = self._generation.attendance()
        # A step in which one was lost or joined is no measure of what either number can do.
        if attendance == before and any(attendance.present):
            change = self._backlog.after_step(attendance.present, seconds)
            if change is not None:
                self._carry_out(change)

    def _carry_out(self, change: Change) -> None:
        self._journal.note(_sentence(change, self._backlog.bounds.backlog_seconds))
        # Before the launcher is told: what it ends must have no work any more.
        self._generation.resize(change.after)
        worker_metrics.REPLICAS_WANTED.set(change.after)
        self._journal.wanted_replicas = change.after


def _sentence(change: Change, backlog_seconds: float) -> str:
    wanted = f"{change.after} sampler{'s' if change.after > 1 else ''} wanted instead of {change.before}"
    limit = f"engine.backlog_seconds of {backlog_seconds:g}"
    if change.after > change.before:
        return f"sampling took {_listed(change.sampling_seconds)} s, above {limit}: {wanted}"
    return (
        f"the last steps sampled in {_listed(change.sampling_seconds)} s, which fewer can do within {limit}: {wanted}"
    )


def _listed(seconds: Sequence[float]) -> str:
    *most, last = (f"{one:.0f}" if one >= 10 else f"{one:.2g}" for one in seconds)
    return f"{', '.join(most)} and {last}" if most else last
