"""The tables of the jobs service. What is queried has a column; the rest of a row is its message's bytes.

`works` holds what jobs and evaluations have in common: both are queued, run by a worker under a lease, and end. Times
are microseconds since 1970, UTC: exact, and the same in SQLite and PostgreSQL. A change here needs a migration beside
it; a test compares the two.
"""

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
)

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)

# SQLite numbers rows by itself only in a column of exactly this type.
Number = BigInteger().with_variant(Integer, "sqlite")


class Text(sa.TypeDecorator[str]):
    """Text of any length, without the character NUL: PostgreSQL has no room for it, and logs and file names may."""

    impl: type[sa.String] = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Write the picture of NUL in its place, in what is stored and in what is looked for."""
        return value if value is None else value.replace("\0", "\N{SYMBOL FOR NULL}")


class String(Text):
    """Text of a length that PostgreSQL keeps to, and SQLite does not."""

    impl = sa.String
    cache_ok = True


def _work_id(*, primary_key: bool = False) -> Column[str]:
    work = ForeignKey("works.work_id", ondelete="CASCADE")
    return Column("work_id", String(64), work, nullable=False, primary_key=primary_key)


datasets = Table(
    "datasets",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("dataset_id", String(64), nullable=False, unique=True),
    Column("filename", Text, nullable=False),
    Column("uri", Text, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("common_keys", Text, nullable=False),
    Column("findings", Text, nullable=False),
)

works = Table(
    "works",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("work_id", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("request_id", String(256)),
    Column("order_hash", String(64), nullable=False),
    Column("order_message", LargeBinary, nullable=False),
    Column("base_model_uri", Text, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("phase", Integer, nullable=False),
    Column("wish", String(16), nullable=False),
    Column("wish_time", BigInteger, nullable=False),
    Column("waiting_for", Text, nullable=False),
    Column("pending", Text, nullable=False, server_default=""),
    Column("attempt", Integer, nullable=False),
    Column("restart_count", Integer, nullable=False),
    Column("max_restarts", Integer, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("start_time", BigInteger),
    Column("end_time", BigInteger),
    Column("error_reason", String(128), nullable=False),
    Column("error_message", Text, nullable=False),
    Column("error_field", Text, nullable=False),
    Column("last_event_number", BigInteger, nullable=False),
    UniqueConstraint("kind", "request_id"),
)

work_datasets = Table(
    "work_datasets",
    metadata,
    _work_id(primary_key=True),
    Column("dataset_id", String(64), primary_key=True, index=True),
    Column("uri", Text, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    _work_id(primary_key=True),
    Column("step", BigInteger, nullable=False),
    Column("total_steps", BigInteger, nullable=False),
    Column("warm_up_step", BigInteger, nullable=False),
    Column("total_warm_up_steps", BigInteger, nullable=False),
    Column("model_uri", Text, nullable=False),
    Column("model_name", Text, nullable=False, index=True),
    Column("best_checkpoint_id", String(64), nullable=False),
    Column("usage_message", LargeBinary, nullable=False),
)

evaluations = Table(
    "evaluations",
    metadata,
    _work_id(primary_key=True),
    Column("job_id", String(64), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("committed_by", String(64), ForeignKey("works.work_id", ondelete="CASCADE")),
    Column("result_message", LargeBinary, nullable=False),
    UniqueConstraint("committed_by", "name"),
)

attempts = Table(
    "attempts",
    metadata,
    _work_id(primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("launch_time", BigInteger, nullable=False),
    Column("claim_time", BigInteger),
    Column("heartbeat_time", BigInteger, nullable=False),
    Column("end_time", BigInteger),
    Column("ending", Text, nullable=False),
    Column("told_events", BigInteger, nullable=False, server_default="0"),
)

events = Table(
    "events",
    metadata,
    _work_id(primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("step_phase", Integer),
    Column("step_number", BigInteger),
    Column("event_message", LargeBinary, nullable=False),
    Column("job_message", LargeBinary, nullable=False),
)

steps = Table(
    "steps",
    metadata,
    _work_id(primary_key=True),
    Column("phase", Integer, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("commit_time", BigInteger, nullable=False),
    Column("event_number", BigInteger, nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("total_seconds", Float, nullable=False),
    Column("step_message", LargeBinary, nullable=False),
)

rollout_files = Table(
    "rollout_files",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    _work_id(),
    Column("phase", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("purpose", Integer, nullable=False),
    Column("uri", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Index("ix_rollout_files_work_id_step", "work_id", "step"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("checkpoint_id", String(64), nullable=False, unique=True),
    _work_id(),
    Column("kind", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("warm_up_step", BigInteger, nullable=False),
    Column("event_number", BigInteger, nullable=False),
    Column("resumable", Boolean, nullable=False),
    Column("policy_uri", Text, nullable=False),
    Column("state_uri", Text, nullable=False),
    Column("model_name", Text, nullable=False, index=True),
    Column("reward", Float),
    Column("checkpoint_message", LargeBinary, nullable=False),
    UniqueConstraint("work_id", "kind", "step", "warm_up_step"),
)
