"""When a job has used what the user gave it, and so takes no further step."""

from pinetune.jobs.journal import Journal
from pinetune.jobs.plan import Plan
from pinetune.jobs.usage import Usage


class Budget:
    """The limits of one job, `pinetune.budget`, beside what it has used."""

    def __init__(self, plan: Plan, usage: Usage, journal: Journal) -> None:
        self._usage, self._journal = usage, journal
        self._limits = {"max_seconds": plan.spec.pinetune.budget.max_seconds}
        if not plan.supervised_only:  # The compute of a supervised job is planned beforehand, and not looked at again.
            self._limits["max_compute_flops"] = plan.spec.pinetune.budget.max_compute_flops
        self.spent = False
        """Whether the budget ended the steps before the plan did."""

    def ends_at(self, step: int, planned: int) -> bool:
        """Return whether nothing is left for a step after `step`; the first time that is also said."""
        used = {"max_seconds": self._usage.seconds, "max_compute_flops": self._usage.compute_flops}
        for name, limit in self._limits.items():
            if limit is not None and used[name] >= limit and not self.spent:
                self.spent = True
                self._journal.warn(
                    f"the budget is spent, pinetune.budget.{name} of {limit:g}: no more steps after {step} of {planned}"
                )
        return self.spent
