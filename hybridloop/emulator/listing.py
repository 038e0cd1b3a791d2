"""Lists out of the store: a parsed query becomes SQL of fixed pieces and bound values."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hybridloop.emulator.filters import (
    CreatedBefore,
    CreatedFrom,
    IsOneOf,
    ListQuery,
    NameStartsWith,
    Property,
    Term,
)
from hybridloop.emulator.job import JobStatus
from hybridloop.emulator.records import JobRecord, SessionRecord, job_of, session_of
from hybridloop.emulator.session import SessionStatus
from hybridloop.emulator.store import LAST_CHARACTER, Store

COLUMNS = {
    Property.NAME: "name",
    Property.ITEM_TYPE: "item_type",
    Property.JOB_TYPE: "job_type",
    Property.PROVIDER_ID: "provider_id",
    Property.TARGET: "target",
    Property.STATE: "status",
    Property.CREATION_TIME: "created",
}
# a status in any case of its letters -> its spelling in the books, so that an index on it serves
STATUSES = {str(status).lower(): str(status) for status in (*JobStatus, *SessionStatus)}


class Listed(enum.Enum):
    """Which list."""

    JOBS = "jobs"
    SESSIONS = "sessions"
    SESSION_JOBS = "session jobs"
    TOP_LEVEL = "top-level items"


# the pieces of SQL that stand for columns which a table does not have
JOB_WORDS = {"item_type": "'Job'", "job_type": "'QuantumComputing'"}
SESSION_WORDS = {"item_type": "'Session'", "job_type": "NULL"}


@dataclass(frozen=True, slots=True)
class Page:
    """One page's items, and whether more follow."""

    items: tuple[JobRecord | SessionRecord, ...]
    more: bool


def page_of(store: Store, which: Listed, query: ListQuery, workspace: str, session_key: int | None = None) -> Page:
    """The page that the query asks for; `session_key` is the session of SESSION_JOBS."""
    parameters: list[object] = []
    if which is Listed.TOP_LEVEL:
        return _top_level(store, query, workspace)
    selects = []
    for part in _one_state_each(query):
        if which is Listed.SESSIONS:
            parameters.append(workspace)
            selects.append(_select("sessions", "workspace = ?", SESSION_WORDS, part, parameters))
        else:
            in_session = which is Listed.SESSION_JOBS
            parameters.append(session_key if in_session else workspace)
            where = "session_key = ?" if in_session else "workspace = ?"
            selects.append(_select("jobs", where, JOB_WORDS, part, parameters))
    sql = " UNION ALL ".join(selects)
    parameters += [query.top + 1, query.skip]
    rows = store.rows(f"{sql} {_order(query, which)} LIMIT ? OFFSET ?", parameters)
    items = [session_of(row) if which is Listed.SESSIONS else job_of(row) for row in rows]
    return _page(items, query)


def _one_state_each(query: ListQuery) -> list[ListQuery]:
    """The query as one for each state that it asks for, where lists by time and state can then be merged.

    SQLite takes the index on states for one of them only; with several it would walk through time.
    """
    states = [term for term in query.terms if isinstance(term, IsOneOf) and term.property is Property.STATE]
    by_name = any(isinstance(term, NameStartsWith) for term in query.terms)
    if len(states) != 1 or by_name or query.order not in (None, Property.CREATION_TIME):
        return [query]
    (asked,) = states
    others = tuple(term for term in query.terms if term is not asked)
    values = dict.fromkeys(STATUSES.get(value.lower(), value) for value in asked.values)
    return [replace(query, terms=(*others, replace(asked, values=(value,)))) for value in values]


def _top_level(store: Store, query: ListQuery, workspace: str) -> Page:
    """Sessions, and jobs without one: first which, then whole."""
    parameters: list[object] = [workspace]
    columns = "key, name, provider_id, target, status, created, {item_type} AS item_type, {job_type} AS job_type"
    session_columns, job_columns = columns.format(**SESSION_WORDS), columns.format(**JOB_WORDS)
    sessions = _select("sessions", "workspace = ?", SESSION_WORDS, query, parameters, session_columns)
    parameters.append(workspace)
    lone = "workspace = ? AND session_key IS NULL"
    jobs = _select("jobs", lone, JOB_WORDS, query, parameters, job_columns)
    parameters += [query.top + 1, query.skip]
    order = _order(query, Listed.TOP_LEVEL)
    rows = store.rows(f"SELECT * FROM ({sessions} UNION ALL {jobs}) {order} LIMIT ? OFFSET ?", parameters)
    items = [
        store.session_by_key(row["key"]) if row["item_type"] == "Session" else store.job_by_key(row["key"])
        for row in rows
    ]
    return _page(items, query)


def _page(items: Sequence[JobRecord | SessionRecord], query: ListQuery) -> Page:
    """The page out of what was read, one item more than was asked for; a page of nothing leads to no other."""
    return Page(tuple(items[: query.top]), more=0 < query.top < len(items))


def _select(
    table: str, where: str, words: dict[str, str], query: ListQuery, parameters: list[object], columns: str = "*"
) -> str:
    conditions = [where]
    if table == "jobs":
        conditions.append("deleted = 0")
    for term in query.terms:
        conditions.append(_condition(term, words, parameters))
    return f"SELECT {columns} FROM {table} WHERE {' AND '.join(conditions)}"


def _condition(term: Term, words: dict[str, str], parameters: list[object]) -> str:
    if isinstance(term, NameStartsWith):
        parameters += [term.prefix, term.prefix + LAST_CHARACTER]
        return "name >= ? AND name < ?"
    if isinstance(term, CreatedFrom):
        parameters.append(term.moment)
        return "created >= ?"
    if isinstance(term, CreatedBefore):
        parameters.append(term.moment)
        return "created < ?"
    return _one_of(term, words, parameters)


def _one_of(term: IsOneOf, words: dict[str, str], parameters: list[object]) -> str:
    column = COLUMNS[term.property]
    if term.property is Property.STATE:
        parameters += [STATUSES.get(value.lower(), value) for value in term.values]
        return f"status IN ({', '.join('?' * len(term.values))})"
    parameters += [value.lower() for value in term.values]
    return f"lower({words.get(column, column)}) IN ({', '.join('?' * len(term.values))})"


def _order(query: ListQuery, which: Listed) -> str:
    """Ties, and the items of equal times on a clock that stands still, go by the order of arrival."""
    direction = "DESC" if query.descending else "ASC"
    if query.order is None or query.order is Property.CREATION_TIME:
        if any(isinstance(term, NameStartsWith) for term in query.terms):
            # the plus keeps SQLite from walking the index on time; the one on names is the one that narrows
            return f"ORDER BY +created {direction}, key {direction}"
        return f"ORDER BY created {direction}, key {direction}"
    column = COLUMNS[query.order]
    if which is not Listed.TOP_LEVEL:
        column = (SESSION_WORDS if which is Listed.SESSIONS else JOB_WORDS).get(column, column)
    return f"ORDER BY {column} {direction}, created {direction}, key {direction}"
