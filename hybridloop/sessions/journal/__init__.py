"""The journal of runs: every intent and every result, durable before it is used; SQLite or PostgreSQL."""

from hybridloop.sessions.journal.journal import Journal, journal_url, open_journal
from hybridloop.sessions.journal.leases import LEASE_S
from hybridloop.sessions.journal.looking import Look, look_at_journal
from hybridloop.sessions.journal.owner import Owner
from hybridloop.sessions.journal.pruning import PRUNED
from hybridloop.sessions.journal.records import (
    Charge,
    DamagedRun,
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
    Span,
)
from hybridloop.sessions.journal.runs import check_key
from hybridloop.sessions.journal.spans import ping_place, round_place

__all__ = [
    "LEASE_S",
    "PRUNED",
    "Charge",
    "DamagedRun",
    "Effort",
    "Event",
    "JobIntent",
    "JobOutcome",
    "JobRecord",
    "Journal",
    "Lease",
    "Look",
    "NewRun",
    "Owner",
    "Ping",
    "Progress",
    "PubRecord",
    "RoundRecord",
    "RunRecord",
    "SessionRow",
    "Span",
    "check_key",
    "journal_url",
    "look_at_journal",
    "open_journal",
    "ping_place",
    "round_place",
]
