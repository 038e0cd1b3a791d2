"""Effort of a run, from its journal: jobs, retries, pings, shots, cost and sessions."""

from __future__ import annotations

from dataclasses import replace

from hybridloop.journal import Journal
from hybridloop.journal.held_run import HeldRun
from hybridloop.results.result import SessionSummary
from hybridloop.runs.effort import effort_of
from tests.journal.journal_helpers import BODY, PROGRAM, TARGET, add_claimed_run, intents, outcomes, ping, pub, session


def test_retries_and_pings_count_in_cost_and_sessions_and_not_in_jobs_and_shots(journal: Journal) -> None:
    lease, jobs = add_claimed_run(journal), intents(points=3)
    retries = [replace(intents(points=1, attempt=1)[0], session=1)]
    for ordinal in (0, 1):
        journal.add_session(lease, session(ordinal))
    journal.begin_round(lease, "main", 0, TARGET, [pub(points=3)], jobs, {PROGRAM: BODY})
    failed = replace(jobs[0], state="failed", reason="it ended Failed", billed={"USD": 0.1})
    journal.record_outcomes(lease, "main", 0, [failed], complete=False)
    journal.add_attempts(lease, "main", 0, retries)
    journal.record_outcomes(lease, "main", 0, outcomes([*jobs[1:], *retries]), complete=True)
    for n, (state, billed) in enumerate([("done", {"USD": 0.01}), ("lost", {"USD": 0.0})]):
        journal.add_ping(lease, sent := ping(n))
        journal.end_ping(lease, sent.id, state, billed)
    effort = effort_of(HeldRun(journal, journal.run(lease.run_uid), lease))
    assert {name: effort[name] for name in ("jobs", "retried", "pings", "shots", "cost", "sessions")} == {
        "jobs": 3,
        "retried": 1,
        "pings": 1,
        "shots": 3000,
        "cost": {"USD": 0.1 + 3 * 0.25 + 0.01},
        "sessions": (SessionSummary("session-0", "Open", 4), SessionSummary("session-1", "Open", 1)),
    }
