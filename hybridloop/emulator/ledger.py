"""The service's own account of every job that it accepted: where it belongs, how it ended, what it cost.

It is read from the books alone, deleted jobs included, and is the witness for what clients say of themselves.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hybridloop.emulator.clock import utc_text
from hybridloop.emulator.store import Store

PAGE = 1000
LONGEST_PAGE = 10_000
MOST_DUPLICATES = 1000  # that one reply lists; it counts them all
LAST_CHARACTER = "\U0010ffff"


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
    sums = _sums(store, where, parameters)
    duplicates = _duplicates(store, where, parameters)
    jobs = _jobs(store, where, parameters, query)
    more = len(jobs) > query.top
    return {
        "jobs": sum(row["jobs"] for row in sums),
        "shots": sum(row["shots"] for row in sums),
        "ended": _by_status(sums),
        "money": _money(sums),
        "sessions": _sessions(store, sums),
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


def _sums(store: Store, where: str, parameters: Sequence[object]) -> list[sqlite3.Row]:
    """One row for each session, status and unit; from an index alone where all jobs are asked for."""
    sql = (
        "SELECT session_key, status, unit, count(*) AS jobs, coalesce(sum(shots), 0) AS shots,"
        f" sum(price) AS price FROM jobs WHERE {where} GROUP BY session_key, status, unit"
    )
    return store.rows(sql, parameters)


def _by_status(sums: Sequence[sqlite3.Row]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in sums:
        counts[row["status"]] = counts.get(row["status"], 0) + row["jobs"]
    return counts


def _money(sums: Sequence[sqlite3.Row]) -> dict[str, float]:
    money: dict[str, float] = {}
    for row in sums:
        if row["unit"] is not None:
            money[row["unit"]] = round(money.get(row["unit"], 0.0) + row["price"], 6)
    return money


def _sessions(store: Store, sums: Sequence[sqlite3.Row]) -> list[dict[str, Any]]:
    """What each session's jobs cost, in the order of opening; those without a session come first, under null."""
    groups: dict[int | None, list[sqlite3.Row]] = {}
    for row in sums:
        groups.setdefault(row["session_key"], []).append(row)
    views = []
    for key, rows in sorted(groups.items(), key=lambda group: group[0] or 0):
        session = None if key is None else store.session_by_key(key)
        views.append(
            {
                "id": session and session.id,
                "target": session and session.target,
                "status": session and session.state.status,
                "jobs": sum(row["jobs"] for row in rows),
                "shots": sum(row["shots"] for row in rows),
                "money": _money(rows),
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
