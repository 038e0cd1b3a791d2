"""Compiled programs by content hash: each is stored once, and deleted with the last run that uses it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module

from sqlalchemy import Connection, Table, select

from hybridloop.errors import JournalDamaged
from hybridloop.journal.storage.rows import read_row, with_checksum
from hybridloop.journal.storage.schema import program_uses, programs


def store(connection: Connection, run_uid: str, bodies: Mapping[str, bytes], used: Iterable[str | None]) -> None:
    """Store the programs that are new, and record that the run uses these and the programs with the keys `used`."""
    # sorted, so that two runs that store the same programs lock the rows in the same order: no deadlock
    _insert_missing(
        connection, programs, [with_checksum(programs, {"key": key, "body": bodies[key]}) for key in sorted(bodies)]
    )
    keys = sorted({*bodies, *(key for key in used if key is not None)})
    uses = [with_checksum(program_uses, {"program": key, "run_uid": run_uid}) for key in keys]
    _insert_missing(connection, program_uses, uses)


def read_body(connection: Connection, key: str) -> bytes | None:
    """Return the program of a key; None if no run uses it. Raises JournalDamaged if a run uses it and it is missing."""
    row = read_row(connection, programs, key=key)
    if row is not None:
        return bytes(row["body"])
    if connection.execute(select(program_uses.c.run_uid).where(program_uses.c.program == key).limit(1)).first():
        raise JournalDamaged(programs.name, key, "it is missing, and a run uses it")
    return None


def delete_unused(connection: Connection) -> None:
    """Delete the programs that no run uses."""
    connection.execute(programs.delete().where(programs.c.key.not_in(select(program_uses.c.program))))


def _insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    if rows:
        insert = import_module(f"sqlalchemy.dialects.{connection.dialect.name}").insert  # the other takes long
        connection.execute(insert(table).on_conflict_do_nothing(), rows)
