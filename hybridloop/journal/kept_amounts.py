"""Amounts of jobs that are not in this journal: deleted ones, and those of which another journal or the service knows.

A run's amounts are the sum over its jobs and pings in the journal, and over these.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from sqlalchemy import Connection, Table, select

from hybridloop.journal.amounts import COLUMNS, JOBS, SHOTS, add, count, parts_of, read_amounts, scopes_of
from hybridloop.journal.storage.rows import insert_rows, read_intact, read_rows
from hybridloop.journal.storage.schema import amounts, jobs, kept_amounts, pings, scopes

_DELETED = ""  # in place of a job's id: the deleted jobs of a run together
_TABLES = (jobs, pings)

Parts = Mapping[str, Collection[float]]


def keep_deleted(connection: Connection, run_uid: str) -> None:
    """Keep the amounts of a run all of whose jobs are deleted.

    What is reserved for them counts as spent, on its day: their bills will not be read.
    """
    _delete(connection, run_uid)
    for each in read_amounts(connection, run_uid):
        key = {"run_uid": run_uid, "unit": each.unit, "day": each.day}
        if each.reserved:
            add(connection, amounts, key, (-each.reserved, each.reserved, 0.0))
        add(connection, kept_amounts, {**key, "job": _DELETED}, (0.0, each.spent + each.reserved, each.billed))


def take_back(connection: Connection, run_uid: str, ids: Iterable[str]) -> None:
    """Count no longer as kept what jobs cost whose rows are written now."""
    ids = set(ids)
    for row in read_rows(connection, kept_amounts, run_uid=run_uid):
        if row["job"] in ids:
            key = {name: row[name] for name in ("run_uid", "unit", "day")}
            add(connection, amounts, key, [-row[name] for name in COLUMNS])
            _delete(connection, run_uid, row["job"])


def count_found(
    connection: Connection, run_uid: str, day: int, found: Mapping[str, tuple[int, Mapping[str, float]]]
) -> int:
    """Count jobs of the run which the service has, by their id, with their shots and what was billed.

    Those that the journal has, or counts already, are left out. Returns the number of the others.
    """
    known = _known_jobs(connection, run_uid)
    missing = {id_: job for id_, job in found.items() if id_ not in known}
    for id_, (shots, billed) in missing.items():
        taken = {**billed, JOBS: 1.0, SHOTS: float(shots)}
        _keep(connection, run_uid, id_, day, {unit: (0.0, amount, amount) for unit, amount in taken.items()})
    return len(missing)


def carry(connection: Connection, other: Connection) -> dict[str, float]:
    """Count what jobs of another journal of the same runs have cost that this one lacks; return it by unit of money.

    Damaged rows of the other journal are left out.
    """
    known, there, carried = _known_jobs(connection), _known_jobs(other), defaultdict[str, float](float)
    uids = set[str]()

    def keep(run_uid: str, job: str, day: int, parts: Parts) -> None:
        _keep(connection, run_uid, job, day, parts)
        uids.add(run_uid)
        for unit, (reserved, spent, _) in parts.items():
            if unit not in (JOBS, SHOTS):
                carried[unit] += reserved + spent

    for table in _TABLES:
        for row in read_intact(other, table):
            if row["id"] not in known:
                keep(row["run_uid"], row["id"], row["day"], parts_of(table, row))
    counted = defaultdict[tuple[str, str], float](float)  # here, and among the deleted jobs there
    for run_uid, unit, taken in _taken_by_others(connection, there):
        counted[run_uid, unit] += taken
    for row in read_intact(other, kept_amounts):
        key = row["run_uid"], row["unit"]
        if row["job"] != _DELETED:
            left = 0.0 if row["job"] in known else 1.0
        else:
            taken = row["reserved"] + row["spent"]
            shared = min(taken, counted[key])
            counted[key] -= shared
            left = 1.0 - shared / taken if taken else 0.0
        if left > 0.0:
            keep(key[0], row["job"], row["day"], {row["unit"]: [left * row[name] for name in COLUMNS]})
    _copy_scopes(connection, other, uids)
    return dict(sorted(carried.items()))


def _keep(connection: Connection, run_uid: str, job: str, day: int, parts: Parts) -> None:
    for unit, values in parts.items():
        if any(values):
            key = {"run_uid": run_uid, "unit": unit, "day": day}
            add(connection, kept_amounts, {**key, "job": job}, values)
            add(connection, amounts, key, values)


def _delete(connection: Connection, run_uid: str, job: str | None = None) -> None:
    own = [kept_amounts.c.run_uid == run_uid, *([] if job is None else [kept_amounts.c.job == job])]
    count(connection, kept_amounts, -connection.execute(kept_amounts.delete().where(*own)).rowcount)


def _known_jobs(connection: Connection, run_uid: str | None = None) -> set[str]:
    """Return the ids of all jobs and pings, or of a run's, that are in the journal or whose amounts are kept."""

    def ids(table: Table, name: str) -> Iterator[str]:
        query = select(table.c[name])
        yield from connection.execute(query if run_uid is None else query.where(table.c.run_uid == run_uid)).scalars()

    return {*ids(jobs, "id"), *ids(pings, "id"), *ids(kept_amounts, "job")} - {_DELETED}


def _taken_by_others(connection: Connection, there: Collection[str]) -> Iterator[tuple[str, str, float]]:
    """Yield run, unit and amount of the jobs that are not among those `there`, and of the deleted ones."""
    for table in _TABLES:
        for row in read_intact(connection, table):
            if row["id"] not in there:
                for unit, (reserved, spent, _) in parts_of(table, row).items():
                    yield row["run_uid"], unit, reserved + spent
    for row in read_intact(connection, kept_amounts):
        if row["job"] == _DELETED:
            yield row["run_uid"], row["unit"], row["reserved"] + row["spent"]


def _copy_scopes(connection: Connection, other: Connection, uids: Iterable[str]) -> None:
    """Write what limits find these runs by, where this journal does not know it."""
    unknown = {run_uid for run_uid in uids if not scopes_of(connection, run_uid)}
    rows = [row for row in read_intact(other, scopes) if row["run_uid"] in unknown]
    insert_rows(connection, scopes, rows)
    count(connection, scopes, len(rows))
