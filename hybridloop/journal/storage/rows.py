"""Rows with a checksum, which is added when they are written and verified when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, Table, Update, bindparam

from hybridloop.errors import JournalDamaged
from hybridloop.journal.storage.encoding import checksum, replace_unstorable

_AT_ONCE = 500  # rows of a copy
_SHOWN = 200  # characters of a key


def with_checksum(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a whole row's values with their checksum; characters that databases refuse are replaced."""
    row = {name: None if values[name] is None else convert(values[name]) for name, convert in _conversions(table)}
    return {**row, "checksum": checksum(table.name, row.values())}


def verify(table: Table, row: Sequence[Any]) -> dict[str, Any]:
    """Return the values by column of a row with all columns in order. Raises JournalDamaged if its checksum differs."""
    *values, stored = row
    if checksum(table.name, values) != stored:
        raise JournalDamaged(table.name, _key_of(table)(row), "its checksum does not match")
    return dict(zip(_columns(table), values, strict=True))


def insert_rows(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert rows with their checksums."""
    if sealed_rows := [with_checksum(table, row) for row in rows]:
        connection.execute(table.insert(), sealed_rows)


def read_rows(connection: Connection, table: Table, **values: object) -> list[dict[str, Any]]:
    """Return the rows with these values, verified, in the order of their primary key."""
    return read_query(connection, table, _select(table, tuple(values)), values)


def read_row(connection: Connection, table: Table, **values: object) -> dict[str, Any] | None:
    """Return the first row with these values, verified; None if there is none."""
    return next(iter(read_rows(connection, table, **values)), None)


def read_query(
    connection: Connection, table: Table, query: Select[Any], values: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    """Return the verified rows of a query that selects all columns; `values` are its bound parameters."""
    return [verify(table, row) for row in connection.execute(query, values)]


def read_intact(connection: Connection, table: Table) -> Iterator[dict[str, Any]]:
    """Yield all rows of a table but damaged ones."""
    for row in connection.execute(table.select().order_by(*table.primary_key)):
        with suppress(JournalDamaged):
            yield verify(table, row)


def copy_tables(source: Connection, target: Connection, tables: Iterable[Table]) -> None:
    """Put all rows of tables, as they are, in the place of those of another database."""
    for table in tables:
        target.execute(table.delete())
        for rows in source.execute(table.select(), execution_options={"yield_per": _AT_ONCE}).partitions():
            target.execute(table.insert(), [row._asdict() for row in rows])


def update_rows(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Update all columns of stored rows, found by their primary keys."""
    # the names end in "_", because SQLAlchemy binds a column's own name to the value that is set
    if sealed_rows := [{f"{name}_": value for name, value in with_checksum(table, row).items()} for row in rows]:
        connection.execute(_update(table), sealed_rows)


@contextmanager
def translate_decode_errors(table: Table, key: object) -> Iterator[None]:
    """Raise JournalDamaged for a value that can't be decoded although its checksum was right."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise JournalDamaged(table.name, str(key), f"it can't be read: {error}") from error


# Statements are cached: building one takes SQLAlchemy as long as SQLite takes to execute it.


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
    indices = [index for index, column in enumerate(table.columns) if column.primary_key]
    # a damaged key may be of any type, and the error shows it
    return lambda row: replace_unstorable("/".join(str(row[index]) for index in indices))[:_SHOWN]


@lru_cache
def _conversions(table: Table) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """Return a conversion for each column, so that every database returns the type that was stored."""
    by_type: dict[type, Callable[[Any], Any]] = {str: replace_unstorable, int: int, float: _as_float, bytes: bytes}
    return tuple((name, by_type[table.c[name].type.python_type]) for name in _columns(table))


def _as_float(value: float) -> float:
    return float(value) + 0.0  # SQLite stores -0.0 as 0
