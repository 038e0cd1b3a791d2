"""First version of the schema: runs and their states, rounds, jobs, programs, sessions, pings, events, limits."""

from __future__ import annotations

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

from hybridloop.journal.storage.rows import with_checksum
from hybridloop.journal.storage.schema import identity, totals

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "runs",
        sa.Column("uid", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        sa.Column("algorithm", sa.Text, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("seed", sa.Text, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("flow_run_id", sa.Text),
        sa.Column("versions", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("runs_by_flow_run", "runs", ["flow_run_id"])
    op.create_index("runs_by_age", "runs", ["created_at"])
    op.create_table(
        "states",
        sa.Column("run_uid", sa.Text, primary_key=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("lease_expires_at", sa.Double),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("stop_requested", sa.BigInteger, nullable=False),
        sa.Column("resume_requested", sa.BigInteger, nullable=False),
        sa.Column("rounds", sa.BigInteger, nullable=False),
        sa.Column("jobs", sa.BigInteger, nullable=False),
        sa.Column("sessions", sa.BigInteger, nullable=False),
        sa.Column("pings", sa.BigInteger, nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rounds",
        sa.Column("run_uid", sa.Text, primary_key=True),
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("pubs", sa.LargeBinary, nullable=False),
        sa.Column("jobs", sa.BigInteger, nullable=False),
        sa.Column("complete", sa.BigInteger, nullable=False),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "jobs",
        sa.Column("run_uid", sa.Text, primary_key=True),
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("pub", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("point", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("part", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("attempt", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("shots", sa.BigInteger, nullable=False),
        sa.Column("program", sa.Text),
        sa.Column("session", sa.BigInteger, nullable=False),
        sa.Column("reserved", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("counts", sa.LargeBinary),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("billed", sa.Text),
        sa.Column("day", sa.BigInteger, nullable=False),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "programs",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "program_uses",
        sa.Column("program", sa.Text, primary_key=True),
        sa.Column("run_uid", sa.Text, primary_key=True),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("program_uses_by_run", "program_uses", ["run_uid"])
    op.create_table(
        "sessions",
        sa.Column("run_uid", sa.Text, primary_key=True),
        sa.Column("ordinal", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("opened_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pings",
        sa.Column("run_uid", sa.Text, primary_key=True),
        sa.Column("session", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("n", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("shots", sa.BigInteger, nullable=False),
        sa.Column("reserved", sa.Text, nullable=False),
        sa.Column("billed", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("day", sa.BigInteger, nullable=False),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "events",
        sa.Column("run_uid", sa.Text, primary_key=True),
        sa.Column("n", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("states_by_status", "states", ["status"])  # housekeeping searches for the runs that have not ended
    op.create_index("states_to_resume", "states", ["resume_requested"])
    op.create_table(
        "spans",
        sa.Column("run_uid", sa.Text, primary_key=True),
        sa.Column("place", sa.Text, primary_key=True),
        sa.Column("begun_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "amounts",
        sa.Column("run_uid", sa.Text, primary_key=True),
        sa.Column("unit", sa.Text, primary_key=True),
        sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("reserved", sa.Double, nullable=False),
        sa.Column("spent", sa.Double, nullable=False),
        sa.Column("billed", sa.Double, nullable=False),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("amounts_by_day", "amounts", ["day"])
    op.create_table(
        "kept_amounts",
        sa.Column("run_uid", sa.Text, primary_key=True),
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("unit", sa.Text, primary_key=True),
        sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("reserved", sa.Double, nullable=False),
        sa.Column("spent", sa.Double, nullable=False),
        sa.Column("billed", sa.Double, nullable=False),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "scopes",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, primary_key=True),
        sa.Column("run_uid", sa.Text, primary_key=True),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("scopes_by_run", "scopes", ["run_uid"])
    op.create_table(
        "limits",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("amount", sa.Double, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("counts_local", sa.BigInteger, nullable=False),
        sa.Column("spent_before", sa.Double, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "totals",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    rows = [
        with_checksum(totals, {"name": name, "rows": 0}) for name in ("amounts", "kept_amounts", "limits", "scopes")
    ]
    op.get_bind().execute(totals.insert(), rows)
    op.create_table(
        "named_leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "outbox",
        sa.Column("flow_run", sa.Text, primary_key=True),
        sa.Column("run_uid", sa.Text, nullable=False),
        sa.Column("starts", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("cancelled", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.Double, nullable=False),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "identity",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("checksum", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.get_bind().execute(identity.insert(), [with_checksum(identity, {"id": str(uuid4())})])
