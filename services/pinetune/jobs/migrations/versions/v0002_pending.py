"""Why the processes of some work do not start."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """Add the column."""
    op.add_column("works", sa.Column("pending", sa.Text(), server_default="", nullable=False))
