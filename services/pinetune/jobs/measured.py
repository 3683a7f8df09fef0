"""Records what was measured: an evaluation of its own, or one of those that a job makes for its comparison."""

import secrets

from sqlalchemy.engine import Connection

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1.spec_pb2 import JobSpec
from pinetune.api.rollout.v1 import rollout_pb2
from pinetune.jobs.states import State
from pinetune.jobs.store import history
from pinetune.jobs.store.evaluations import (
    Evaluation,
    find_job_evaluation,
    get_evaluation,
    insert_evaluation,
    update_evaluation,
)
from pinetune.jobs.store.works import EVALUATION, JOB, NewWork, Work, update_work
from pinetune.pod.errors import InvalidInput

BASE, WARM_UP = "base", "warm_up"
"""Names of the measurements of the model that a job starts from, and of the policy after its warm-up."""


def commit_evaluation(connection: Connection, work: Work, measured: wire.Evaluation, *, moment: int) -> Evaluation:
    """Record what a worker measured, replacing what it or its predecessor recorded under the same name."""
    result = wire.Evaluation(
        statistics=measured.statistics,
        grades=measured.grades,
        rollouts_uri=measured.rollouts_uri,
        content_hash=measured.content_hash,
    ).SerializeToString()
    if work.kind == EVALUATION:
        evaluation_id = work.work_id
        update_evaluation(connection, evaluation_id, result_message=result)
    else:
        evaluation_id = _put(connection, work, measured.order.name, result, moment)
    history.replace_rollout_file(
        connection,
        evaluation_id,
        purpose=rollout_pb2.ROLLOUT_PURPOSE_EVALUATION,
        uri=measured.rollouts_uri,
    )
    return get_evaluation(connection, evaluation_id)


def _put(connection: Connection, work: Work, name: str, result: bytes, moment: int) -> str:
    assert work.kind == JOB
    if not name:
        raise InvalidInput("evaluation.order.name is required", reason="INVALID_EVALUATION", field="order.name")
    former = find_job_evaluation(connection, work.work_id, name)
    if former is not None:
        update_evaluation(connection, former.work.work_id, result_message=result)
        update_work(connection, former.work.work_id, end_time=moment)
        return former.work.work_id
    new = NewWork(
        work_id=f"eval-{secrets.token_hex(10)}",
        kind=EVALUATION,
        request_id=None,
        order_hash="",
        order_message=_order(connection, work, name).SerializeToString(),
        base_model_uri="",
        max_restarts=0,
        create_time=moment,
        dataset_uris={},
        state=State.SUCCEEDED,
    )
    insert_evaluation(connection, new, job_id=work.work_id, name=name, committed_by=work.work_id, result_message=result)
    update_work(connection, new.work_id, start_time=moment, end_time=moment)
    return new.work_id


def _order(connection: Connection, work: Work, name: str) -> wire.EvaluationOrder:
    """Return what a job's own measurement would be as an order."""
    spec = JobSpec.FromString(work.order_message)
    ours, settings = spec.pinetune, spec.pinetune.evaluation
    order = wire.EvaluationOrder(
        name=name,
        model=spec.model if name == BASE else _measured_policy(connection, work, name),
        dataset_id=settings.test_file,
        grader=getattr(spec.method, spec.method.type).grader,
        dataset=ours.dataset,
        sampling=ours.sampling,
        vote_samples=settings.vote_samples,
        vote_temperature=settings.vote_temperature,
        seed=spec.seed,
        job_id=work.work_id,
        engine=ours.engine,
    )
    # An evaluation does not scale.
    order.engine.max_replicas = ours.engine.replicas
    # As `Plan.measuring_sampling` draws.
    order.sampling.samples_per_prompt = 1
    order.sampling.temperature = settings.temperature
    return order


def _measured_policy(connection: Connection, work: Work, name: str) -> str:
    """Return the name of the policy: the checkpoint of the warmed-up one, else the job's result."""
    if name == WARM_UP:
        for row in history.list_checkpoints(connection, work.work_id):
            if row.kind == wire.CHECKPOINT_KIND_WARM_UP:
                return row.checkpoint_id
    return f"job:{work.work_id}"
