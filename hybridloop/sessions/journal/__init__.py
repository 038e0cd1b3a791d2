"""The journal of runs: every intent and every result, durable before it is used; SQLite or PostgreSQL."""

from hybridloop.sessions.journal.journal import Journal, journal_url, open_journal
from hybridloop.sessions.journal.leases import LEASE_S
from hybridloop.sessions.journal.owner import Owner
from hybridloop.sessions.journal.records import (
    Effort,
    Event,
    JobIntent,
    JobOutcome,
    JobRecord,
    Lease,
    NewRun,
    Ping,
    Progress,
    PubRecord,
    RoundRecord,
    RunRecord,
    SessionRow,
    Spent,
)
from hybridloop.sessions.journal.runs import check_key

__all__ = [
    "LEASE_S",
    "Effort",
    "Event",
    "JobIntent",
    "JobOutcome",
    "JobRecord",
    "Journal",
    "Lease",
    "NewRun",
    "Owner",
    "Ping",
    "Progress",
    "PubRecord",
    "RoundRecord",
    "RunRecord",
    "SessionRow",
    "Spent",
    "check_key",
    "journal_url",
    "open_journal",
]
