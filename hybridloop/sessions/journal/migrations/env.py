"""What Alembic runs: the steps, on the connection and in the transaction of whoever opens the journal."""

from __future__ import annotations

from alembic import context

from hybridloop.sessions.journal.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite changes most of a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
