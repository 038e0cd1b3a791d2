"""Queries for lists of sessions and jobs: a parsed list query becomes SQL of fixed fragments and bound values.

Also the portal's overview of all workspaces, newest first. Its pages go by the store's keys, so that a later page does
not shift when a session or job is added. Each page is read from an index.
"""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from hybridloop.emulator.model.job import JobStatus
from hybridloop.emulator.model.list_query import (
    CreationTime,
    FilterTerm,
    IsOneOf,
    ListProperty,
    ListQuery,
    NameStartsWith,
)
from hybridloop.emulator.model.session import SessionStatus
from hybridloop.emulator.store.ledger import LedgerTotals, session_totals
from hybridloop.emulator.store.records import StoredJob, StoredSession, job_from_row, session_from_row
from hybridloop.emulator.store.store import LARGEST_KEY, LAST_CHARACTER, Store

COLUMNS = {
    ListProperty.NAME: "name",
    ListProperty.ITEM_TYPE: "item_type",
    ListProperty.JOB_TYPE: "job_type",
    ListProperty.PROVIDER_ID: "provider_id",
    ListProperty.TARGET: "target",
    ListProperty.STATE: "status",
    ListProperty.CREATION_TIME: "created",
}
# a status in lower case -> its stored spelling: queries ignore case, the index on statuses does not
STATUSES = {str(status).lower(): str(status) for status in (*JobStatus, *SessionStatus)}


MAX_PAGE_BYTES = 2 * 2**20  # of the text of a page's records: clients read at most 8 MiB


class ListKind(enum.Enum):
    """The lists that a client can read."""

    JOBS = "jobs"
    SESSIONS = "sessions"
    SESSION_JOBS = "session jobs"
    TOP_LEVEL = "top-level items"


# SQL expressions for columns that a table does not have
JOB_EXPRESSIONS = {"item_type": "'Job'", "job_type": "'QuantumComputing'"}
SESSION_EXPRESSIONS = {"item_type": "'Session'", "job_type": "NULL"}


@dataclass(frozen=True, slots=True)
class Page:
    """Items of one page; `more` is True if another page follows."""

    items: tuple[StoredJob | StoredSession, ...]
    more: bool


def query_page(store: Store, kind: ListKind, query: ListQuery, workspace: str, session_key: int | None = None) -> Page:
    """Return the page of a list that the query asks for; `session_key` is needed for SESSION_JOBS."""
    parameters: list[object] = []
    if kind is ListKind.TOP_LEVEL:
        return _top_level(store, query, workspace)
    is_sessions, in_session = kind is ListKind.SESSIONS, kind is ListKind.SESSION_JOBS
    table, expressions = ("sessions", SESSION_EXPRESSIONS) if is_sessions else ("jobs", JOB_EXPRESSIONS)
    columns = "key" if _has_prefix(query) else "*"
    selects = []
    for part in _split_states(query):
        parameters.append(session_key if in_session else workspace)
        where = "session_key = ?" if in_session else "workspace = ?"
        selects.append(_select(table, where, expressions, part, parameters, columns))
    parameters += [query.top + 1, query.skip]
    order = _order(query, kind)
    sql = f"{' UNION ALL '.join(selects)} {order} LIMIT ? OFFSET ?"
    if _has_prefix(query):  # first the keys, of the index: a record that is skipped is not read
        sql = f"SELECT * FROM {table} WHERE key IN ({sql}) {order}"
    return _page(store.each_row(sql, parameters), query)


def _has_prefix(query: ListQuery) -> bool:
    return any(isinstance(term, NameStartsWith) for term in query.terms)


def _split_states(query: ListQuery) -> list[ListQuery]:
    """Split a query for several states into one for each, if the list is in the order of time.

    SQLite uses the index on states for a single state only; for several it would walk the index on time.
    """
    states = [term for term in query.terms if isinstance(term, IsOneOf) and term.property is ListProperty.STATE]
    if len(states) != 1 or _has_prefix(query) or query.order not in (None, ListProperty.CREATION_TIME):
        return [query]
    (state_term,) = states
    others = tuple(term for term in query.terms if term is not state_term)
    values = dict.fromkeys(STATUSES.get(value.lower(), value) for value in state_term.values)
    return [replace(query, terms=(*others, replace(state_term, values=(value,)))) for value in values]


def _top_level(store: Store, query: ListQuery, workspace: str) -> Page:
    """Return a page of sessions and of jobs without a session: first their keys and order, then each record."""
    parameters: list[object] = [workspace]
    columns = "key, name, provider_id, target, status, created, {item_type} AS item_type, {job_type} AS job_type"
    session_columns, job_columns = columns.format(**SESSION_EXPRESSIONS), columns.format(**JOB_EXPRESSIONS)
    sessions = _select("sessions", "workspace = ?", SESSION_EXPRESSIONS, query, parameters, session_columns)
    parameters.append(workspace)
    where = "workspace = ? AND session_key IS NULL"
    jobs = _select("jobs", where, JOB_EXPRESSIONS, query, parameters, job_columns)
    parameters += [query.top + 1, query.skip]
    order = _order(query, ListKind.TOP_LEVEL)
    found = store.rows(f"SELECT * FROM ({sessions} UNION ALL {jobs}) {order} LIMIT ? OFFSET ?", parameters)
    rows = (
        record
        for row in found
        for record in store.rows(
            f"SELECT * FROM {'sessions' if row['item_type'] == 'Session' else 'jobs'} WHERE key = ?", (row["key"],)
        )
    )
    return _page(rows, query)


