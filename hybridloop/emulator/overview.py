"""What there is over all workspaces, newest first, a page at a time, each page from an index.

Pages go by the store's own numbers, so that a later one does not shift when something new arrives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybridloop.emulator.records import JobRecord, SessionRecord, job_of, session_of
from hybridloop.emulator.store import Store

FIRST = 2**63 - 1  # above every number


@dataclass(frozen=True, slots=True)
class Tally:
    """How many jobs are in which status, and what they cost by unit; deleted jobs count, they were paid for."""

    jobs: Mapping[str, int]
    money: Mapping[str, float]

    @property
    def total(self) -> int:
        """The number of all jobs."""
        return sum(self.jobs.values())


@dataclass(frozen=True, slots=True)
class SessionLine:
    """A session, where it is, and what its jobs add up to."""

    workspace: str
    session: SessionRecord
    tally: Tally


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job, and where it is."""

    workspace: str
    job: JobRecord


@dataclass(frozen=True, slots=True)
class Sessions:
    """A page of sessions; `older` is the number before which the next page begins, None at the end."""

    lines: tuple[SessionLine, ...]
    older: int | None


@dataclass(frozen=True, slots=True)
class LoneJobs:
    """A page of jobs without a session; `older` as for sessions."""

    lines: tuple[JobLine, ...]
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
    lines = tuple(JobLine(row["workspace"], job_of(row)) for row in shown)
    return LoneJobs(lines, shown[-1]["key"] if len(rows) > top else None)


def tallies_of(store: Store, keys: Sequence[int]) -> dict[int, Tally]:
    """The tallies of the sessions of these numbers; only their own entries of one index are read."""
    if not keys:
        return {}
    jobs: dict[int, dict[str, int]] = {key: {} for key in keys}
    money: dict[int, dict[str, float]] = {key: {} for key in keys}
    sql = (
        "SELECT session_key, status, unit, count(*) AS jobs, sum(price) AS price FROM jobs"
        f" WHERE session_key IN ({', '.join('?' * len(keys))}) GROUP BY session_key, status, unit"
    )
    for row in store.rows(sql, keys):
        key, status, unit = row["session_key"], row["status"], row["unit"]
        jobs[key][status] = jobs[key].get(status, 0) + row["jobs"]
        if unit is not None:
            money[key][unit] = money[key].get(unit, 0.0) + row["price"]
    return {key: Tally(jobs[key], money[key]) for key in keys}
