"""What the loop drives. None of these knows the loop, and hardly one knows another."""

from dataclasses import dataclass, field

from pinetune.client.learning import LearningClient
from pinetune.jobs.clock import Clock
from pinetune.jobs.evaluator import Evaluator
from pinetune.jobs.journal import Journal
from pinetune.jobs.keeper import Keeper
from pinetune.jobs.policies import Policies
from pinetune.jobs.rollout_traces import RolloutTraces
from pinetune.jobs.sampler import Sampler


@dataclass(frozen=True)
class Components:
    """What the loop drives."""

    learning: LearningClient
    """Trains the policy."""
    sampler: Sampler
    """Makes rollouts."""
    policies: Policies
    """Carries policies from learning to generation."""
    evaluator: Evaluator | None
    """Measures policies; None where the job has no grader."""
    keeper: Keeper
    """Keeps checkpoints."""
    journal: Journal
    """Reports to the jobs service."""
    clock: Clock
    """Knows where the time goes."""
    rollout_traces: RolloutTraces = field(default_factory=RolloutTraces)
    """Follows a few rollouts from prompt to gradient."""
