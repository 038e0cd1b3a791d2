"""Amounts of runs by day, and the numbers of their jobs and shots.

They are written in the transaction of each job and ping, and summed by limits and reports.

What is reserved for jobs that have not ended has no day yet (`OPEN`). A job that has ended counts on the day (UTC) on
which its end is written, as billed, and without a bill as reserved. A clock that is set back by less than a day leaves
the day as it was, so that a period that has begun stays: a reservation writes its day with an amount of 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Table, func, select

from hybridloop.journal.records import UNSETTLED, DayAmount, is_local
from hybridloop.journal.storage.encoding import decode_json
from hybridloop.journal.storage.rows import insert_rows, read_query, read_row, translate_decode_errors, update_rows
from hybridloop.journal.storage.schema import amounts, pings, scopes

JOBS, SHOTS = "jobs", "shots"  # counted by day like amounts of money
OPEN = -1  # day of what is reserved for jobs that have not ended
DAY_S = 86400.0
LOCAL = "local"  # kind of scope of the runs on a local service, which bills nothing
_DECIMALS = 9  # of an amount; later digits are rounding errors


def today(connection: Connection, now: float) -> int:
    """Return the day at `now`, or the next one where an amount has that day already: a clock was set back."""
    day = int(now // DAY_S)
    return max(day, min(_latest(connection), day + 1))


def _latest(connection: Connection) -> int:
    latest: int | None = connection.execute(select(func.max(amounts.c.day))).scalar()
    return OPEN if latest is None else latest


def note_rows(
    connection: Connection,
    table: Table,
    run_uid: str,
    before: Iterable[Mapping[str, Any]],
    after: Iterable[Mapping[str, Any]],
    now: float,
) -> dict[str, float]:
    """Move the amounts of a run's jobs or pings from their rows before a change to those after it.

    Returns the change of what is reserved or spent, by unit of money.
    """
    changes: dict[tuple[str, int], list[float]] = {}
    day = today(connection, now)
    for sign, rows in ((-1.0, before), (1.0, after)):
        for row in rows:
            is_open = row["state"] in UNSETTLED
            reserved, billed = _amounts(table, row)
            taken = reserved if billed is None or is_open else billed
            for unit, amount in (taken | _counts(table, row)).items():
                change = changes.setdefault((unit, OPEN if is_open else day), [0.0, 0.0])
                part = sign * round(amount, _DECIMALS)  # each part alone, so that what is taken back leaves nothing
                change[0] += part
                change[1] += 0.0 if billed is None or is_open else part
    total: dict[str, float] = {}
    for (unit, at), (spent, billed_) in changes.items():
        if spent or billed_:
            if unit not in (JOBS, SHOTS):
                total[unit] = total.get(unit, 0.0) + spent
            _add(connection, run_uid, unit, at, spent, billed_)
    if any(at == OPEN and spent > 0.0 for (_, at), (spent, _) in changes.items()) and _latest(connection) < day:
        _add(connection, run_uid, JOBS, day, 0.0, 0.0)
    return total


def _amounts(table: Table, row: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float] | None]:
    with translate_decode_errors(table, row["id"]):
        if table is pings and row["state"] == "lost":  # never sent
            return {}, {}
        return decode_json(row["reserved"]), None if row["billed"] is None else decode_json(row["billed"])


def _counts(table: Table, row: Mapping[str, Any]) -> dict[str, float]:
    was_sent = table is not pings or row["state"] not in ("intended", "lost")
    return {JOBS: 1.0, SHOTS: float(row["shots"])} if was_sent else {}


def _add(connection: Connection, run_uid: str, unit: str, day: int, spent: float, billed: float) -> None:
    key = {"run_uid": run_uid, "unit": unit, "day": day}
    row = read_row(connection, amounts, **key)
    if row is None:
        insert_rows(
            connection, amounts, [{**key, "spent": round(spent, _DECIMALS), "billed": round(billed, _DECIMALS)}]
        )
    else:
        row |= {"spent": round(row["spent"] + spent, _DECIMALS), "billed": round(row["billed"] + billed, _DECIMALS)}
        update_rows(connection, amounts, [row])


def settle(connection: Connection, run_uid: str, now: float) -> None:
    """Count as spent what is reserved for jobs that are deleted: their bills will not be read.

    A run that has cost nothing is found by nothing any more.
    """
    if connection.execute(select(func.count()).where(amounts.c.run_uid == run_uid)).scalar() == 0:
        connection.execute(scopes.delete().where(scopes.c.run_uid == run_uid))
    for row in connection.execute(amounts.select().where(amounts.c.run_uid == run_uid, amounts.c.day == OPEN)).all():
        if row.spent:
            _add(connection, run_uid, row.unit, today(connection, now), row.spent, 0.0)
            _add(connection, run_uid, row.unit, OPEN, -row.spent, 0.0)


def read_amounts(connection: Connection, run_uid: str | None = None) -> list[DayAmount]:
    """Return the amounts of all runs by day, or of one."""
    query = amounts.select() if run_uid is None else amounts.select().where(amounts.c.run_uid == run_uid)
    rows = read_query(connection, amounts, query.order_by(*amounts.primary_key))
    return [DayAmount(**row) for row in rows]


def scopes_of_run(target: str, settings: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return the kinds and values by which limits and reports find a run, from its record."""
    workspace, given = settings.get("workspace"), settings.get("settings")
    found: list[tuple[str, str]] = [("target", target)]
    if isinstance(workspace, Mapping):
        found.append(("workspace", str(workspace.get("name"))))
        found += [(LOCAL, "")] if is_local(settings) else []
    if isinstance(given, Mapping):
        found += [("tag", str(tag)) for tag in given.get("tags") or ()]
    found += [(kind, str(settings[kind])) for kind in ("deployment", "sweep") if settings.get(kind)]
    return set(found)


def add_scopes(connection: Connection, run_uid: str, target: str, settings: Mapping[str, Any]) -> None:
    """Write what limits and reports find a new run by."""
    found = sorted(scopes_of_run(target, settings))
    connection.execute(scopes.insert(), [{"kind": kind, "value": value, "run_uid": run_uid} for kind, value in found])


def read_scopes(connection: Connection) -> dict[str, set[tuple[str, str]]]:
    """Return the kinds and values by which each run is found, by the run's uid."""
    found: dict[str, set[tuple[str, str]]] = {}
    for uid, kind, value in connection.execute(select(scopes.c.run_uid, scopes.c.kind, scopes.c.value)):
        found.setdefault(uid, set()).add((kind, value))
    return found


def scopes_of(connection: Connection, run_uid: str) -> set[tuple[str, str]]:
    """Return the kinds and values by which a run is found."""
    found = connection.execute(select(scopes.c.kind, scopes.c.value).where(scopes.c.run_uid == run_uid))
    return {(kind, value) for kind, value in found}
