"""Tables of the journal in this version, which `migrations` creates.

Every row ends in a checksum over its other columns. Numbers, text and bytes are stored as they are, compound values in
the formats of `encoding`. Positions in a run are primary keys, so that a missing row leaves a gap that is noticed.
SQLite stores each row once (no row ids), so that no copy of a key can differ from the row.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.engine import Dialect

VERSION = "0001"
VERSION_TABLE = "journal_version"

metadata = MetaData()


class RawBytes(LargeBinary):
    """Bytes as the driver returns them; SQLAlchemy's own type would turn a damaged value (a number) into zeros."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        """Return None: values are not converted when they are read."""


def _checksum() -> Column[bytes]:
    return Column("checksum", RawBytes, nullable=False)


runs = Table(
    "runs",
    metadata,
    Column("uid", Text, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("algorithm", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("seed", Text, nullable=False),  # a seed may be longer than 64 bits
    Column("settings", Text, nullable=False),
    Column("flow_run_id", Text),
    Column("versions", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    _checksum(),
    Index("runs_by_flow_run", "flow_run_id"),
    Index("runs_by_age", "created_at"),
    sqlite_with_rowid=False,
)

states = Table(
    "states",  # a run's changing columns, apart from its settings, which may be long
    metadata,
    Column("run_uid", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("result", Text),
    Column("updated_at", Double, nullable=False),
    Column("owner", Text),
    Column("lease_expires_at", Double),
    Column("epoch", BigInteger, nullable=False),
    Column("stop_requested", BigInteger, nullable=False),
    Column("resume_requested", BigInteger, nullable=False),
    # numbers of the run's rows in these tables, so that a missing one is noticed
    Column("rounds", BigInteger, nullable=False),
    Column("jobs", BigInteger, nullable=False),
    Column("sessions", BigInteger, nullable=False),
    Column("pings", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    _checksum(),
    Index("states_by_status", "status"),
    Index("states_to_resume", "resume_requested"),
    sqlite_with_rowid=False,
)

rounds = Table(
    "rounds",
    metadata,
    Column("run_uid", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("target", Text, nullable=False),
    Column("pubs", RawBytes, nullable=False),
    Column("jobs", BigInteger, nullable=False),  # number of its rows in `jobs`
    Column("complete", BigInteger, nullable=False),
    _checksum(),
    sqlite_with_rowid=False,
)

jobs = Table(
    "jobs",
    metadata,
    Column("run_uid", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("pub", BigInteger, primary_key=True, autoincrement=False),
    Column("point", BigInteger, primary_key=True, autoincrement=False),
    Column("part", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("shots", BigInteger, nullable=False),
    Column("program", Text),
    Column("session", BigInteger, nullable=False),
    Column("reserved", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("counts", RawBytes),
    Column("reason", Text, nullable=False),
    Column("billed", Text),
    Column("day", BigInteger, nullable=False),  # on which its amount counts: since 1970-01-01 (UTC)
    _checksum(),
    sqlite_with_rowid=False,
)

programs = Table(
    "programs",
    metadata,
    Column("key", Text, primary_key=True),
    Column("body", RawBytes, nullable=False),
    _checksum(),
    sqlite_with_rowid=False,
)

program_uses = Table(
    "program_uses",  # the runs that use a program
    metadata,
    Column("program", Text, primary_key=True),
    Column("run_uid", Text, primary_key=True),
    _checksum(),
    Index("program_uses_by_run", "run_uid"),
    sqlite_with_rowid=False,
)

sessions = Table(
    "sessions",
    metadata,
    Column("run_uid", Text, primary_key=True),
    Column("ordinal", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("ended_at", Double),
    _checksum(),
    sqlite_with_rowid=False,
)

pings = Table(
    "pings",
    metadata,
    Column("run_uid", Text, primary_key=True),
    Column("session", BigInteger, primary_key=True, autoincrement=False),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("shots", BigInteger, nullable=False),
    Column("reserved", Text, nullable=False),
    Column("billed", Text),
    Column("state", Text, nullable=False),
    Column("day", BigInteger, nullable=False),
    _checksum(),
    sqlite_with_rowid=False,
)

spans = Table(
    "spans",  # times in flight of rounds and pings, for plots: a run without them is complete
    metadata,
    Column("run_uid", Text, primary_key=True),
    Column("place", Text, primary_key=True),
    Column("begun_at", Double, nullable=False),
    Column("ended_at", Double),
    _checksum(),
    sqlite_with_rowid=False,
)

amounts = Table(
    "amounts",  # what runs cost by day; kept when a run is deleted, since its money is spent
    metadata,
    Column("run_uid", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("reserved", Double, nullable=False),
    Column("spent", Double, nullable=False),
    Column("billed", Double, nullable=False),
    _checksum(),
    Index("amounts_by_day", "day"),
    sqlite_with_rowid=False,
)

kept_amounts = Table(
    "kept_amounts",  # the part of `amounts` of jobs that are not in this journal: deleted ones, and others by their id
    metadata,
    Column("run_uid", Text, primary_key=True),
    Column("job", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("reserved", Double, nullable=False),
    Column("spent", Double, nullable=False),
    Column("billed", Double, nullable=False),
    _checksum(),
    sqlite_with_rowid=False,
)

scopes = Table(
    "scopes",  # what limits and reports find runs by, kept as long as their amounts
    metadata,
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("run_uid", Text, primary_key=True),
    _checksum(),
    Index("scopes_by_run", "run_uid"),
    sqlite_with_rowid=False,
)

limits = Table(
    "limits",
    metadata,
    Column("name", Text, primary_key=True),
    Column("unit", Text, nullable=False),
    Column("amount", Double, nullable=False),
    Column("period", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("counts_local", BigInteger, nullable=False),
    Column("spent_before", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    _checksum(),
    sqlite_with_rowid=False,
)

totals = Table(
    "totals",  # numbers of the rows that sums of limits are made of, by table, so that a missing one is noticed
    metadata,
    Column("name", Text, primary_key=True),
    Column("rows", BigInteger, nullable=False),
    _checksum(),
    sqlite_with_rowid=False,
)

named_leases = Table(
    "named_leases",  # of what one process at a time does for the journal
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
    _checksum(),
    sqlite_with_rowid=False,
)

outbox = Table(
    "outbox",  # ends of runs that Prefect's server is not known to have
    metadata,
    Column("flow_run", Text, primary_key=True),
    Column("run_uid", Text, nullable=False),
    Column("starts", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("cancelled", BigInteger, nullable=False),
    Column("ended_at", Double, nullable=False),
    _checksum(),
    sqlite_with_rowid=False,
)

identity = Table(
    "identity",  # one row, with the id by which others name this journal
    metadata,
    Column("id", Text, primary_key=True),
    _checksum(),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("run_uid", Text, primary_key=True),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("facts", Text, nullable=False),
    _checksum(),
    sqlite_with_rowid=False,
)
