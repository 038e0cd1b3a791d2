"""What a run's jobs may cost and did cost, and how far it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from hybridloop.sessions.journal.encoding import decode_json
from hybridloop.sessions.journal.records import Charge, Effort, Progress
from hybridloop.sessions.journal.rows import decoding, read_by
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
    sent = state_of(connection, run_uid)["pings"] - _unsent_pings(connection, [run_uid])[run_uid]
    return Progress(len(complete), sum(complete), dict(by_state), sent)


def efforts(connection: Connection, run_uids: Sequence[str]) -> dict[str, Effort]:
    """How far these runs are, by uid: from their states, incomplete rounds, and pings that were not sent."""
    found = {}
    for first in range(0, len(run_uids), _AT_ONCE):
        asked = run_uids[first : first + _AT_ONCE]
        unfinished = rounds.select().where(rounds.c.run_uid.in_(asked), rounds.c.complete == 0)
        incomplete = Counter(row["run_uid"] for row in read_by(connection, rounds, unfinished))
        unsent = _unsent_pings(connection, asked)
        for row in read_by(connection, states, states.select().where(states.c.run_uid.in_(asked))):
            uid = row["run_uid"]
            found[uid] = Effort(row["rounds"] - incomplete[uid], row["jobs"], row["pings"] - unsent[uid])
    return found


def _unsent_pings(connection: Connection, run_uids: Sequence[str]) -> Counter[str]:
    """How many pings of each run were written down and not sent: the service has no such jobs."""
    chosen = pings.select().where(pings.c.run_uid.in_(run_uids), pings.c.state.in_(_NOT_SENT))
    return Counter(row["run_uid"] for row in read_by(connection, pings, chosen))
