"""Index of runs by status: housekeeping searches every few minutes for the few runs that have not ended."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the index."""
    op.create_index("states_by_status", "states", ["status"])
