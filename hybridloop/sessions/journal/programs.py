"""Programs by the key of their content: each is stored once, for as long as a run that used it is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from hybridloop.errors import JournalDamaged
from hybridloop.sessions.journal.rows import read_one, sealed
from hybridloop.sessions.journal.schema import program_uses, programs


def keep(connection: Connection, run_uid: str, bodies: Mapping[str, bytes], used: Iterable[str | None]) -> None:
    """Store the programs that are not there, and that the run needs them, and those of `used` keys."""
    # in one order, so that two runs that bring the same programs never wait for each other in a ring
    _insert_missing(
        connection, programs, [sealed(programs, {"key": key, "body": bodies[key]}) for key in sorted(bodies)]
    )
    keys = sorted({*bodies, *(key for key in used if key is not None)})
    _insert_missing(connection, program_uses, [{"program": key, "run_uid": run_uid} for key in keys])


def body_of(connection: Connection, key: str) -> bytes | None:
    """The program of a key; None if no run uses it."""
    row = read_one(connection, programs, key=key)
    if row is not None:
        return bytes(row["body"])
    if connection.execute(select(program_uses.c.run_uid).where(program_uses.c.program == key).limit(1)).first():
        raise JournalDamaged(programs.name, key, "it is missing, and a run uses it")
    return None


def forget_unused(connection: Connection) -> None:
    """Delete the programs that no run needs any more."""
    connection.execute(programs.delete().where(programs.c.key.not_in(select(program_uses.c.program))))


def _insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    if rows:
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        connection.execute(insert(table).on_conflict_do_nothing(), rows)
