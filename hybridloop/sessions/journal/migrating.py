"""Bring a database to this version's schema, once, whoever else opens it at the same time."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import sqlalchemy
from filelock import FileLock, Timeout
from sqlalchemy import Connection

from hybridloop.errors import JournalDamaged, JournalError, JournalTooNew
from hybridloop.sessions.journal.location import LOCK, prepare, unusable
from hybridloop.sessions.journal.schema import VERSION, VERSION_TABLE
from hybridloop.sessions.journal.store import Store

MIGRATIONS = Path(__file__).parent / "migrations"
_upgrading = threading.Lock()  # Alembic keeps one context a process
_ADVISORY_LOCK = 0x4859_4252  # a number of our own among PostgreSQL's advisory locks


def migrate(store: Store, *, busy_s: float) -> None:
    """Create or upgrade the tables where that is needed; JournalTooNew if they are of a later version.

    Whoever else opens the journal meanwhile waits, for `busy_s` at most.
    """
    path = store.location.path
    if path is not None:
        prepare(path)
    if version_of(store) == VERSION:
        return
    with ExitStack() as held:
        if path is not None:
            held.enter_context(_file_lock(path, busy_s))
            _use_wal(store)
        connection = held.enter_context(store.writing())
        if path is None:
            _lock_and_make_schema(connection, store.location.schema)
        _upgrade(connection)


@contextmanager
def _file_lock(path: Path, busy_s: float) -> Iterator[None]:
    """One process at a time: SQLite lets none wait for its turn to change to the write-ahead log."""
    lock = FileLock(path.with_name(path.name + LOCK), timeout=busy_s, mode=0o600)
    try:
        lock.acquire()
    except Timeout as error:  # an OSError too
        raise JournalError(
            f"the journal {path} was being set up by another process for {busy_s:g} s",
            "Nothing was written or submitted.",
            "Try again; the lock ends with the process that holds it.",
        ) from error
    except OSError as error:
        raise unusable(path, error) from error
    try:
        yield
    finally:
        lock.release()


def version_of(store: Store) -> str | None:
    """The schema's version; None if there is no schema yet. Raises JournalTooNew, JournalError."""
    with store.reading() as connection:
        return _version(connection)


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
