"""The service's own account of every job that it accepted: where it belongs, how it ended, what it cost.

It is read from the books alone, deleted jobs included, and is the witness for what clients say of themselves.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybridloop.emulator.clock import utc_text
from hybridloop.emulator.store import LAST_CHARACTER, Store
from hybridloop.emulator.tally import Tally, tallies_where, together

PAGE = 1000
LONGEST_PAGE = 10_000
MOST_DUPLICATES = 1000  # that one reply lists; it counts them all


@dataclass(frozen=True, slots=True)
class LedgerQuery:
    """Which jobs: of a run (the uid that their places begin with), of a session, or all; `after` that number."""

    run: str | None = None
    session: str | None = None
    top: int = PAGE
    after: int = 0


def ledger(store: Store, query: LedgerQuery) -> dict[str, Any]:
    """The account as one document: totals, sessions and duplicates of all jobs asked for, and a page of jobs."""
    where, parameters = _condition(query)
    tallies = tallies_where(store, where, parameters)
    whole = together(tallies.values())
    duplicates = _duplicates(store, where, parameters)
    jobs = _jobs(store, where, parameters, query)
    more = len(jobs) > query.top
    return {
        "jobs": whole.total,
        "shots": whole.shots,
        "ended": whole.jobs,
        "money": whole.money,
        "sessions": _sessions(store, tallies),
        "duplicates": duplicates,
        "entries": [_entry(row) for row in jobs[: query.top]],
        "next": jobs[query.top - 1]["key"] if more and query.top else None,
    }


def _condition(query: LedgerQuery) -> tuple[str, list[object]]:
    parts, parameters = ["1"], list[object]()
    if query.run is not None:
        parts.append("jobs.place >= ? AND jobs.place < ?")
        parameters += [f"{query.run}/", f"{query.run}/{LAST_CHARACTER}"]
    if query.session is not None:
        parts.append("jobs.session_key IN (SELECT key FROM sessions WHERE id = ?)")
        parameters.append(query.session)
    return " AND ".join(parts), parameters


def _sessions(store: Store, tallies: Mapping[int | None, Tally]) -> list[dict[str, Any]]:
    """What each session's jobs cost, in the order of opening; those without a session come first, under null."""
    views = []
    for key, tally in sorted(tallies.items(), key=lambda entry: entry[0] or 0):
        session = None if key is None else store.session_by_key(key)
        views.append(
            {
                "id": session and session.id,
                "target": session and session.target,
                "status": session and session.state.status,
                "jobs": tally.total,
                "shots": tally.shots,
                "money": tally.money,
            }
        )
    return views


def _duplicates(store: Store, where: str, parameters: Sequence[object]) -> dict[str, Any]:
    """Jobs accepted while an earlier one of their place had given, or might still give, an answer."""
    tables = "jobs JOIN jobs AS earlier ON earlier.key = jobs.duplicate_of"
    condition = f"jobs.duplicate_of IS NOT NULL AND {where}"
    (count,) = store.rows(f"SELECT count(*) FROM jobs WHERE {condition}", parameters)
    rows = store.rows(
        "SELECT jobs.place, jobs.id, jobs.attempt, jobs.created, earlier.id AS earlier_id,"
        f" earlier.attempt AS earlier_attempt, earlier.status AS earlier_status FROM {tables}"
        f" WHERE {condition} ORDER BY jobs.key LIMIT {MOST_DUPLICATES}",
        parameters,
    )
    listed = [
        {
            "place": row["place"],
            "job": row["id"],
            "attempt": row["attempt"],
            "accepted": utc_text(row["created"]),
            "earlier": {"job": row["earlier_id"], "attempt": row["earlier_attempt"], "status": row["earlier_status"]},
        }
        for row in rows
    ]
    return {"count": count[0], "entries": listed}


def _jobs(store: Store, where: str, parameters: Sequence[object], query: LedgerQuery) -> list[sqlite3.Row]:
    """A page of jobs and one more, in the order of acceptance."""
    sql = (
        "SELECT jobs.*, sessions.id AS session FROM jobs LEFT JOIN sessions ON sessions.key = jobs.session_key"
        f" WHERE {where} AND jobs.key > ? ORDER BY jobs.key LIMIT ?"
    )
    return store.rows(sql, [*parameters, query.after, query.top + 1])


def _entry(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "job": row["id"],
        "session": row["session"],
        "target": row["target"],
        "place": row["place"],
        "attempt": row["attempt"],
        "shots": row["shots"],
        "price": row["price"],
        "unit": row["unit"],
        "accepted": utc_text(row["created"]),
        "ended": None if row["ended"] is None else utc_text(row["ended"]),
        "status": row["status"],
        "deleted": bool(row["deleted"]),
    }
