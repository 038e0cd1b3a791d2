"""Alembic's environment script: run the steps on the connection and in the transaction of `migrate`."""

from __future__ import annotations

from alembic import context

from hybridloop.journal.storage.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite changes most of a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
