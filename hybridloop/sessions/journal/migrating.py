"""Bring a database to this version's schema, once, whoever else opens it at the same time."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import sqlalchemy
from sqlalchemy import Connection

from hybridloop.errors import JournalDamaged, JournalTooNew
from hybridloop.sessions.journal.location import prepare
from hybridloop.sessions.journal.schema import VERSION, VERSION_TABLE
from hybridloop.sessions.journal.store import Store

MIGRATIONS = Path(__file__).parent / "migrations"
_upgrading = threading.Lock()  # Alembic keeps one context a process
_ADVISORY_LOCK = 0x4859_4252  # a number of our own among PostgreSQL's advisory locks


def migrate(store: Store) -> None:
    """Create or upgrade the tables where that is needed; JournalTooNew if they are of a later version.

    Whoever else opens the journal meanwhile waits: SQLite has one writer, PostgreSQL a lock for this.
    """
    if store.location.path is not None:
        prepare(store.location.path)
    if _is_current(store):
        return
    if store.location.is_file:
        _use_wal(store)
    with store.writing() as connection:
        if not store.location.is_file:
            _lock_and_make_schema(connection, store.location.schema)
        _upgrade(connection)


def _is_current(store: Store) -> bool:
    with store.reading() as connection:
        return _version(connection) == VERSION


def _use_wal(store: Store) -> None:
    """Readers and one writer at once. The setting stays with the file, and needs it alone."""
    with store.outside_transactions() as connection:
        if connection.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def _lock_and_make_schema(connection: Connection, schema: str) -> None:
    connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")


def _version(connection: Connection) -> str | None:
    """The schema's version; None if there is no schema yet."""
    if not sqlalchemy.inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(sqlalchemy.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    if found is None or found == VERSION:
        return found
    if not re.fullmatch("[0-9]{4}", str(found)):
        raise JournalDamaged(VERSION_TABLE, str(found), "this is no version")
    if found > VERSION:
        raise JournalTooNew(found, VERSION)
    return str(found)


def _upgrade(connection: Connection) -> None:
    with _upgrading:
        _upgrade_alone(connection)


def _upgrade_alone(connection: Connection) -> None:
    if _version(connection) == VERSION:
        return
    from alembic import command  # takes a while to import, and is needed once in a journal's life
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
