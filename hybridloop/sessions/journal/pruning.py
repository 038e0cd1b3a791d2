"""Which old runs are forgotten, whole or but for their results; some at a time, so that nobody waits long for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, select

from hybridloop.errors import JournalDamaged
from hybridloop.sessions.journal.encoding import encode_json
from hybridloop.sessions.journal.leases import is_gone
from hybridloop.sessions.journal.records import DamagedRun
from hybridloop.sessions.journal.rows import insert, rewrite, verified
from hybridloop.sessions.journal.runs import damaged, locked_state_of
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


def forget(connection: Connection, uids: Sequence[str], left: list[DamagedRun], *, now: float) -> int:
    """Delete those of the runs that nobody holds; their number. What is damaged is `left`."""
    forgotten = 0
    for state in _let_go(connection, uids, left, now=now):
        uid = state["run_uid"]
        for table in (*_MEASURED, sessions, states):
            connection.execute(table.delete().where(table.c.run_uid == uid))
        connection.execute(runs.delete().where(runs.c.uid == uid))
        forgotten += 1
    return forgotten


def strip(connection: Connection, uids: Sequence[str], left: list[DamagedRun], *, now: float) -> int:
    """Delete what was measured of those of the runs that nobody holds, but for settings, sessions and result.

    Their number; one that was stripped before does not count. What is damaged is `left`.
    """
    stripped = 0
    for state in _let_go(connection, uids, left, now=now):
        if not state["rounds"]:
            continue
        uid = state["run_uid"]
        facts = {"rounds": state["rounds"], "jobs": state["jobs"], "pings": state["pings"]}
        for table in _MEASURED:
            connection.execute(table.delete().where(table.c.run_uid == uid))
        event = {"run_uid": uid, "n": 0, "at": now, "kind": PRUNED, "facts": encode_json(facts)}
        insert(connection, events, [event])
        rewrite(connection, states, [state | {"rounds": 0, "jobs": 0, "pings": 0, "events": 1}])
        stripped += 1
    return stripped


def is_any_held(connection: Connection, *, now: float) -> bool:
    """Whether somebody who may live holds a run; of one whose state is damaged nobody can write anything more."""
    for row in connection.execute(states.select().where(states.c.owner.is_not(None))).all():
        with suppress(JournalDamaged):
            if not is_gone(verified(states, row), now=now):
                return True
    return False


def _let_go(
    connection: Connection, uids: Sequence[str], left: list[DamagedRun], *, now: float
) -> Iterator[dict[str, Any]]:
    """The states of those of the runs that nobody holds."""
    for uid in uids:
        try:
            state = locked_state_of(connection, uid)
            is_free = is_gone(state, now=now)
        except JournalDamaged as error:
            left.append(damaged(connection, uid, error))
            continue
        if is_free:
            yield state
