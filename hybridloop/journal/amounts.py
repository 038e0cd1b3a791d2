"""Amounts of runs by day, and the numbers of their jobs and shots.

They are written in the transaction of each job and ping, and summed by limits and reports.

A day (UTC) is that of the journal's clock, the clock of the machine that writes. What is reserved for a job counts on
the day of its reservation, and what it has cost on the day on which its end is written: as billed, and without a bill
as reserved. The row of each job and ping states its day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, Table, func, select

from hybridloop.errors import JournalDamaged
from hybridloop.journal.records import UNSETTLED, DayAmount, is_local
from hybridloop.journal.storage.encoding import decode_json
from hybridloop.journal.storage.rows import (
    insert_rows,
    read_query,
    read_row,
    read_rows,
    translate_decode_errors,
    update_rows,
)
from hybridloop.journal.storage.schema import amounts, pings, scopes, totals

JOBS, SHOTS = "jobs", "shots"  # counted by day like amounts of money
DAY_S, EPOCH = 86400.0, date(1970, 1, 1)
LOCAL = "local"  # kind of scope of the runs on a local service, which bills nothing
_DECIMALS = 9  # of an amount; later digits are rounding errors
COLUMNS = ("reserved", "spent", "billed")


def day_of(seconds: float) -> int:
    """Return the day (UTC) of a time in seconds since the epoch, from 1970-01-01."""
    return int(seconds // DAY_S)


def date_of(day: int) -> str:
    """Return the date of a day, such as 2026-11-30."""
    return (EPOCH + timedelta(days=day)).isoformat()


def note_rows(
    connection: Connection,
    table: Table,
    run_uid: str,
    before: Iterable[Mapping[str, Any]],
    after: Iterable[Mapping[str, Any]],
) -> None:
    """Move the amounts of a run's jobs or pings from their rows before a change to those after it."""
    changes: dict[tuple[str, int], list[float]] = {}
    for sign, rows in ((-1.0, before), (1.0, after)):
        for row in rows:
            for unit, parts in parts_of(table, row).items():
                change = changes.setdefault((unit, row["day"]), [0.0, 0.0, 0.0])
                for n, part in enumerate(parts):
                    change[n] += sign * part
    for (unit, day), change in changes.items():
        if any(change):
            add(connection, amounts, {"run_uid": run_uid, "unit": unit, "day": day}, change)


