"""Schema migration with Alembic, by one process at a time, and a read-only inspection of a journal's version."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy
from filelock import FileLock, Timeout
from sqlalchemy import Connection

from hybridloop.errors import JournalDamaged, JournalError, JournalTooNew
from hybridloop.journal.storage.database import Database
from hybridloop.journal.storage.location import (
    LOCK_SUFFIX,
    QUEUE_SUFFIX,
    Location,
    beside,
    journal_url_of,
    prepare_file,
    unusable_path_error,
)
from hybridloop.journal.storage.schema import VERSION, VERSION_TABLE
from hybridloop.runtime.paths import home
from hybridloop.runtime.waits import INSPECTION_BUSY_S

MIGRATIONS = Path(__file__).parent / "migrations"
_alembic = threading.Lock()  # Alembic has one context in each process
_ADVISORY_LOCK = 0x4859_4252  # our key for PostgreSQL's advisory locks
_SET_UP = b"set up"  # in the file of the queue of writers, once the journal beside it has its tables


def migrate(database: Database, *, busy_s: float) -> None:
    """Create or upgrade the tables if needed. Raises JournalTooNew if they are of a later version.

    Other processes that open the journal wait for this, up to `busy_s`. Raises JournalError for a file that was a
    journal and is empty: its limits and what was paid would be forgotten.
    """
    path = database.location.path
    is_read_only = database.location.is_read_only
    may_be_cut = path is not None and _is_empty(path) and _was_set_up(path)
    if path is not None and not is_read_only:
        prepare_file(path)
    if read_version(database) == VERSION:
        return
    if is_read_only:
        raise JournalError(
            f"the journal {path} is of an earlier version, and can't be upgraded, as it can't be written",
            "Nothing was written or submitted.",
            "Make its file and folder writable, or copy it, and set HYBRIDLOOP_JOURNAL to the copy.",
        )
    with ExitStack() as stack:
        if path is not None:
            stack.enter_context(_file_lock(path, busy_s))
            if may_be_cut and _is_empty(path):  # no other process was creating it
                raise JournalError(
                    f"the journal {path} is empty, and was set up before",
                    "Nothing was written or submitted. Its runs and limits are lost, unless there is a backup.",
                    "Restore one: hybridloop journal restore FILE. For a new journal, delete the empty file.",
                )
            _use_wal(database)
        connection = stack.enter_context(database.write_transaction())
        if path is None:
            _lock_and_make_schema(connection, database.location.schema)
        _upgrade(connection)
    if path is not None:
        with suppress(OSError):
            beside(path, QUEUE_SUFFIX).write_bytes(_SET_UP)


def _is_empty(path: Path) -> bool:
    with suppress(OSError):
        return path.stat().st_size == 0
    return False


def _was_set_up(path: Path) -> bool:
    """Return whether the set-up of a journal in this file was completed."""
    with suppress(OSError):
        return beside(path, QUEUE_SUFFIX).read_bytes() == _SET_UP
    return False


@contextmanager
def _file_lock(path: Path, busy_s: float) -> Iterator[None]:
    """Lock the set-up: SQLite itself can't make a process wait while it switches to the write-ahead log."""
    lock = FileLock(beside(path, LOCK_SUFFIX), timeout=busy_s, mode=0o600)
    try:
        lock.acquire()
    except Timeout as error:  # an OSError too
        raise JournalError(
            f"the journal {path} was still being set up by another process after {busy_s:g} s",
            "Nothing was written or submitted.",
            "Try again; the lock ends with the process that holds it.",
        ) from error
    except OSError as error:
        raise unusable_path_error(path, error) from error
    try:
        yield
    finally:
        lock.release()


def read_version(database: Database) -> str | None:
    """Return the schema's version; None if there is no schema yet. Raises JournalTooNew, JournalError."""
    with database.read_transaction() as connection:
        return _version(connection)


def _use_wal(database: Database) -> None:
    """Let readers and one writer work at once. The file keeps the setting; changing it needs exclusive access."""
    with database.autocommit_connection() as connection:
        if connection.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def _lock_and_make_schema(connection: Connection, schema: str) -> None:
    connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")


def _version(connection: Connection) -> str | None:
    if not sqlalchemy.inspect(connection).has_table(VERSION_TABLE):
        return None
    version = connection.execute(sqlalchemy.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    if version is None or version == VERSION:
        return version
    if not re.fullmatch("[0-9]{4}", str(version)):
        raise JournalDamaged(VERSION_TABLE, str(version), "it is not a version")
    if version > VERSION:
        raise JournalTooNew(version, VERSION)
    return str(version)


def _upgrade(connection: Connection) -> None:
    with _alembic:
        if _version(connection) == VERSION:  # another process or thread was first
            return
        from alembic import command  # it imports slowly, and a journal needs it once
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@dataclass(frozen=True, slots=True)
class JournalInspection:
    """A journal's location, the version of its schema (None: not created yet), and the version written here."""

    place: str
    version: str | None
    newest: str = VERSION


def inspect_journal(environ: Mapping[str, str] = os.environ) -> JournalInspection:
    """Inspect the journal that `open_journal` would open; create and upgrade nothing.

    Raises InputError for an invalid URL, JournalTooNew, and JournalError if it can't be read.
    """
    location = location_of(environ)
    if location.path is not None and not location.path.exists():
        return JournalInspection(str(location), None)
    return JournalInspection(str(location), version_at(location))


def location_of(environ: Mapping[str, str]) -> Location:
    """Return the location of the journal that `open_journal` opens. Raises InputError for an invalid URL."""
    return Location.parse(journal_url_of(environ) or f"sqlite:///{home(environ) / 'journal.db'}")


def version_at(location: Location) -> str | None:
    """Return the version of a journal's schema, None without one; change nothing. Raises as `inspect_journal`."""
    database = Database(location, busy_s=INSPECTION_BUSY_S)
    try:
        return read_version(database)
    finally:
        database.close()
