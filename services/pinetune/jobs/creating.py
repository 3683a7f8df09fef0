"""Makes jobs and evaluations of orders: once per request id, queued only after everything was checked."""

import hashlib
import secrets
from collections.abc import Callable

import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy.engine import Connection

from pinetune.api.jobs.v1 import jobs_pb2 as wire
from pinetune.api.jobs.v1 import spec_pb2 as wire_spec
from pinetune.jobs import events
from pinetune.jobs.moments import now
from pinetune.jobs.orders import OrderDesk
from pinetune.jobs.spec import (
    JobSpec,
    evaluation_order_from_message,
    evaluation_order_to_message,
    parse_spec_json,
    spec_from_message,
    spec_to_message,
)
from pinetune.jobs.store.database import Database
from pinetune.jobs.store.datasets import Hold, get_dataset
from pinetune.jobs.store.evaluations import insert_evaluation
from pinetune.jobs.store.jobs import get_job, insert_job
from pinetune.jobs.store.works import EVALUATION, JOB, NewWork, find_request
from pinetune.pod.errors import Conflict, InvalidInput

REQUEST_ID_CHARACTERS_MAX = 256
EVALUATION_RESTARTS = 3


class Creator:
    """Turns requests into queued work."""

    def __init__(self, database: Database, desk: OrderDesk) -> None:
        self._database = database
        self._desk = desk

    def create_job(self, request: wire.CreateJobRequest) -> str:
        """Check and queue a job; returns its id, or that of the job that the same request made before."""
        spelling = request.WhichOneof("order")
        if spelling is None:
            raise InvalidInput("an order is required: spec or spec_json", reason="INVALID_SPEC", field="spec")
        order_hash = _hash(request.spec if spelling == "spec" else request.spec_json)
        if (former := self._former(JOB, request.request_id, order_hash)) is not None:
            return former
        spec = parse_spec_json(request.spec_json) if spelling == "spec_json" else self._spec(request.spec)
        checked = self._desk.check_job(spec)
        new = NewWork(
            work_id=f"ftjob-{secrets.token_hex(10)}",
            kind=JOB,
            request_id=request.request_id or None,
            order_hash=order_hash,
            order_message=spec_to_message(checked.spec).SerializeToString(),
            base_model_uri=checked.base_model_uri,
            max_restarts=checked.spec.pinetune.policies.max_restarts,
            create_time=now(),
            dataset_uris=dict(checked.dataset_uris),
        )

        def insert(connection: Connection) -> None:
            insert_job(connection, new)
            work = get_job(connection, new.work_id).work
            events.record(connection, work, "the order is checked; the job is queued", moment=new.create_time)
            for remark in checked.remarks:
                events.record(connection, work, remark, moment=new.create_time, level=wire.EVENT_LEVEL_WARN)

        return self._insert(new, insert)

    def create_evaluation(self, request: wire.CreateEvaluationRequest) -> str:
        """Check and queue an evaluation; returns its id, or that of the one that the same request made before."""
        order_hash = _hash(request.order)
        if (former := self._former(EVALUATION, request.request_id, order_hash)) is not None:
            return former
        message = wire.EvaluationOrder()
        message.CopyFrom(request.order)
        message.grader.CopyFrom(self._desk.as_json(message.grader, field="grader"))
        self._inherit(message)
        checked = self._desk.check_evaluation(evaluation_order_from_message(message))
        new = NewWork(
            work_id=f"eval-{secrets.token_hex(10)}",
            kind=EVALUATION,
            request_id=request.request_id or None,
            order_hash=order_hash,
            order_message=evaluation_order_to_message(checked.order).SerializeToString(),
            base_model_uri=checked.base_model_uri,
            max_restarts=EVALUATION_RESTARTS,
            create_time=now(),
            dataset_uris=dict(checked.dataset_uris),
        )

        def insert(connection: Connection) -> None:
            insert_evaluation(connection, new, job_id=checked.order.job_id, name=checked.order.name)

        return self._insert(new, insert)

    def _spec(self, message: wire_spec.JobSpec) -> JobSpec:
        """Read a typed order, a typed grader in it too."""
        copy = wire_spec.JobSpec()
        copy.CopyFrom(message)
        if copy.method.HasField("reinforcement"):
            grader = copy.method.reinforcement.grader
            grader.CopyFrom(self._desk.as_json(grader, field="method.reinforcement.grader"))
        if copy.method.supervised.HasField("grader"):
            grader = copy.method.supervised.grader
            grader.CopyFrom(self._desk.as_json(grader, field="method.supervised.grader"))
        return spec_from_message(copy)

    def _inherit(self, order: wire.EvaluationOrder) -> None:
        """Read rows as the job does that the evaluation belongs to, unless said otherwise."""
        if not order.job_id:
            return
        with self._database.read() as connection:
            job = get_job(connection, order.job_id)
        if not order.HasField("dataset"):
            order.dataset.CopyFrom(wire_spec.JobSpec.FromString(job.work.order_message).pinetune.dataset)

    def _former(self, kind: str, request_id: str, order_hash: str) -> str | None:
        """Return the id of what the same request made before; None where it is new."""
        if not request_id:
            return None
        if len(request_id) > REQUEST_ID_CHARACTERS_MAX:
            raise InvalidInput(
                f"request_id must have at most {REQUEST_ID_CHARACTERS_MAX} characters; it has {len(request_id)}",
                reason="INVALID_REQUEST_ID",
                field="request_id",
            )
        with self._database.read() as connection:
            former = find_request(connection, kind, request_id)
        if former is not None and former.order_hash != order_hash:
            raise Conflict(
                f"request_id {request_id!r} was used for {former.work_id} with another order; take a new one",
                reason="REQUEST_ID_REUSED",
                work_id=former.work_id,
            )
        return None if former is None else former.work_id

    def _insert(self, new: NewWork, insert: Callable[[Connection], None]) -> str:
        try:
            with self._database.write() as connection:
                for dataset_id in new.dataset_uris:
                    # It may have been deleted while the rows were checked.
                    get_dataset(connection, dataset_id, hold=Hold.FROM_DELETION)
                insert(connection)
        except sa.exc.IntegrityError:
            # Two calls with one request id raced, and this one lost.
            former = self._former(new.kind, new.request_id or "", new.order_hash)
            if former is None:
                raise
            return former
        return new.work_id


def _hash(order: Message | str) -> str:
    content = order.encode() if isinstance(order, str) else order.SerializeToString(deterministic=True)
    return hashlib.sha256(content).hexdigest()
