"""What there is over all workspaces, newest first, a page at a time, each page from an index.

Pages go by the store's own numbers, so that a later one does not shift when something new arrives.
"""

from __future__ import annotations

from dataclasses import dataclass

from hybridloop.emulator.records import JobRecord, SessionRecord, job_of, session_of
from hybridloop.emulator.store import LARGEST_KEY, Store
from hybridloop.emulator.tally import Tally, tallies_of

FIRST = LARGEST_KEY  # before it are all


@dataclass(frozen=True, slots=True)
class SessionLine:
    """A session, where it is, and what its jobs add up to."""

    workspace: str
    session: SessionRecord
    tally: Tally


@dataclass(frozen=True, slots=True)
class Sessions:
    """A page of sessions; `older` is the number before which the next page begins, None at the end."""

    lines: tuple[SessionLine, ...]
    older: int | None


@dataclass(frozen=True, slots=True)
class LoneJobs:
    """A page of jobs without a session, each behind its workspace; `older` as for sessions."""

    lines: tuple[tuple[str, JobRecord], ...]
    older: int | None


def newest_sessions(store: Store, before: int, top: int) -> Sessions:
    """The newest sessions with numbers below `before`."""
    rows = store.rows("SELECT * FROM sessions WHERE key < ? ORDER BY key DESC LIMIT ?", (before, top + 1))
    shown = rows[:top]
    tallies = tallies_of(store, [row["key"] for row in shown])
    lines = tuple(SessionLine(row["workspace"], session_of(row), tallies[row["key"]]) for row in shown)
    return Sessions(lines, shown[-1]["key"] if len(rows) > top else None)


def newest_lone_jobs(store: Store, before: int, top: int) -> LoneJobs:
    """The newest jobs without a session, those that are older than the job of number `before`."""
    sql = "SELECT * FROM jobs WHERE session_key IS NULL AND deleted = 0"
    parameters: list[object] = []
    if before != FIRST:
        sql += " AND (created, key) < (SELECT created, key FROM jobs WHERE key = ?)"
        parameters.append(before)
    rows = store.rows(f"{sql} ORDER BY created DESC, key DESC LIMIT ?", [*parameters, top + 1])
    shown = rows[:top]
    lines = tuple((str(row["workspace"]), job_of(row)) for row in shown)
    return LoneJobs(lines, shown[-1]["key"] if len(rows) > top else None)
