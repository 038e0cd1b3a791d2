"""Runs are found by their status: housekeeping looks every few minutes for the few that are not over."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the index."""
    op.create_index("states_by_status", "states", ["status"])