def taken_by(table: Table, rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return what jobs or pings reserve or have spent together, by unit of money."""
    taken: dict[str, float] = {}
    for row in rows:
        for unit, (reserved, spent, _) in parts_of(table, row).items():
            if unit not in (JOBS, SHOTS):
                taken[unit] = taken.get(unit, 0.0) + reserved + spent
    return taken


def parts_of(table: Table, row: Mapping[str, Any]) -> dict[str, tuple[float, float, float]]:
    """Return what a job or ping reserves, has spent and was billed, by unit."""
    reserved, billed = _amounts(table, row)
    # each amount is rounded alone, so that what is taken back leaves nothing
    if row["state"] in UNSETTLED:
        taken = reserved | _counts(table, row)
        return {unit: (round(amount, _DECIMALS), 0.0, 0.0) for unit, amount in taken.items()}
    taken = (reserved if billed is None else billed) | _counts(table, row)
    rounded = {unit: round(amount, _DECIMALS) for unit, amount in taken.items()}
    return {unit: (0.0, amount, 0.0 if billed is None else amount) for unit, amount in rounded.items()}


def _amounts(table: Table, row: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float] | None]:
    with translate_decode_errors(table, row["id"]):
        if table is pings and row["state"] == "lost":  # never sent
            return {}, {}
        return decode_json(row["reserved"]), None if row["billed"] is None else decode_json(row["billed"])


def _counts(table: Table, row: Mapping[str, Any]) -> dict[str, float]:
    was_sent = table is not pings or row["state"] not in ("intended", "lost")
    return {JOBS: 1.0, SHOTS: float(row["shots"])} if was_sent else {}


def add(connection: Connection, table: Table, key: Mapping[str, Any], change: Iterable[float]) -> None:
    """Add what is reserved, spent and billed to the row of a table of amounts with this key."""
    row = read_row(connection, table, **key)
    stored = row or dict.fromkeys(COLUMNS, 0.0)
    values = {name: round(stored[name] + more, _DECIMALS) for name, more in zip(COLUMNS, change, strict=True)}
    if row is None:
        insert_rows(connection, table, [{**key, **values}])
        count(connection, table, 1)
    else:
        update_rows(connection, table, [row | values])


def count(connection: Connection, table: Table, more: int) -> None:
    """Add to the number of a table's rows, by which a missing one is noticed."""
    query = totals.select().where(totals.c.name == table.name).with_for_update()
    total = next(iter(read_query(connection, totals, query)), None)
    if total is None:
        raise JournalDamaged(totals.name, table.name, "it is missing")
    update_rows(connection, totals, [total | {"rows": total["rows"] + more}])


def read_amounts(connection: Connection, run_uid: str | None = None) -> list[DayAmount]:
    """Return the amounts of all runs by day, or of one."""
    query = amounts.select() if run_uid is None else amounts.select().where(amounts.c.run_uid == run_uid)
    rows = read_query(connection, amounts, query.order_by(*amounts.primary_key))
    return [DayAmount(**row) for row in rows]


def last_day(connection: Connection) -> int | None:
    """Return the latest day with an amount of money, None without any."""
    is_some = (amounts.c.spent > 0.0) | (amounts.c.reserved > 0.0)
    query = select(func.max(amounts.c.day)).where(amounts.c.unit.not_in((JOBS, SHOTS)), is_some)
    latest: int | None = connection.execute(query).scalar()
    return latest


def as_scope(kind: str, value: str) -> tuple[str, str]:
    """Return a kind and value by which runs are found: Azure takes names of targets and workspaces in any case."""
    return kind, value.lower() if kind in ("target", "workspace") else value


def scopes_of_run(target: str, settings: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return the kinds and values by which limits and reports find a run, from its record."""
    workspace, given = settings.get("workspace"), settings.get("settings")
    found: list[tuple[str, str]] = [as_scope("target", target)]
    if isinstance(workspace, Mapping):
        found.append(as_scope("workspace", str(workspace.get("name"))))
        found += [(LOCAL, "")] if is_local(settings) else []
    if isinstance(given, Mapping):
        found += [("tag", str(tag)) for tag in given.get("tags") or ()]
    found += [(kind, str(settings[kind])) for kind in ("deployment", "sweep") if settings.get(kind)]
    return set(found)


def add_scopes(connection: Connection, run_uid: str, target: str, settings: Mapping[str, Any]) -> None:
    """Write what limits and reports find a new run by."""
    found = sorted(scopes_of_run(target, settings))
    insert_rows(connection, scopes, [{"kind": kind, "value": value, "run_uid": run_uid} for kind, value in found])
    count(connection, scopes, len(found))


def delete_unused_scopes(connection: Connection, run_uid: str) -> None:
    """Delete what a deleted run was found by, if it has cost nothing."""
    if connection.execute(select(func.count()).where(amounts.c.run_uid == run_uid)).scalar() == 0:
        deleted = connection.execute(scopes.delete().where(scopes.c.run_uid == run_uid)).rowcount
        count(connection, scopes, -deleted)


def check_scopes(connection: Connection, run_uid: str, target: str, settings: Mapping[str, Any]) -> None:
    """Raise JournalDamaged if a run is found by other kinds and values than its record has."""
    if scopes_of(connection, run_uid) != scopes_of_run(target, settings):
        raise JournalDamaged(scopes.name, run_uid, "limits would not find the run by what its record states")


def read_scopes(connection: Connection) -> dict[str, set[tuple[str, str]]]:
    """Return the kinds and values by which each run is found, by the run's uid."""
    found: dict[str, set[tuple[str, str]]] = {}
    for row in read_query(connection, scopes, scopes.select()):
        found.setdefault(row["run_uid"], set()).add((row["kind"], row["value"]))
    return found


def scopes_of(connection: Connection, run_uid: str) -> set[tuple[str, str]]:
    """Return the kinds and values by which a run is found."""
    return {(row["kind"], row["value"]) for row in read_rows(connection, scopes, run_uid=run_uid)}
