"""What is queued, run and ended: what jobs and evaluations have in common, as rows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from pinetune.jobs.states import State, Wish, check_transition
from pinetune.jobs.store.tables import work_datasets, works
from pinetune.pod.errors import NotFound

JOB, EVALUATION = "job", "evaluation"


@dataclass(frozen=True)
class Fault:
    """Why work failed; all empty where it did not."""

    reason: str = ""
    """UPPER_SNAKE word."""
    message: str = ""
    """One sentence."""
    field: str = ""
    """Field of the order at fault."""


@dataclass(frozen=True)
class Work:
    """What a job and an evaluation have in common."""

    number: int
    """Order of creation."""
    work_id: str
    """`ftjob-…` or `eval-…`."""
    kind: str
    """`job` or `evaluation`."""
    order_hash: str
    """SHA-256 of the order as it was asked, to know a repeated request from another."""
    order_message: bytes
    """The order, every default written out: a JobSpec or an EvaluationOrder."""
    base_model_uri: str
    """Where the model is that it starts from; empty for one that the job makes."""
    state: State
    """Where it stands."""
    phase: int
    """JobPhase: what a running job does."""
    wish: Wish
    """What the user wants of it."""
    wish_time: int
    """When the user said so, in microseconds."""
    waiting_for: str
    """What the worker waits for."""
    pending: str
    """What keeps its processes from starting; empty where nothing does."""
    attempt: int
    """Times the worker was started."""
    restart_count: int
    """Times it was started again because it had died."""
    max_restarts: int
    """How often that may happen."""
    create_time: int
    """In microseconds, as all times here."""
    start_time: int | None
    """When it first ran."""
    end_time: int | None
    """When it ended."""
    fault: Fault
    """Why it failed."""
    last_event_number: int
    """Number of its newest event."""


@dataclass(frozen=True)
class NewWork:
    """What is known of work when it is created."""

    work_id: str
    kind: str
    request_id: str | None
    order_hash: str
    order_message: bytes
    base_model_uri: str
    max_restarts: int
    create_time: int
    dataset_uris: dict[str, str]
    state: State = State.QUEUED


def insert_work(connection: Connection, new: NewWork) -> None:
    """Add work with no attempt yet."""
    connection.execute(
        works.insert().values(
            work_id=new.work_id,
            kind=new.kind,
            request_id=new.request_id,
            order_hash=new.order_hash,
            order_message=new.order_message,
            base_model_uri=new.base_model_uri,
            state=new.state.value,
            phase=0,
            wish=Wish.NONE.value,
            wish_time=0,
            waiting_for="",
            pending="",
            attempt=0,
            restart_count=0,
            max_restarts=new.max_restarts,
            create_time=new.create_time,
            error_reason="",
            error_message="",
            error_field="",
            last_event_number=0,
        )
    )
    rows = [{"work_id": new.work_id, "dataset_id": name, "uri": uri} for name, uri in new.dataset_uris.items()]
    if rows:
        connection.execute(work_datasets.insert(), rows)


def get_work(connection: Connection, work_id: str) -> Work:
    """Return the work, its row locked against other writers; raises NotFound."""
    row = connection.execute(sa.select(works).where(works.c.work_id == work_id).with_for_update()).mappings().first()
    if row is None:
        raise NotFound(f"there is no job or evaluation {work_id!r}", reason="WORK_NOT_FOUND", work_id=work_id)
    return work_of(row)


def find_request(connection: Connection, kind: str, request_id: str) -> Work | None:
    """Return the work that a request with this id created; None where there is none."""
    query = sa.select(works).where(works.c.kind == kind, works.c.request_id == request_id)
    row = connection.execute(query).mappings().first()
    return None if row is None else work_of(row)


def list_works(connection: Connection, state: State) -> list[Work]:
    """Return the work in this state, oldest first."""
    query = sa.select(works).where(works.c.state == state.value).order_by(works.c.number)
    return [work_of(row) for row in connection.execute(query).mappings()]


def known_works(connection: Connection, work_ids: Collection[str]) -> frozenset[str]:
    """Return those that there are, in whatever state."""
    return frozenset(connection.execute(sa.select(works.c.work_id).where(works.c.work_id.in_(work_ids))).scalars())


def count_works(connection: Connection) -> dict[tuple[str, State], int]:
    """Return how many jobs and evaluations are in each state."""
    query = sa.select(works.c.kind, works.c.state, sa.func.count()).group_by(works.c.kind, works.c.state)
    return {(kind, State(state)): count for kind, state, count in connection.execute(query)}


def update_work(connection: Connection, work_id: str, **values: Any) -> None:
    """Set columns of a work; its state goes by `move`."""
    assert "state" not in values, "states change by move()"
    connection.execute(works.update().where(works.c.work_id == work_id).values(**values))


def move(connection: Connection, work: Work, state: State, *, now: int, fault: Fault | None = None) -> None:
    """Bring work into another state; raises Conflict STATE_FORBIDS where there is no way."""
    check_transition(work.work_id, work.state, state)
    values: dict[str, Any] = {"state": state.value}
    if state is not State.RUNNING:
        values |= {"wish": Wish.NONE.value, "waiting_for": "", "pending": ""}
    if state is State.RUNNING and work.start_time is None:
        values["start_time"] = now
    if state.is_end:
        values["end_time"] = now
    if fault is not None:
        values |= {"error_reason": fault.reason, "error_message": fault.message, "error_field": fault.field}
    connection.execute(works.update().where(works.c.work_id == work.work_id).values(**values))


def dataset_uris(connection: Connection, work_id: str) -> dict[str, str]:
    """Return where each data set is that the work reads."""
    query = sa.select(work_datasets.c.dataset_id, work_datasets.c.uri).where(work_datasets.c.work_id == work_id)
    return {row.dataset_id: row.uri for row in connection.execute(query)}


def users_of_dataset(connection: Connection, dataset_id: str) -> list[str]:
    """Return the work that reads the data set and has not ended."""
    query = (
        sa.select(works.c.work_id)
        .join(work_datasets, work_datasets.c.work_id == works.c.work_id)
        .where(
            work_datasets.c.dataset_id == dataset_id,
            works.c.state.not_in([state.value for state in State if state.is_end]),
        )
    )
    return list(connection.execute(query.order_by(works.c.number)).scalars())


def work_of(row: RowMapping) -> Work:
    """Read the columns of `works` out of a row."""
    same: Sequence[str] = [name for name in Work.__dataclass_fields__ if name not in ("state", "wish", "fault")]
    fault = Fault(row["error_reason"], row["error_message"], row["error_field"])
    return Work(
        **{name: row[works.c[name]] for name in same},
        state=State(row["state"]),
        wish=Wish(row["wish"]),
        fault=fault,
    )
