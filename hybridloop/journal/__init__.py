"""The journal: a database (SQLite or PostgreSQL) of runs, rounds, jobs, sessions and their cost.

Every intent is written before it is submitted, and every result before it is used, so that a run can be resumed.
"""

from hybridloop.journal.journal import Journal, has_journal, journal_url, open_journal
from hybridloop.journal.owner import Owner
from hybridloop.journal.records import (
    LEASE_S,
    PRUNED,
    UNSETTLED,
    Charge,
    DamagedRun,
    Event,
    FlowRunEnd,
    Job,
    Lease,
    Ping,
    PubRecord,
    RoundRecord,
    RunLabel,
    RunProgress,
    RunRecord,
    RunTotals,
    SessionRow,
    Slice,
    Span,
)
from hybridloop.journal.runs import check_key
from hybridloop.journal.spans import ping_span_key, round_span_key
from hybridloop.journal.storage.migrate import JournalInspection, inspect_journal

__all__ = [
    "LEASE_S",
    "PRUNED",
    "UNSETTLED",
    "Charge",
    "DamagedRun",
    "Event",
    "FlowRunEnd",
    "Job",
    "Journal",
    "JournalInspection",
    "Lease",
    "Owner",
    "Ping",
    "PubRecord",
    "RoundRecord",
    "RunLabel",
    "RunProgress",
    "RunRecord",
    "RunTotals",
    "SessionRow",
    "Slice",
    "Span",
    "check_key",
    "has_journal",
    "inspect_journal",
    "journal_url",
    "open_journal",
    "ping_span_key",
    "round_span_key",
]
