"""Verification of the rows that sums of limits are made of: none is changed, and none is missing.

Sums are made by the database, which knows no checksums. So a run is held, and limits are shown, after their rows were
read and counted. Without a limit in the journal nothing is read but its number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from sqlalchemy import Connection, Table

from hybridloop.errors import JournalDamaged
from hybridloop.journal.amounts import COLUMNS, parts_of
from hybridloop.journal.storage.rows import read_query, read_row, read_rows
from hybridloop.journal.storage.schema import amounts, jobs, kept_amounts, limits, pings, scopes, totals

_TOLERANCE = 1e-6  # of sums of amounts that are rounded to nine decimals each


def check(connection: Connection) -> bool:
    """Return whether there are limits. Raise JournalDamaged if a row that they sum over is damaged or missing."""
    has_limits = _count_rows(connection, limits) > 0
    if has_limits:
        _count_rows(connection, scopes)
        _count_rows(connection, amounts)
        _count_rows(connection, kept_amounts)
    return has_limits


def check_run(connection: Connection, run_uid: str) -> None:
    """Raise JournalDamaged if a run's amounts are not those of its jobs and pings, and of those that are kept."""
    expected: dict[tuple[str, int], list[float]] = {}
    for table in (jobs, pings):
        for row in read_rows(connection, table, run_uid=run_uid):
            for unit, parts in parts_of(table, row).items():
                _add(expected, (unit, row["day"]), parts)
    for row in read_rows(connection, kept_amounts, run_uid=run_uid):
        _add(expected, (row["unit"], row["day"]), [row[name] for name in COLUMNS])
    for row in read_rows(connection, amounts, run_uid=run_uid):
        _add(expected, (row["unit"], row["day"]), [-row[name] for name in COLUMNS])
    for (unit, day), left in expected.items():
        if not all(math.isclose(each, 0.0, abs_tol=_TOLERANCE) for each in left):
            raise JournalDamaged(amounts.name, f"{run_uid}/{unit}/{day}", "it is not the sum over the run's jobs")


def _count_rows(connection: Connection, table: Table) -> int:
    """Return the number of a table's rows. Raises JournalDamaged for a damaged or missing one."""
    stored = len(read_query(connection, table, table.select()))
    total = read_row(connection, totals, name=table.name)
    if total is None:
        raise JournalDamaged(totals.name, table.name, "it is missing")
    written = total["rows"]
    if stored != written:
        raise JournalDamaged(table.name, "of any run", f"{written} were written, and {stored} are stored")
    return stored


def _add(sums: dict[tuple[str, int], list[float]], key: tuple[str, int], parts: Iterable[float]) -> None:
    sums[key] = [one + other for one, other in zip(sums.get(key, [0.0] * len(COLUMNS)), parts, strict=True)]
