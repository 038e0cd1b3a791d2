"""Pruning of old runs: delete them whole, or only their measurements.

The caller prunes a few runs in one transaction, so that other writers never wait long.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, select

from hybridloop.errors import JournalDamaged
from hybridloop.journal.amounts import delete_unused_scopes, read_amounts
from hybridloop.journal.kept_amounts import keep_deleted
from hybridloop.journal.leases import is_free
from hybridloop.journal.records import PRUNED, DamagedRun
from hybridloop.journal.runs import damaged_run, lock_state
from hybridloop.journal.storage.encoding import encode_json
from hybridloop.journal.storage.rows import insert_rows, update_rows, verify
from hybridloop.journal.storage.schema import events, jobs, pings, program_uses, rounds, runs, sessions, spans, states

RUNS_PER_TRANSACTION = 20

_MEASURED = (rounds, jobs, pings, events, spans, program_uses)


def find_old(connection: Connection, *, older_than: float, statuses: Collection[str]) -> list[str]:
    """Return the uids of runs without open session that have had one of the statuses since before `older_than`."""
    query = select(states.c.run_uid).where(states.c.updated_at < older_than, states.c.status.in_(sorted(statuses)))
    open_ = select(sessions.c.run_uid).where(sessions.c.ended_at.is_(None))
    return list(connection.execute(query.where(states.c.run_uid.not_in(open_)).order_by(states.c.run_uid)).scalars())


def delete_runs(connection: Connection, uids: Sequence[str], damaged: list[DamagedRun], *, now: float) -> int:
    """Delete the runs that no process owns and return their number; append damaged runs to `damaged`."""
    deleted = 0
    for state in _lock_free_runs(connection, uids, damaged, now=now):
        uid = state["run_uid"]
        keep_deleted(connection, uid)
        delete_unused_scopes(connection, uid)
        for table in (*_MEASURED, sessions, states):
            connection.execute(table.delete().where(table.c.run_uid == uid))
        connection.execute(runs.delete().where(runs.c.uid == uid))
        deleted += 1
    return deleted


def delete_measurements(connection: Connection, uids: Sequence[str], damaged: list[DamagedRun], *, now: float) -> int:
    """Delete the measurements of the runs that no process owns; keep their settings, sessions and results.

    Returns the number of runs that had measurements; appends damaged runs to `damaged`.
    """
    pruned = 0
    for state in _lock_free_runs(connection, uids, damaged, now=now):
        if not state["rounds"]:
            continue
        uid = state["run_uid"]
        facts = {"rounds": state["rounds"], "jobs": state["jobs"], "pings": state["pings"]}
        keep_deleted(connection, uid)
        for table in _MEASURED:
            connection.execute(table.delete().where(table.c.run_uid == uid))
        event = {"run_uid": uid, "n": 0, "at": now, "kind": PRUNED, "facts": encode_json(facts)}
        insert_rows(connection, events, [event])
        update_rows(connection, states, [state | {"rounds": 0, "jobs": 0, "pings": 0, "events": 1}])
        pruned += 1
    return pruned


def is_any_held(connection: Connection, *, now: float) -> bool:
    """Return True if a run's owner may be alive. Damaged runs don't count: no process can write to them."""
    for row in connection.execute(states.select().where(states.c.owner.is_not(None))).all():
        with suppress(JournalDamaged):
            if not is_free(verify(states, row), now=now):
                return True
    return False


def _lock_free_runs(
    connection: Connection, uids: Sequence[str], damaged: list[DamagedRun], *, now: float
) -> Iterator[dict[str, Any]]:
    """Yield the locked states of the runs that no process owns."""
    for uid in uids:
        try:
            state = lock_state(connection, uid)
            can_prune = is_free(state, now=now)
            read_amounts(connection, uid)  # which are kept
        except JournalDamaged as error:
            damaged.append(damaged_run(connection, uid, error))
            continue
        if can_prune:
            yield state