def _page(rows: Iterable[sqlite3.Row], query: ListQuery) -> Page:
    """Return the page that starts with these rows; an empty page has no successor."""
    page_rows, more = _page_rows(rows, query.top)
    items = (job_from_row(row) if "request" in row.keys() else session_from_row(row) for row in page_rows)
    return Page(tuple(items), more and query.top > 0)


def _page_rows(rows: Iterable[sqlite3.Row], top: int) -> tuple[list[sqlite3.Row], bool]:
    """Return the rows of one page, `top` or as many as reach MAX_PAGE_BYTES, and True if another row follows."""
    page_rows: list[sqlite3.Row] = []
    size = 0
    for row in rows:
        if len(page_rows) == top or size > MAX_PAGE_BYTES:
            return page_rows, True
        page_rows.append(row)
        size += sum(len(value) for value in row if isinstance(value, str))
    return page_rows, False


def _select(
    table: str, where: str, expressions: dict[str, str], query: ListQuery, parameters: list[object], columns: str = "*"
) -> str:
    conditions = [where, *(["deleted = 0"] if table == "jobs" else [])]
    conditions += [_condition(term, expressions, parameters) for term in query.terms]
    return f"SELECT {columns} FROM {table} WHERE {' AND '.join(conditions)}"


def _condition(term: FilterTerm, expressions: dict[str, str], parameters: list[object]) -> str:
    if isinstance(term, NameStartsWith):
        parameters += [term.prefix, term.prefix + LAST_CHARACTER]
        return "name >= ? AND name < ?"
    if isinstance(term, CreationTime):
        parameters.append(term.moment)
        return f"created {term.comparison} ?"
    column = COLUMNS[term.property]
    if term.property is ListProperty.STATE:
        parameters += [STATUSES.get(value.lower(), value) for value in term.values]
        return f"status IN ({', '.join('?' * len(term.values))})"
    parameters += [value.lower() for value in term.values]
    return f"lower({expressions.get(column, column)}) IN ({', '.join('?' * len(term.values))})"


def _order(query: ListQuery, kind: ListKind) -> str:
    """Return the ORDER BY clause; ties go by the key, so the order is fixed even if a virtual clock stands still."""
    direction = "DESC" if query.descending else "ASC"
    if query.order is None or query.order is ListProperty.CREATION_TIME:
        if _has_prefix(query):
            # the plus keeps SQLite from using the index on time: the index on names selects fewer rows
            return f"ORDER BY +created {direction}, key {direction}"
        return f"ORDER BY created {direction}, key {direction}"
    column = COLUMNS[query.order]
    if kind is not ListKind.TOP_LEVEL:
        column = (SESSION_EXPRESSIONS if kind is ListKind.SESSIONS else JOB_EXPRESSIONS).get(column, column)
    return f"ORDER BY {column} {direction}, created {direction}, key {direction}"


START_CURSOR = LARGEST_KEY  # as `before`: the first page
Line = TypeVar("Line")


@dataclass(frozen=True, slots=True)
class SessionLine:
    """A session with its workspace and the totals of its jobs."""

    workspace: str
    session: StoredSession
    totals: LedgerTotals


@dataclass(frozen=True, slots=True)
class OverviewPage(Generic[Line]):
    """A page of the overview; `older` is the `before` of the next page, None if this is the last."""

    lines: tuple[Line, ...]
    older: int | None


def newest_sessions(store: Store, before: int, top: int) -> OverviewPage[SessionLine]:
    """Return the `top` newest sessions with keys below `before`."""
    rows = store.each_row("SELECT * FROM sessions WHERE key < ? ORDER BY key DESC LIMIT ?", (before, top + 1))
    page_rows, more = _page_rows(rows, top)
    totals = session_totals(store, [row["key"] for row in page_rows])
    lines = tuple(SessionLine(row["workspace"], session_from_row(row), totals[row["key"]]) for row in page_rows)
    return OverviewPage(lines, page_rows[-1]["key"] if more else None)


def newest_lone_jobs(store: Store, before: int, top: int) -> OverviewPage[tuple[str, StoredJob]]:
    """Return the `top` newest jobs without a session, with their workspaces, that precede the job with key `before`."""
    sql = "SELECT * FROM jobs WHERE session_key IS NULL AND deleted = 0"
    parameters: list[object] = []
    if before != START_CURSOR:
        sql += " AND (created, key) < (SELECT created, key FROM jobs WHERE key = ?)"
        parameters.append(before)
    rows = store.each_row(f"{sql} ORDER BY created DESC, key DESC LIMIT ?", [*parameters, top + 1])
    page_rows, more = _page_rows(rows, top)
    lines = tuple((str(row["workspace"]), job_from_row(row)) for row in page_rows)
    return OverviewPage(lines, page_rows[-1]["key"] if more else None)
