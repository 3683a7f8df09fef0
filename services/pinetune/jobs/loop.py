"""One job from its first step to its last: the loop of reinforcement fine-tuning, top to bottom.

    warm-up    chain of thought ──► learning.warm_up                                (supervised; ReFT, section 3.1)
    training   item ──► generation.generate ──► grading.grade ──► reward            (`Sampler`)
                    ──► learning.update ──► policy v+1 ──► every sampler, attested  (`Policies`)
                    ──► commit ──► checkpoint                                       (`Journal`, `Keeper`)
    comparing  base, warmed-up and best policy, measured on the same items          (`Evaluator`)

The components do not know the loop; it wires them and drives them. Who waits for whom:

    the loop waits for   while it                    and no longer than
    generation           samples                     the step's deadline (client/spread.py)
    generation           loads a policy              the call's deadline (client/generation.py)
    a lost replica       is started again            twenty minutes, with none left (client/replica_set.py)
    grading              grades                      the call's deadline (client/grading.py)
    learning             learns, saves               the call's deadline (client/learning.py)
    jobs                 commits                     the call's deadline (client/worker.py)

What it waits for stands in the job (`Job.waiting_for`). An error or a missed deadline ends the worker, and the job goes
on from its last checkpoint with a new one. A step counts once it is committed; killed before, it is done again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.learning.v1.learning_pb2 import UpdateMetrics
from pinetune.client.learning import Trajectory
from pinetune.client.rollout import Purpose
from pinetune.jobs.budget import Budget
from pinetune.jobs.components import Components
from pinetune.jobs.journal import Measurement, StepRecord, StopAsked
from pinetune.jobs.plan import Plan
from pinetune.jobs.policies import Policy
from pinetune.jobs.preparation import Prepared
from pinetune.jobs.rewards import count_grades, refuse_too_many_ungraded, too_many_ungraded, ungraded_sentence
from pinetune.jobs.rollout_files import Rollout, write_rollouts
from pinetune.jobs.sampler import trajectories_of
from pinetune.pod import spans, trace


class Loop:
    """Trains one policy."""

    def __init__(self, plan: Plan, prepared: Prepared, components: Components) -> None:
        self.plan, self.prepared = plan, prepared
        self.learning, self.sampler, self.policies = components.learning, components.sampler, components.policies
        self.evaluator, self.keeper = components.evaluator, components.keeper
        self.journal, self.clock = components.journal, components.clock
        self.rollout_traces = components.rollout_traces
        self.warm_up_steps_done = prepared.learner.warm_up_step
        self.steps_done = prepared.learner.update_step
        self.policy = Policy(prepared.learner.policy_version, plan.model_uri, prepared.base_content_hash)
        self.weights_changed = prepared.learner.weights_changed
        """Whether the learner is ahead of `policy`."""
        self.budget = Budget(plan, self.sampler.usage, self.journal)

    def run(self) -> str:
        """Do all that is left to do; returns the folder of the final model."""
        if not self.warm_up_steps_done and not self.prepared.learner.reference_frozen:
            self.compare("base")
            self.clock.lap()  # The first step did not take that time.
        if self.warm_up_steps_done < self.prepared.warm_up_steps:
            self.journal.begin(wire.JOB_PHASE_WARM_UP)
        self.take_steps(self.warm_up_step, self.warm_up_steps_done, self.prepared.warm_up_steps)
        if not self.plan.supervised_only:
            self.journal.begin(wire.JOB_PHASE_TRAINING)
            with self.within_step(0):
                self.begin_training()
            self.take_steps(self.training_step, self.steps_done, self.plan.training_steps)
        self.journal.begin(wire.JOB_PHASE_COMPARING)
        return self.give_back_the_best()

    def take_steps(self, take: Callable[[int], None], done: int, planned: int) -> None:
        """Take the steps after `done`, until the plan or the budget ends them."""
        if self.budget.ends_at(done, planned):
            return
        for step in range(done + 1, planned + 1):
            with self.within_step(step):
                take(step)
            # Asked inside the step, whose policy is then measured; not again here, where it would go unmeasured.
            if self.budget.spent:
                return

    def warm_up_step(self, step: int) -> None:
        """Imitate one batch of chains of thought."""
        batch = self.plan.warm_up_batch(self.prepared.sequences, step)
        with self.journal.waiting("learning to warm up"), self.clock.part("learning"), spans.span("update"):
            metrics = self.learning.warm_up(step, batch)
        self.sampler.usage.add_warm_up(metrics.token_count, self.prepared.learner.parameter_count)
        self.warm_up_steps_done, self.weights_changed = step, True
        planned = self.prepared.warm_up_steps
        last = step == planned or self.budget.ends_at(step, planned)
        validation = None
        if self.plan.supervised_only and self.plan.validates_after(step, last=last):
            self.publish()
            validation = self.validate(step)
        self.commit(StepRecord(step, wire.JOB_PHASE_WARM_UP, self.policy, warm_up=metrics, validation=validation))
        self.keep(validation, state=self.plan.checkpoints_after(step, last=last))

    def begin_training(self) -> None:
        """Make the warmed-up policy the reference and the samplers' first policy, and measure it as step 0."""
        self.publish()
        if self.prepared.learner.reference_frozen:  # Going on from a checkpoint: only the samplers are new.
            return
        with self.journal.waiting("learning to freeze the reference policy"):
            self.learning.freeze_reference()
        self.keeper.keep_policy(wire.CHECKPOINT_KIND_WARM_UP, self.policy, 0, self.warm_up_steps_done)
        self.compare("warm_up")
        validation = self.validate(0)
        self.commit(StepRecord(0, wire.JOB_PHASE_TRAINING, self.policy, validation=validation))
        self.keep(validation, state=True)

    def training_step(self, step: int) -> None:
        """Sample, grade, learn, publish, commit: one step of PPO."""
        rollouts = self.collect(step)
        # Written before anything may refuse them: a step that fails is the one whose rollouts somebody will read.
        uri = f"{self.plan.rollouts_uri}/training-{step:06d}.parquet"
        sha256 = write_rollouts(uri, rollouts)
        grades = count_grades([rollout.grade for rollout in rollouts], self.plan.rewards)
        refuse_too_many_ungraded(grades, self.plan.rewards, rollouts_uri=uri)
        with self.rollout_traces.following(rollouts) as traceparents:
            metrics = self.learn(step, trajectories_of(rollouts, traceparents))
        epochs = self.plan.spec.pinetune.algorithm.ppo_epochs
        self.sampler.usage.add_update(metrics.token_count, epochs, self.prepared.learner.parameter_count)
        self.steps_done, self.weights_changed = step, True
        self.publish()
        last = step == self.plan.training_steps or self.budget.ends_at(step, self.plan.training_steps)
        validation = self.validate(step) if self.plan.validates_after(step, last=last) else None
        # The validation uses the budget up too, and the policy is measured now.
        last = last or (validation is not None and self.budget.ends_at(step, self.plan.training_steps))
        self.commit(
            StepRecord(
                step,
                wire.JOB_PHASE_TRAINING,
                self.policy,
                update=metrics,
                rollouts=rollouts,
                rollouts_uri=uri,
                rollouts_sha256=sha256,
                grades=grades,
                validation=validation,
            )
        )
        self.keep(validation, state=self.plan.checkpoints_after(step, last=last))

    def give_back_the_best(self) -> str:
        """Measure the best policy beside the others and copy it to where the user takes it from."""
        if self.policies.current is None:  # Supervised without a grader, or nothing left to do after a restart.
            self.publish()
        best = self.keeper.best()
        if best is None:
            best = self.policy
            if self.evaluator is not None:
                self.journal.warn("no validation counts, so the last policy is given back and not the best")
        if best.content_hash != self.policy.content_hash:
            self.policy = self.policies.load(best.uri, best.version, best.content_hash)
        self.compare("fine_tuned")
        return self.keeper.give_back(best)

    # What the steps share.

    @contextmanager
    def within_step(self, step: int) -> Iterator[None]:
        """Let log lines, calls and spans of the block say that they are of this step."""
        phase = wire.JobPhase.Name(self.journal.phase).removeprefix("JOB_PHASE_").lower()
        stopped = None
        with trace.within(step=step), spans.span("step", phase=phase):
            try:
                yield
            except StopAsked as stop:
                stopped = stop  # No failure of the step, which is committed.
        if stopped is not None:
            raise stopped

    def learn(self, step: int, trajectories: Sequence[Trajectory]) -> UpdateMetrics:
        """Have the learner update the policy."""
        with (
            self.journal.waiting("learning to update the policy"),
            self.clock.part("learning"),
            spans.span("update", trajectories=len(trajectories)),
        ):
            return self.learning.update(step, trajectories)

    def publish(self) -> None:
        """Carry the learner's policy to every sampler, as the next version where it changed; attest that it arrived."""
        version = self.policy.version + self.weights_changed
        with (
            self.journal.waiting(f"generation to load policy {version}"),
            self.clock.part("weights"),
            spans.span("weights", policy_version=version),
        ):
            self.policy = self.policies.publish(version, self.prepared.canary)
        self.weights_changed = False

    def collect(self, step: int) -> list[Rollout]:
        """Make the step's rollouts with the samplers' policy."""
        items, sampling = self.plan.training_batch(step), self.plan.training_sampling
        with self.journal.waiting(f"{len(items) * sampling.sample_count} completions"):
            return self.sampler.collect(
                items,
                sampling,
                name=f"training-{step:06d}",
                purpose=Purpose.TRAINING,
                step=step,
                policy_version=self.policy.version,
            )

    def validate(self, step: int) -> Measurement | None:
        """Measure the samplers' policy on the validation items; None where there is no grader."""
        if self.evaluator is None:
            return None
        name = f"validation-{step:06d}"
        return self.evaluator.validate(self.plan.validated, name=name, step=step, policy_version=self.policy.version)

    def compare(self, name: str) -> None:
        """Measure the samplers' policy for the final comparison, under `name`."""
        if self.evaluator is None or not self.plan.spec.pinetune.evaluation.final_comparison:
            return
        measurement = self.evaluator.evaluate(
            self.plan.test, name=name, step=self.steps_done, policy_version=self.policy.version
        )
        self.journal.commit_evaluation(name, measurement, content_hash=self.policy.content_hash)

    def commit(self, record: StepRecord) -> None:
        """Report the step; it counts from here on."""
        with spans.span("commit"):
            self.journal.commit_step(record, self.clock.lap())

    def keep(self, validation: Measurement | None, *, state: bool) -> None:
        """Keep the policy where it was measured, the state where it is due, and stop where the user asked for it."""
        where = (self.steps_done, self.warm_up_steps_done)
        if validation is not None and self.trusts(validation):
            self.keeper.keep_policy(wire.CHECKPOINT_KIND_BEST, self.policy, *where, validation=validation)
        if state:
            self.keeper.keep_state(wire.CHECKPOINT_KIND_LATEST, *where)
        try:
            self.journal.stop_if_asked()
        except StopAsked as stop:
            if stop.paused and not state:
                self.keeper.keep_state(wire.CHECKPOINT_KIND_PAUSE, *where)
            raise

    def trusts(self, validation: Measurement) -> bool:
        """Return whether enough was graded to choose a policy by; a mean over the few that were would flatter it."""
        if not too_many_ungraded(validation.grades, self.plan.rewards):
            return True
        self.journal.warn(
            f"the validation after step {self.steps_done or self.warm_up_steps_done} does not count: "
            f"{ungraded_sentence(validation.grades, self.plan.rewards)}"
        )
        return False
