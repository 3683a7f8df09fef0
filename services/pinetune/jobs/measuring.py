"""Puts one evaluation together: a model that is there already, a data set, a grader."""

from dataclasses import replace

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1 import worker_pb2
from pinetune.client.prompts import Sampling
from pinetune.jobs.call_reading import EVALUATION_FIELD, refuse_unread_calls
from pinetune.jobs.clock import Clock
from pinetune.jobs.dataset import read_items
from pinetune.jobs.evaluation import gives_ranks
from pinetune.jobs.evaluator import Evaluator
from pinetune.jobs.journal import Journal
from pinetune.jobs.rewards import RewardPolicy
from pinetune.jobs.sampler import Sampler
from pinetune.jobs.services import Services
from pinetune.jobs.spec import EvaluationOrder, evaluation_order_from_message
from pinetune.jobs.usage import Usage

# An evaluation learns nothing: no ungraded completion gets a reward, and none stops it.
MEASURING_ONLY = RewardPolicy(ungraded="exclude", penalty=0.0, max_ungraded_share=1.0)


def measure_model(claim: worker_pb2.ClaimWorkResponse, services: Services, journal: Journal, usage: Usage) -> None:
    """Do an evaluation, and report its end."""
    order = evaluation_order_from_message(claim.evaluation.order)
    items = read_items(claim.dataset_uris[order.dataset_id], order.dataset)
    generation, grading = services.generation(order.engine.replicas), services.grading()
    engine = generation.describe()[0]
    refuse_unread_calls(order.grader, engine.parts_format, field=EVALUATION_FIELD)
    sampler = Sampler(
        generation=generation,
        grading=grading,
        grader=dict(order.grader),
        rewards=MEASURING_ONLY,
        clock=Clock(),
        usage=usage,
        parameter_count=engine.parameter_count,
    )
    sampling = sampling_of(order)
    vote = replace(sampling, sample_count=order.vote_samples, temperature=order.vote_temperature)
    evaluator = Evaluator(
        sampler=sampler,
        journal=journal,
        rollouts_folder=f"{claim.artifacts_uri}/rollouts",
        sampling=sampling,
        ranked=gives_ranks(order.grader),
        vote=vote if order.vote_samples > 1 else None,
    )
    journal.begin(wire.JOB_PHASE_COMPARING)
    measurement = evaluator.evaluate(items, name=order.name, step=0, policy_version=engine.policy.policy_version)
    journal.commit_evaluation(order.name, measurement, content_hash=engine.policy.content_hash)
    journal.finish(wire.JOB_STATE_SUCCEEDED)


def sampling_of(order: EvaluationOrder) -> Sampling:
    """Return how an order draws the one measured completion of each item."""
    return Sampling(
        temperature=order.sampling.temperature,
        top_p=order.sampling.top_p,
        top_k=order.sampling.top_k,
        max_tokens=order.sampling.max_tokens,
        min_tokens=order.sampling.min_tokens,
        stop=order.sampling.stop,
        seed=order.seed,
    )
