"""What a run has spent and how far it is, and which old runs are forgotten."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from hybridloop.sessions.journal import programs
from hybridloop.sessions.journal.encoding import decode_json
from hybridloop.sessions.journal.leases import is_gone
from hybridloop.sessions.journal.records import Effort, Progress, Spent
from hybridloop.sessions.journal.rows import decoding, read_by
from hybridloop.sessions.journal.runs import locked_state_of, read_all, state_of
from hybridloop.sessions.journal.schema import events, jobs, pings, program_uses, rounds, runs, sessions, states

_OF_A_RUN = (rounds, jobs, sessions, pings, events, program_uses, states)
_AT_ONCE = 500  # runs: databases bound how many values a query may have


def spent(connection: Connection, run_uid: str) -> Spent:
    """What the run's jobs and pings cost, billed where that is known, else as reserved.

    A lost ping was made ready, and never sent: it is none.
    """
    amounts: defaultdict[str, float] = defaultdict(float)
    paid: list[dict[str, Any]] = []
    for table in (jobs, pings):
        for row in read_all(connection, table, run_uid):
            if table is pings and row["state"] == "lost":
                continue
            with decoding(table, row["id"]):
                known = row["reserved"] if row["billed"] is None else row["billed"]
                for unit, amount in decode_json(known).items():
                    amounts[unit] += amount
            paid.append(row)
    return Spent(len(paid), sum(row["shots"] for row in paid), dict(amounts))


def progress(connection: Connection, run_uid: str) -> Progress:
    """How far the run is."""
    complete = [row["complete"] for row in read_all(connection, rounds, run_uid)]
    query = select(jobs.c.state, func.count()).where(jobs.c.run_uid == run_uid).group_by(jobs.c.state)
    by_state = Counter({state: number for state, number in connection.execute(query)})
    return Progress(len(complete), sum(complete), dict(by_state), state_of(connection, run_uid)["pings"])


def efforts(connection: Connection, run_uids: Sequence[str]) -> dict[str, Effort]:
    """How far these runs are, by uid: from their states, and from those rounds alone that are not complete."""
    found = {}
    for first in range(0, len(run_uids), _AT_ONCE):
        asked = run_uids[first : first + _AT_ONCE]
        unfinished = rounds.select().where(rounds.c.run_uid.in_(asked), rounds.c.complete == 0)
        incomplete = Counter(row["run_uid"] for row in read_by(connection, rounds, unfinished))
        for row in read_by(connection, states, states.select().where(states.c.run_uid.in_(asked))):
            uid = row["run_uid"]
            found[uid] = Effort(row["rounds"] - incomplete[uid], row["jobs"], row["pings"])
    return found


def prune(connection: Connection, *, older_than: float, statuses: Collection[str], now: float) -> int:
    """Delete the runs that ended so before a moment, whom nobody holds and whose sessions have ended; their number."""
    old = select(states.c.run_uid).where(states.c.updated_at < older_than, states.c.status.in_(statuses))
    open_runs = set(connection.execute(select(sessions.c.run_uid).where(sessions.c.ended_at.is_(None))).scalars())
    forgotten = 0
    for uid in connection.execute(old).scalars().all():
        if uid in open_runs or not is_gone(locked_state_of(connection, uid), now=now):
            continue
        for table in _OF_A_RUN:
            connection.execute(table.delete().where(table.c.run_uid == uid))
        connection.execute(runs.delete().where(runs.c.uid == uid))
        forgotten += 1
    if forgotten:
        programs.forget_unused(connection)
    return forgotten
