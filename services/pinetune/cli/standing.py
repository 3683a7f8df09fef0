"""How a watched job stands: what the last messages of its watch said, folded into one picture."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from pinetune.api.jobs.v1 import jobs_pb2
from pinetune.cli.console import duration, interval


@dataclass
class Standing:
    """The last known numbers of a job; `take` brings it up to date."""

    job: jobs_pb2.Job = field(default_factory=jobs_pb2.Job)
    """The job as it was after the last event."""
    step: jobs_pb2.Step | None = None
    """The last committed step."""
    validation: jobs_pb2.ValidationResult | None = None
    """The last validation."""
    best: jobs_pb2.ValidationResult | None = None
    """The validation with the highest mean reward so far."""

    def take(self, message: jobs_pb2.WatchJobResponse) -> None:
        """Take up an event."""
        self.job = message.job
        if not message.event.HasField("step"):
            return
        self.step = message.event.step
        if self.step.HasField("validation"):
            self.validation = self.step.validation
            is_better = self.best is None or self.validation.reward_mean > self.best.reward_mean
            if is_better and self._is_trusted(self.validation):
                self.best = self.validation

    def _is_trusted(self, validation: jobs_pb2.ValidationResult) -> bool:
        """Return whether enough was graded for the job to choose a policy by it."""
        grades, limit = validation.grades, self.job.spec.pinetune.policies.max_ungraded_share
        return grades.graded_count > 0 and grades.ungraded_count <= limit * grades.sampled_count

    def progress(self) -> tuple[str, int, int]:
        """Return the current phase's word, its last step and its steps in all."""
        if self.step is not None and self.step.phase == jobs_pb2.JOB_PHASE_WARM_UP:
            return "warm-up", self.job.warm_up_step, self.job.total_warm_up_steps
        return "training", self.job.step, self.job.total_steps

    def seconds_left(self) -> str:
        """Return the time left in words; empty while it is unknown."""
        if not self.job.HasField("estimated_seconds_left"):
            return ""
        return f"{duration(self.job.estimated_seconds_left)} left"

    def numbers(self) -> Iterator[tuple[str, str]]:
        """Yield the names and values worth a line, those that are known."""
        step = self.step
        if step is None:
            return
        if step.phase == jobs_pb2.JOB_PHASE_WARM_UP:
            yield "loss", f"{step.warm_up.loss:.3f}"
            yield "token accuracy", f"{step.warm_up.token_accuracy:.3f}"
        elif step.HasField("train_reward_mean"):
            yield "train reward", f"{step.train_reward_mean:.3f}"
        if self.validation is not None:
            shown = self.validation
            mean = interval(shown.reward_mean, shown.reward_low, shown.reward_high)
            yield "validation", mean if shown.grades.graded_count else "ungraded"
        if self.best is not None:
            yield "best", f"{self.best.reward_mean:.3f}"
        if step.HasField("update"):
            yield "KL", f"{step.update.kl_to_reference:.3f}"
        if step.sampled_tokens_per_second:
            yield "tokens/s", f"{step.sampled_tokens_per_second:.0f}"
        if step.training_grades.sampled_count:
            yield "ungraded", f"{step.training_grades.ungraded_count / step.training_grades.sampled_count:.1%}"

    def line(self) -> str:
        """Return the last step as one line of plain text."""
        name, done, total = self.progress()
        number = done if self.step is None else self.step.number
        head = f"{name} {number}/{total}" if total else f"{name} {number}"
        return "  ".join([head, *(f"{key} {value}" for key, value in self.numbers()), self.seconds_left()]).rstrip()
