"""Runs the migrations on the connection that `Database` hands over; never run by alembic's own command."""

from alembic import context

from pinetune.jobs.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter most things in place.
    render_as_batch=True,
)
context.run_migrations()
