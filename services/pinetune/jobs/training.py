"""Puts one job together: reads its order and data, waits for its services, and runs the loop."""

from collections.abc import Sequence

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1 import worker_pb2
from pinetune.jobs.backlog import Bounds
from pinetune.jobs.clock import Clock
from pinetune.jobs.components import Components
from pinetune.jobs.dataset import Item, read_items
from pinetune.jobs.evaluator import Evaluator
from pinetune.jobs.journal import Journal
from pinetune.jobs.keeper import Keeper
from pinetune.jobs.loop import Loop
from pinetune.jobs.plan import Plan
from pinetune.jobs.policies import Policies
from pinetune.jobs.preparation import make_base_model, prepare
from pinetune.jobs.rollout_traces import RolloutTraces
from pinetune.jobs.sampler import Sampler
from pinetune.jobs.scaling import Scaling
from pinetune.jobs.services import Services
from pinetune.jobs.spec import spec_from_message
from pinetune.jobs.usage import Usage


def train(claim: worker_pb2.ClaimWorkResponse, services: Services, journal: Journal, usage: Usage) -> None:
    """Do a job from where it stands to its end, and report that."""
    journal.begin(wire.JOB_PHASE_PREPARING)
    plan = plan_of(claim)
    learning = services.learning()
    make_base_model(plan, learning, journal)
    engine = plan.spec.pinetune.engine
    generation, grading = services.generation(engine.replicas), services.grading()
    prepared = prepare(plan, learning, generation, journal, checkpoint_uri=claim.checkpoint.state_uri)
    journal.total_steps, journal.total_warm_up_steps = plan.training_steps, prepared.warm_up_steps
    clock = Clock()
    scaling = None
    if engine.max_replicas > engine.replicas:
        bounds = Bounds(engine.replicas, engine.max_replicas, engine.backlog_seconds)
        scaling = Scaling(generation, bounds, journal)
    sampler = Sampler(
        generation=generation,
        grading=grading,
        grader=plan.grader or {},
        rewards=plan.rewards,
        clock=clock,
        usage=usage,
        parameter_count=prepared.learner.parameter_count,
        scaling=scaling,
    )
    policies = Policies(
        learning,
        generation,
        folder=f"{plan.artifacts_uri}/policies",
        max_canary_gap=plan.spec.pinetune.policies.max_canary_gap,
        way=engine.weights,
    )
    keeper = Keeper(journal, learning, policies, artifacts_uri=plan.artifacts_uri, kept=claim.kept_checkpoints)
    evaluator = None
    if plan.grader is not None:
        evaluator = Evaluator(
            sampler=sampler,
            journal=journal,
            rollouts_folder=plan.rollouts_uri,
            sampling=plan.measuring_sampling,
            ranked=plan.ranked,
            vote=plan.vote_sampling,
        )
    components = Components(
        learning=learning,
        sampler=sampler,
        policies=policies,
        evaluator=evaluator,
        keeper=keeper,
        journal=journal,
        clock=clock,
        rollout_traces=RolloutTraces(services.traced_rollouts, str((plan.grader or {}).get("type", ""))),
    )
    model_uri = Loop(plan, prepared, components).run()
    journal.finish(wire.JOB_STATE_SUCCEEDED, model_uri=model_uri, best=keeper.best_id())


def plan_of(claim: worker_pb2.ClaimWorkResponse) -> Plan:
    """Read the order and its data sets."""
    spec = spec_from_message(claim.job.spec)

    def items(dataset_id: str) -> Sequence[Item]:
        return read_items(claim.dataset_uris[dataset_id], spec.pinetune.dataset) if dataset_id else ()

    return Plan(
        job_id=claim.job.job_id,
        spec=spec,
        artifacts_uri=claim.artifacts_uri,
        model_uri=claim.model_uri,
        training=items(spec.training_file),
        validation=items(spec.validation_file),
        test=items(spec.pinetune.evaluation.test_file),
    )
