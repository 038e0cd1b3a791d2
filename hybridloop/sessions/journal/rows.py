"""Rows with a checksum: sealed when written, verified when read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, Table, Update, bindparam

from hybridloop.errors import JournalDamaged
from hybridloop.sessions.journal.encoding import checksum, storable

_SHOWN = 200  # characters of a key


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


def read(connection: Connection, table: Table, **values: object) -> list[dict[str, Any]]:
    """The rows with these values, verified, in the order of their primary key."""
    return read_by(connection, table, _select(table, tuple(values)), values)


def read_one(connection: Connection, table: Table, **values: object) -> dict[str, Any] | None:
    """The row with these values, verified."""
    return next(iter(read(connection, table, **values)), None)


def read_by(
    connection: Connection, table: Table, query: Select[Any], values: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    """The rows of a table that a query selects whole, verified; `values` are its bound parameters."""
    return [verified(table, row) for row in connection.execute(query, values)]


def rewrite(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows that are there anew, found by their primary keys."""
    # "_" tells a key that is looked for from one that is set
    if sealed_rows := [{f"{name}_": value for name, value in sealed(table, row).items()} for row in rows]:
        connection.execute(_update(table), sealed_rows)


@contextmanager
def decoding(table: Table, key: object) -> Iterator[None]:
    """A value that passed its checksum and is no value of this version after all is damage as well."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise JournalDamaged(table.name, str(key), f"it can't be read: {error}") from error


# Statements are built once: that takes SQLAlchemy as long as SQLite takes to answer them.


@lru_cache
def _select(table: Table, names: tuple[str, ...]) -> Select[Any]:
    return table.select().where(*(table.c[name] == bindparam(name) for name in names)).order_by(*table.primary_key)


@lru_cache
def _update(table: Table) -> Update:
    keys = [column.name for column in table.primary_key]
    changing = [column.name for column in table.columns if not column.primary_key]
    return (
        table.update()
        .where(*(table.c[name] == bindparam(f"{name}_") for name in keys))
        .values({name: bindparam(f"{name}_") for name in changing})
    )


@lru_cache
def _columns(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns if column.name != "checksum")


@lru_cache
def _key_of(table: Table) -> Callable[[Sequence[Any]], str]:
    at = [index for index, column in enumerate(table.columns) if column.primary_key]
    # a damaged key may be anything, and is to be shown
    return lambda row: storable("/".join(str(row[index]) for index in at))[:_SHOWN]


@lru_cache
def _conversions(table: Table) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """For each column what makes a value come back from any database as it was stored: an int is no float."""
    by_type: dict[type, Callable[[Any], Any]] = {str: storable, int: int, float: _as_float, bytes: bytes}
    return tuple((name, by_type[table.c[name].type.python_type]) for name in _columns(table))


def _as_float(value: float) -> float:
    return float(value) + 0.0  # SQLite stores -0.0 as 0
