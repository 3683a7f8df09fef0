"""Measures the policy that the samplers hold: for validation while a job trains, and for evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass

from pinetune.client.prompts import Sampling
from pinetune.client.rollout import Purpose
from pinetune.jobs.dataset import Item
from pinetune.jobs.evaluation import measure
from pinetune.jobs.journal import Journal, Measurement
from pinetune.jobs.rewards import count_grades
from pinetune.jobs.rollout_files import Rollout, write_rollouts
from pinetune.jobs.sampler import Sampler
from pinetune.pod import spans


@dataclass(frozen=True)
class Evaluator:
    """One way of measuring: the same for all policies of a comparison."""

    sampler: Sampler
    """Makes the rollouts."""
    journal: Journal
    """Told what is waited for."""
    rollouts_folder: str
    """Where the rollouts are kept."""
    sampling: Sampling
    """How the one measured completion of each item is drawn."""
    ranked: bool
    """True where answers are ranked lists."""
    vote: Sampling | None = None
    """How the completions of a majority vote are drawn, beside the measured one; None for no vote."""

    def validate(self, items: Sequence[Item], *, name: str, step: int, policy_version: int) -> Measurement:
        """Measure one completion an item, while a job trains."""
        with spans.span("validate", items=len(items), policy_version=policy_version):
            rollouts = self._collect(items, self.sampling, name, Purpose.VALIDATION, step, policy_version)
            return self._measurement(rollouts, name)

    def evaluate(self, items: Sequence[Item], *, name: str, step: int, policy_version: int) -> Measurement:
        """Measure one completion an item, and the vote where there is one."""
        with spans.span("evaluate", items=len(items), policy_version=policy_version):
            rollouts = self._collect(items, self.sampling, name, Purpose.EVALUATION, step, policy_version)
            if self.vote is not None:
                rollouts += self._collect(
                    items, self.vote, name, Purpose.EVALUATION, step, policy_version, first_index=1
                )
            return self._measurement(rollouts, name)

    def _collect(
        self,
        items: Sequence[Item],
        sampling: Sampling,
        name: str,
        purpose: Purpose,
        step: int,
        policy_version: int,
        first_index: int = 0,
    ) -> list[Rollout]:
        with self.journal.waiting(f"{len(items) * sampling.sample_count} completions of {name}"):
            return self.sampler.collect(
                items,
                sampling,
                name=name,
                purpose=purpose,
                step=step,
                policy_version=policy_version,
                first_index=first_index,
            )

    def _measurement(self, rollouts: Sequence[Rollout], name: str) -> Measurement:
        uri = f"{self.rollouts_folder}/{name}.parquet"
        write_rollouts(uri, rollouts)
        counts = count_grades([rollout.grade for rollout in rollouts], self.sampler.rewards)
        return Measurement(measure(rollouts, ranked=self.ranked), counts, uri)
