"""Ledger of all accepted jobs: session, status, cost and duplicates, with totals by session.

It comes from the database alone and includes deleted jobs, which were paid for. So it can confirm or refute the
accounts that clients keep themselves.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hybridloop.emulator.clock import format_time
from hybridloop.emulator.store.store import LAST_CHARACTER, Store


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """Totals over jobs: their number by status, their shots, and their cost by unit."""

    jobs: Mapping[str, int]
    shots: int
    money: Mapping[str, float]

    @property
    def total(self) -> int:
        return sum(self.jobs.values())


def add_totals(parts: Iterable[LedgerTotals]) -> LedgerTotals:
    jobs, shots, money = dict[str, int](), 0, dict[str, float]()
    for part in parts:
        shots += part.shots
        for status, number in part.jobs.items():
            jobs[status] = jobs.get(status, 0) + number
        for unit, price in part.money.items():
            money[unit] = round(money.get(unit, 0.0) + price, 6)
    return LedgerTotals(jobs, shots, money)


def query_totals(store: Store, where: str, parameters: Sequence[object]) -> dict[int | None, LedgerTotals]:
    """Return the totals of the jobs that meet an SQL condition, by session key; None for jobs without a session.

    A covering index answers the query unless the condition needs another column.
    """
    sql = (
        "SELECT session_key, status, unit, count(*) AS jobs, coalesce(sum(shots), 0) AS shots,"
        f" sum(price) AS price FROM jobs WHERE {where} GROUP BY session_key, status, unit"
    )
    parts: dict[int | None, list[LedgerTotals]] = {}
    for row in store.rows(sql, parameters):
        money = {} if row["unit"] is None else {row["unit"]: row["price"]}
        part = LedgerTotals({row["status"]: row["jobs"]}, row["shots"], money)
        parts.setdefault(row["session_key"], []).append(part)
    return {key: add_totals(session_parts) for key, session_parts in parts.items()}


def session_totals(store: Store, keys: Sequence[int]) -> dict[int | None, LedgerTotals]:
    """Return the totals of these sessions by key; only their own index entries are read."""
    totals = query_totals(store, f"session_key IN ({', '.join('?' * len(keys))})", keys)
    return {key: totals.get(key, add_totals(())) for key in keys}


DEFAULT_PAGE_SIZE = 1000
MAX_PAGE_SIZE = 10_000
MAX_LISTED_DUPLICATES = 1000  # in one reply; their count has no limit


@dataclass(frozen=True, slots=True)
class LedgerQuery:
    """Filter and page of the ledger: the jobs of a run, of a session, or all.

    `run` is the run's uid, with which the jobs' places begin. The page has `top` jobs with keys above `after`.
    """

    run: str | None = None
    session: str | None = None
    top: int = DEFAULT_PAGE_SIZE
    after: int = 0


def ledger(store: Store, query: LedgerQuery) -> dict[str, Any]:
    """Return the ledger as one document: totals, sessions and duplicates of all matching jobs, and a page of them."""
    where, parameters = _condition(query)
    by_session = query_totals(store, where, parameters)
    totals = add_totals(by_session.values())
    duplicates = _duplicates(store, where, parameters)
    jobs = _jobs(store, where, parameters, query)
    has_more = len(jobs) > query.top
    return {
        "jobs": totals.total,
        "shots": totals.shots,
        "ended": totals.jobs,
        "money": totals.money,
        "sessions": _sessions(store, by_session),
        "duplicates": duplicates,
        "entries": [_entry(row) for row in jobs[: query.top]],
        "next": jobs[query.top - 1]["key"] if has_more and query.top else None,
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


def _sessions(store: Store, totals: Mapping[int | None, LedgerTotals]) -> list[dict[str, Any]]:
    """Return each session's totals, oldest session first; jobs without a session come before, under null."""
    views = []
    for key, session_total in sorted(totals.items(), key=lambda entry: entry[0] or 0):
        session = None if key is None else store.session_by_key(key)
        view = {
            "id": session and session.id,
            "target": session and session.target,
            "status": session and session.state.status,
            "jobs": session_total.total,
            "shots": session_total.shots,
            "money": session_total.money,
        }
        views.append(view)
    return views


def _duplicates(store: Store, where: str, parameters: Sequence[object]) -> dict[str, Any]:
    """Return duplicates: jobs accepted while an earlier job of the same place had a result or was pending."""
    tables = "jobs JOIN jobs AS earlier ON earlier.key = jobs.duplicate_of"
    condition = f"jobs.duplicate_of IS NOT NULL AND {where}"
    (count_row,) = store.rows(f"SELECT count(*) FROM jobs WHERE {condition}", parameters)
    rows = store.rows(
        "SELECT jobs.place, jobs.id, jobs.attempt, jobs.created, earlier.id AS earlier_id,"
        f" earlier.attempt AS earlier_attempt, earlier.status AS earlier_status FROM {tables}"
        f" WHERE {condition} ORDER BY jobs.key LIMIT {MAX_LISTED_DUPLICATES}",
        parameters,
    )
    entries = [
        {
            "place": row["place"],
            "job": row["id"],
            "attempt": row["attempt"],
            "accepted": format_time(row["created"]),
            "earlier": {"job": row["earlier_id"], "attempt": row["earlier_attempt"], "status": row["earlier_status"]},
        }
        for row in rows
    ]
    return {"count": count_row[0], "entries": entries}


def _jobs(store: Store, where: str, parameters: Sequence[object], query: LedgerQuery) -> list[sqlite3.Row]:
    """Return a page of jobs in the order of acceptance, and one job more, which shows that another page follows."""
    sql = (
        "SELECT jobs.key, jobs.id AS job, sessions.id AS session, jobs.target, place, attempt, shots, price, unit,"
        " jobs.created AS accepted, jobs.ended, jobs.status, deleted"
        " FROM jobs LEFT JOIN sessions ON sessions.key = jobs.session_key"
        f" WHERE {where} AND jobs.key > ? ORDER BY jobs.key LIMIT ?"
    )
    return store.rows(sql, [*parameters, query.after, query.top + 1])


def _entry(row: sqlite3.Row) -> dict[str, Any]:
    entry = {**dict(row), "deleted": bool(row["deleted"]), "accepted": format_time(row["accepted"])}
    entry["ended"] = None if row["ended"] is None else format_time(row["ended"])
    del entry["key"]
    return entry
