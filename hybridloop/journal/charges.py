"""Cost and progress of runs: amounts reserved and billed for jobs and pings, and counts of rounds, jobs and pings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, func, select

from hybridloop.errors import JournalDamaged
from hybridloop.journal.records import UNSETTLED, Charge, DamagedRun, RunProgress, RunRecord, RunTotals
from hybridloop.journal.runs import read_run_rows, read_state
from hybridloop.journal.storage.encoding import decode_json
from hybridloop.journal.storage.rows import read_query, translate_decode_errors, verify
from hybridloop.journal.storage.schema import jobs, pings, rounds, states

_NOT_SENT = ("intended", "lost")  # states of pings that are not known to have arrived, and of those that never did
_RUNS_PER_QUERY = 500  # databases limit the number of parameters of a query


def read_charges(connection: Connection, run_uid: str) -> list[Charge]:
    """Return the reserved and the billed amount of each of the run's jobs and pings.

    A lost ping never arrived: it has no charge.
    """
    charges = []
    for table in (jobs, pings):
        for row in read_run_rows(connection, table, run_uid):
            if table is pings and row["state"] == "lost":
                continue
            with translate_decode_errors(table, row["id"]):
                billed = None if row["billed"] is None else decode_json(row["billed"])
                may_be_unsent = table is pings and row["state"] in UNSETTLED
                charges.append(Charge(row["shots"], decode_json(row["reserved"]), billed, may_be_unsent))
    return charges


def read_progress(connection: Connection, run_uid: str) -> RunProgress:
    """Count the run's rounds, its jobs by state, and the pings that were sent."""
    complete = [row["complete"] for row in read_run_rows(connection, rounds, run_uid)]
    query = select(jobs.c.state, func.count()).where(jobs.c.run_uid == run_uid).group_by(jobs.c.state)
    by_state = Counter({state: number for state, number in connection.execute(query)})
    unsent = len(read_query(connection, pings, _unsent_pings([run_uid])))
    return RunProgress(len(complete), sum(complete), dict(by_state), read_state(connection, run_uid)["pings"] - unsent)


def with_totals(
    connection: Connection, records: Sequence[RunRecord | DamagedRun]
) -> list[tuple[RunRecord, RunTotals] | DamagedRun]:
    """Pair each run with its totals; a run with a damaged row that is needed for them becomes a DamagedRun."""
    totals = _read_totals(connection, [record.uid for record in records if isinstance(record, RunRecord)])
    paired: list[tuple[RunRecord, RunTotals] | DamagedRun] = []
    for record in records:
        if isinstance(record, DamagedRun):
            paired.append(record)
        elif isinstance(run_totals := totals[record.uid], JournalDamaged):
            paired.append(DamagedRun(record.uid, record.key, run_totals))
        else:
            paired.append((record, run_totals))
    return paired


def _read_totals(connection: Connection, run_uids: Sequence[str]) -> dict[str, RunTotals | JournalDamaged]:
    """Return each run's totals, or the error of its damaged row, by uid."""
    totals: dict[str, RunTotals | JournalDamaged] = {}
    for first in range(0, len(run_uids), _RUNS_PER_QUERY):
        batch = run_uids[first : first + _RUNS_PER_QUERY]
        damaged: dict[str, JournalDamaged] = {}
        unfinished = rounds.select().where(rounds.c.run_uid.in_(batch), rounds.c.complete == 0)
        incomplete = Counter(row["run_uid"] for row in _intact_rows(connection, rounds, unfinished, damaged))
        unsent = Counter(row["run_uid"] for row in _intact_rows(connection, pings, _unsent_pings(batch), damaged))
        for row in _intact_rows(connection, states, states.select().where(states.c.run_uid.in_(batch)), damaged):
            uid = row["run_uid"]
            totals[uid] = RunTotals(row["rounds"] - incomplete[uid], row["jobs"], row["pings"] - unsent[uid])
        totals |= damaged
    return totals


def _intact_rows(
    connection: Connection, table: Table, query: Select[Any], damaged: dict[str, JournalDamaged]
) -> Iterator[dict[str, Any]]:
    """Yield the verified rows of a query; collect the errors of the others in `damaged`, by the run's uid."""
    for row in connection.execute(query).all():
        try:
            yield verify(table, row)
        except JournalDamaged as error:
            damaged[row.run_uid] = error


def _unsent_pings(run_uids: Sequence[str]) -> Select[Any]:
    """Select the pings of these runs that were written and not sent: the service has no such jobs."""
    return pings.select().where(pings.c.run_uid.in_(run_uids), pings.c.state.in_(_NOT_SENT))
