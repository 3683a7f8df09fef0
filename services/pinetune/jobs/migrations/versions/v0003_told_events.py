"""How many events of an attempt its worker has told, so that none is told twice."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"


def upgrade() -> None:
    """Add the column."""
    op.add_column("attempts", sa.Column("told_events", sa.BigInteger(), server_default="0", nullable=False))
