"""Which old runs are forgotten, whole or but for their results; some at a time, so that nobody waits long for it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, select

from hybridloop.sessions.journal.encoding import encode_json
from hybridloop.sessions.journal.leases import is_gone
from hybridloop.sessions.journal.rows import insert, read_by, rewrite
from hybridloop.sessions.journal.runs import locked_state_of
from hybridloop.sessions.journal.schema import events, jobs, pings, program_uses, rounds, runs, sessions, spans, states

ENDED_WELL = frozenset({"converged", "finished"})
PRUNED = "pruned"  # the event that is left of a run of which only the result is kept
AT_ONCE = 20  # runs in one transaction

_MEASURED = (rounds, jobs, pings, events, spans, program_uses)


def old(connection: Connection, *, older_than: float, statuses: Collection[str]) -> list[str]:
    """The uids of runs that stood so before a moment, and whose sessions have ended."""
    query = select(states.c.run_uid).where(states.c.updated_at < older_than, states.c.status.in_(sorted(statuses)))
    open_ = select(sessions.c.run_uid).where(sessions.c.ended_at.is_(None))
    return list(connection.execute(query.where(states.c.run_uid.not_in(open_)).order_by(states.c.run_uid)).scalars())


def forget(connection: Connection, uids: Sequence[str], *, now: float) -> int:
    """Delete those of the runs that nobody holds; their number."""
    forgotten = 0
    for uid in uids:
        if not is_gone(locked_state_of(connection, uid), now=now):
            continue
        for table in (*_MEASURED, sessions, states):
            connection.execute(table.delete().where(table.c.run_uid == uid))
        connection.execute(runs.delete().where(runs.c.uid == uid))
        forgotten += 1
    return forgotten


def strip(connection: Connection, uids: Sequence[str], *, now: float) -> int:
    """Delete what was measured of those of the runs that nobody holds, but for settings, sessions and result.

    Their number; one that was stripped before does not count.
    """
    stripped = 0
    for uid in uids:
        state = locked_state_of(connection, uid)
        if not state["rounds"] or not is_gone(state, now=now):
            continue
        facts = {"rounds": state["rounds"], "jobs": state["jobs"], "pings": state["pings"]}
        for table in _MEASURED:
            connection.execute(table.delete().where(table.c.run_uid == uid))
        event = {"run_uid": uid, "n": 0, "at": now, "kind": PRUNED, "facts": encode_json(facts)}
        insert(connection, events, [event])
        rewrite(connection, states, [state | {"rounds": 0, "jobs": 0, "pings": 0, "events": 1}])
        stripped += 1
    return stripped


def is_any_held(connection: Connection, *, now: float) -> bool:
    """Whether somebody who may live holds a run."""
    claimed = read_by(connection, states, states.select().where(states.c.owner.is_not(None)))
    return any(not is_gone(state, now=now) for state in claimed)
