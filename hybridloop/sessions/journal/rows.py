"""Rows with a checksum: sealed when written, verified when read."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hybridloop.errors import JournalDamaged
from hybridloop.sessions.journal.encoding import checksum, storable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Table
    from sqlalchemy.sql.elements import ColumnElement


def sealed(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """A whole row's values with their checksum; text without what databases refuse."""
    row = {name: None if values[name] is None else stored(values[name]) for name, stored in _conversions(table)}
    return {**row, "checksum": checksum(table.name, row.values())}


def verified(table: Table, row: Sequence[Any]) -> dict[str, Any]:
    """The values of a row of `table`, all its columns in order, without the checksum; JournalDamaged if it differs."""
    *values, stored = row
    if checksum(table.name, values) != stored:
        raise JournalDamaged(table.name, _key_of(table)(row), "its checksum does not match")
    return dict(zip(_columns(table), values, strict=True))


def insert(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write new rows."""
    if sealed_rows := [sealed(table, row) for row in rows]:
        connection.execute(table.insert(), sealed_rows)


def read(connection: Connection, table: Table, *where: ColumnElement[bool]) -> list[dict[str, Any]]:
    """The rows that match, verified, in the order of their primary key."""
    query = table.select().where(*where).order_by(*table.primary_key)
    return [verified(table, row) for row in connection.execute(query)]


def read_one(
    connection: Connection, table: Table, *where: ColumnElement[bool], for_update: bool = False
) -> dict[str, Any] | None:
    """The row that matches, verified; `for_update` keeps other writers from it to the transaction's end."""
    query = table.select().where(*where)
    if for_update:
        query = query.with_for_update()
    row = connection.execute(query).first()
    return None if row is None else verified(table, row)


def rewrite(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows that are there anew, found by their primary keys."""
    from sqlalchemy import bindparam

    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    changing = [name for name in (*_columns(table), "checksum") if name not in keys]
    statement = (
        table.update()
        .where(*(table.c[name] == bindparam(f"at_{name}") for name in keys))
        .values({name: bindparam(f"to_{name}") for name in changing})
    )
    sealed_rows = [sealed(table, row) for row in rows]
    connection.execute(
        statement,
        [
            {**{f"at_{name}": row[name] for name in keys}, **{f"to_{name}": row[name] for name in changing}}
            for row in sealed_rows
        ],
    )


@contextmanager
def decoding(table: Table, key: object) -> Iterator[None]:
    """A value that passed its checksum and is no value of this version after all is damage as well."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise JournalDamaged(table.name, str(key), f"it can't be read: {error}") from error


@lru_cache
def _columns(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns if column.name != "checksum")


@lru_cache
def _key_of(table: Table) -> Callable[[Sequence[Any]], str]:
    at = [index for index, column in enumerate(table.columns) if column.primary_key]
    return lambda row: "/".join(str(operator.itemgetter(index)(row)) for index in at)


@lru_cache
def _conversions(table: Table) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """For each column what makes a value come back from any database as it was stored: an int is no float."""
    by_type: dict[type, Callable[[Any], Any]] = {str: storable, int: int, float: _as_float, bytes: bytes}
    return tuple((name, by_type[table.c[name].type.python_type]) for name in _columns(table))


def _as_float(value: float) -> float:
    return float(value) + 0.0  # SQLite stores -0.0 as 0
