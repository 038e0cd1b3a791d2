"""What a run's jobs may cost and did cost, and how far it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, func, select

from hybridloop.errors import JournalDamaged
from hybridloop.sessions.journal.encoding import decode_json
from hybridloop.sessions.journal.records import Charge, Effort, Progress
from hybridloop.sessions.journal.rows import decoding, read_by, verified
from hybridloop.sessions.journal.runs import read_all, state_of
from hybridloop.sessions.journal.schema import jobs, pings, rounds, states

_NOT_ENDED = frozenset({"intended", "submitted"})
_NOT_SENT = ("intended", "lost")  # pings that stand by, and those that were never needed
_AT_ONCE = 500  # runs: databases bound how many values a query may have


def charges(connection: Connection, run_uid: str) -> list[Charge]:
    """What each of the run's jobs and pings may cost, and did.

    A lost ping was made ready, and never sent: it is none.
    """
    found = []
    for table in (jobs, pings):
        for row in read_all(connection, table, run_uid):
            if table is pings and row["state"] == "lost":
                continue
            with decoding(table, row["id"]):
                billed = None if row["billed"] is None else decode_json(row["billed"])
                may_be_unsent = table is pings and row["state"] in _NOT_ENDED
                found.append(Charge(row["shots"], decode_json(row["reserved"]), billed, may_be_unsent))
    return found


def progress(connection: Connection, run_uid: str) -> Progress:
    """How far the run is."""
    complete = [row["complete"] for row in read_all(connection, rounds, run_uid)]
    query = select(jobs.c.state, func.count()).where(jobs.c.run_uid == run_uid).group_by(jobs.c.state)
    by_state = Counter({state: number for state, number in connection.execute(query)})
    unsent = len(read_by(connection, pings, _unsent_pings([run_uid])))
    return Progress(len(complete), sum(complete), dict(by_state), state_of(connection, run_uid)["pings"] - unsent)


def efforts(connection: Connection, run_uids: Sequence[str]) -> dict[str, Effort | JournalDamaged]:
    """How far these runs are, by uid: from their states, incomplete rounds, and pings that were not sent.

    Of a run of which one of these is damaged, which.
    """
    found: dict[str, Effort | JournalDamaged] = {}
    for first in range(0, len(run_uids), _AT_ONCE):
        asked = run_uids[first : first + _AT_ONCE]
        damaged: dict[str, JournalDamaged] = {}
        unfinished = rounds.select().where(rounds.c.run_uid.in_(asked), rounds.c.complete == 0)
        incomplete = Counter(row["run_uid"] for row in _sound(connection, rounds, unfinished, damaged))
        unsent = Counter(row["run_uid"] for row in _sound(connection, pings, _unsent_pings(asked), damaged))
        for row in _sound(connection, states, states.select().where(states.c.run_uid.in_(asked)), damaged):
            uid = row["run_uid"]
            found[uid] = Effort(row["rounds"] - incomplete[uid], row["jobs"], row["pings"] - unsent[uid])
        found |= damaged
    return found


def _sound(
    connection: Connection, table: Table, query: Select[Any], damaged: dict[str, JournalDamaged]
) -> Iterator[dict[str, Any]]:
    for row in connection.execute(query).all():
        try:
            yield verified(table, row)
        except JournalDamaged as error:
            damaged[row.run_uid] = error


def _unsent_pings(run_uids: Sequence[str]) -> Select[Any]:
    """The pings of these runs that were written down and not sent: the service has no such jobs."""
    return pings.select().where(pings.c.run_uid.in_(run_uids), pings.c.state.in_(_NOT_SENT))
