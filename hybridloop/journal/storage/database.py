"""The database of a journal: one SQLAlchemy engine, read and write transactions, errors as JournalError."""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from hybridloop.errors import InputError, JournalDamaged, JournalError
from hybridloop.journal.storage.database_errors import LockTimeout, is_away, to_journal_error
from hybridloop.journal.storage.encoding import replace_unstorable
from hybridloop.journal.storage.location import QUEUE_SUFFIX, Location, beside, silence
from hybridloop.journal.storage.open_file import OpenFile
from hybridloop.journal.storage.rows import copy_tables
from hybridloop.journal.storage.schema import metadata
from hybridloop.journal.storage.write_queue import WriteQueue
from hybridloop.runtime.waits import JOURNAL_SERVER_S, SHORT_CONNECT_TIMEOUT_S

_BEGIN = "hybridloop_begin"  # execution option: the statement that begins a connection's transactions
_BEGIN_WRITE = "BEGIN IMMEDIATE"  # takes SQLite's write lock at once
_BUSY_MS = "hybridloop_busy_ms"  # key in `connection.info`: the busy timeout that the connection has now
WAIT_VARIABLE = "HYBRIDLOOP_JOURNAL_WAIT_S"
_RECONNECT_EVERY_S = 0.5
_MIN_FREE_SHARE = 0.2  # a file with a smaller share of free space is not compacted
_MIN_FREE_BYTES = 1 << 20

_log = logging.getLogger(__name__)


class Database:
    """An open database; a transaction waits up to `busy_s` for locks of other processes.

    A server that is away may be restarting, and is waited for if it has answered this process, or with `waits`.
    After a write that timed out, later writes wait only a moment until one succeeds: see `LockTimeout`.
    """

    _answered: ClassVar[set[str]] = set()  # addresses of servers
    _away_since: ClassVar[dict[str, float]] = {}  # by address
    _said_away: ClassVar[set[str]] = set()  # addresses of servers of whose outage an error was raised

    def __init__(
        self,
        location: Location,
        *,
        busy_s: float,
        waits: bool = False,
        wait_s: float = JOURNAL_SERVER_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.location = location
        self._now = now
        self._waits = waits
        self._wait_s = wait_s
        self._lock_timeout = lock_timeout = LockTimeout(busy_s, now=now)
        self._writer = threading.Lock()  # SQLite polls for its lock, and is not fair to our threads
        self._file = None if location.path is None else OpenFile(location.path, self.save)
        self._queue = None if location.path is None else WriteQueue(beside(location.path, QUEUE_SUFFIX))
        engine = (
            _postgresql_engine(location, lock_timeout)
            if self._file is None
            else _sqlite_engine(location, lock_timeout, self._file)
        )
        self._engine = engine
        self._write_engine = engine.execution_options(**{_BEGIN: _BEGIN_WRITE})
        self._read_engine = engine.execution_options(
            **{} if location.is_file else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        )

    @contextmanager
    def read_transaction(self) -> Iterator[Connection]:
        """Hold a transaction that sees one state of the journal throughout."""
        with (
            self._translate_errors(),
            self._present(),
            self._connect(self._read_engine) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def write_transaction(self) -> Iterator[Connection]:
        """Hold a transaction that is durable at the end of the block, and rolled back if the block raises."""
        with self._translate_errors(), self._present():
            with self._write_connection() as connection, connection.begin():
                yield connection
            if self._file is not None:
                self._file.check_log()

    @contextmanager
    def _present(self) -> Iterator[None]:
        """Raise JournalGone if the SQLite file is gone before or after the block, also in place of the block's error.

        Without its file or disk, SQLite may still write, or find a database without rows. This is not damage.
        """
        if self._file is None:
            yield
            return
        self._file.check()
        try:
            yield
        except (SQLAlchemyError, UnicodeDecodeError, JournalError):
            self._file.check()
            raise
        self._file.check()

    def copy_to(self, other: Database) -> None:
        """Put all rows in the place of those of another database."""
        with self.read_transaction() as source, other.write_transaction() as target:
            copy_tables(source, target, metadata.sorted_tables)

    def save(self, copy: Path) -> None:
        """Copy the open SQLite journal, whose file may be gone, to an empty file."""
        with self._translate_errors(), self._engine.connect() as connection:
            connection.execution_options(**{_BEGIN: ""}).exec_driver_sql("VACUUM INTO ?", (str(copy),))

    @contextmanager
    def replacing(self) -> Iterator[Callable[[Database], None]]:
        """Keep other writers out; yield what puts another SQLite journal in the place of this one in one transaction.

        Both are of this version.
        """
        if self._queue is None:
            with self.write_transaction() as connection:
                connection.exec_driver_sql(
                    "LOCK TABLE runs, states, limits IN EXCLUSIVE MODE"
                )  # all write to them first
                yield partial(_replace_rows, connection)
        else:
            with self._translate_errors(), self._present(), self._turn():
                yield self._replace_file

    def _replace_file(self, other: Database) -> None:
        with self._engine.connect() as connection, other._engine.connect() as source:
            old, new = (cast(sqlite3.Connection, each.connection.driver_connection) for each in (connection, source))
            new.backup(old)

    @contextmanager
    def _write_connection(self) -> Iterator[Connection]:
        """Hold a connection for the only writer among this process's threads."""
        if self._queue is not None:
            with self._turn(), self._record_lock_timeouts(), self._connect(self._write_engine) as connection:
                yield connection
            return
        # the lock comes last: a thread that waits for a server must not block the others
        with self._record_lock_timeouts(), self._connect(self._write_engine) as connection, self._writer_lock():
            yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the turn of the only writer to an SQLite file."""
        assert self._queue is not None
        with self._writer_lock(), self._queue.turn(self._lock_timeout.timeout_s) as is_next:
            if not is_next:
                raise self._locked()
            yield

    @contextmanager
    def _writer_lock(self) -> Iterator[None]:
        if not self._writer.acquire(timeout=self._lock_timeout.timeout_s):
            raise self._locked()
        try:
            yield
        finally:
            self._writer.release()

    def _locked(self) -> JournalError:
        """Record that a write did not get its turn; return the error."""
        self._lock_timeout.record_timeout()
        return JournalError(
            f"the journal {self.location} accepted no writes for {self._lock_timeout.locked_s:g} s: another "
            "process has it locked, or its disk does not answer",
            "Nothing of this step was written, and what was written before is unharmed.",
            "Resume the run once that is over; hybridloop runs list shows which process holds a run.",
        )

    @contextmanager
    def _connect(self, engine: Engine) -> Iterator[Connection]:
        """Hold a connection; retry for `wait_s`, counted for all threads together, if a server is away.

        No statement was sent yet, so a retry repeats none.
        """
        end: float | None = None  # set by the first failure, so that the wait has an end
        while True:
            try:
                connection = engine.connect()
                break
            except OperationalError as error:
                if not self._is_retried(error):
                    raise
                end = self._end_of_outage() if end is None else end
                if self._now() >= end:
                    raise
                _log.debug("the journal %s is away, trying again: %s", self.location, self._journal_error(error))
                threading.Event().wait(_RECONNECT_EVERY_S)
        self._away_since.pop(str(self.location), None)
        self._said_away.discard(str(self.location))
        self._answered.add(str(self.location))
        if self._file is not None:
            self._file.note_opened()
        with connection:
            yield connection

    @contextmanager
    def _record_lock_timeouts(self) -> Iterator[None]:
        timeout_s = self._lock_timeout.timeout_s
        try:
            yield
        except OperationalError:  # locked, full, read-only, or away
            self._lock_timeout.record_timeout()
            _log.debug("a write to %s with a lock timeout of %g s failed", self.location, timeout_s)
            raise
        self._lock_timeout.record_success()

    @contextmanager
    def autocommit_connection(self) -> Iterator[Connection]:
        """Hold a connection without a transaction, which some of SQLite's statements need."""
        with self._translate_errors(), self._engine.connect() as connection:
            yield connection.execution_options(**{_BEGIN: ""})

    def _is_retried(self, error: OperationalError) -> bool:
        """Return True for the error of a server that has answered before, or is away where that is waited for."""
        return not self.location.is_file and (str(self.location) in self._answered or (self._waits and is_away(error)))

    def _end_of_outage(self) -> float:
        """Return the time until which all threads wait for a server that is away; warn at its first failure."""
        address, now = str(self.location), self._now()
        since = self._away_since.get(address, -math.inf)
        if now > since + 2 * self._wait_s:  # not the outage of before
            self._away_since[address] = since = now
            _log.warning(
                "the journal %s does not answer; it is waited for up to %g s (%s sets another time). If it stays "
                "away, the run ends with an error. All that was written is kept; hybridloop runs resume continues the "
                "run",
                *(self.location, self._wait_s, WAIT_VARIABLE),
            )
        return since + self._wait_s

    def size_bytes(self) -> int:
        """Return the size of the file with its log, or on a server that of the tables with their indexes."""
        if (path := self.location.path) is not None:
            files = (path.with_name(path.name + suffix) for suffix in ("", "-wal"))
            return sum(file.stat().st_size for file in files if file.exists())
        with self.read_transaction() as connection:
            query = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = "
            spaces = "(SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
            return int(connection.exec_driver_sql(query + spaces).scalar() or 0)

    def compact(self) -> int:
        """Return free space in SQLite's file to the disk, if there is enough of it; return the number of bytes."""
        if not self.location.is_file:
            return 0
        with self._writer_lock(), self.autocommit_connection() as connection:
            pages, free, size = (
                int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
                for name in ("page_count", "freelist_count", "page_size")
            )
            if free < _MIN_FREE_SHARE * pages or free * size < _MIN_FREE_BYTES:
                return 0
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return free * size

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Turn the driver's errors into JournalErrors, without the password of the URL."""
        try:
            yield
        except UnicodeDecodeError as error:  # in a message of SQLite that quotes damaged bytes
            raise JournalDamaged("the database", str(self.location), "a name in it is not valid text") from error
        except UnicodeEncodeError as error:  # of bytes in a command's argument that are no text
            text = replace_unstorable(str(error.object))
            raise InputError("text", f"{text!r} has bytes that are no text", "Give it in UTF-8.") from error
        except SQLAlchemyError as error:
            journal_error = self._journal_error(error)
            if journal_error.is_outage:
                journal_error.is_repeated = str(self.location) in self._said_away
                self._said_away.add(str(self.location))
            has_secret = self.location.contains_secret(str(error))
            silence(error, keeps_words=not has_secret)
            if has_secret:
                raise journal_error from None
            raise journal_error from error
        except sqlite3.Error as error:  # of SQLite's backup, of which SQLAlchemy does not know
            raise to_journal_error(DBAPIError("", None, error), self.location, self._lock_timeout.locked_s) from error

    def _journal_error(self, error: SQLAlchemyError) -> JournalError:
        return to_journal_error(error, self.location, self._lock_timeout.locked_s)


def _sqlite_engine(location: Location, lock_timeout: LockTimeout, file: OpenFile) -> Engine:
    engine = sqlalchemy.create_engine(
        location.url_to_read() if location.is_read_only else location.url,
        hide_parameters=True,
        connect_args={"timeout": lock_timeout.busy_s, "check_same_thread": False},
        pool_size=5,
        max_overflow=27,
    )

    # a file that has gone is not created again
    @event.listens_for(engine, "do_connect")
    def _check(_dialect: object, _record: object, _arguments: object, _options: object) -> None:
        file.check()

    # set up each connection
    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin only where we say
        connection.text_factory = _decode_text  # damaged text must reach the checksum
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    # the lock timeout may have changed since the last transaction
    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        begin = connection.get_execution_options().get(_BEGIN, "BEGIN")
        busy_ms = _milliseconds(lock_timeout.timeout_s if begin == _BEGIN_WRITE else lock_timeout.busy_s)
        if connection.info.setdefault(_BUSY_MS, _milliseconds(lock_timeout.busy_s)) != busy_ms:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={busy_ms}")
            connection.info[_BUSY_MS] = busy_ms
        if begin:
            connection.exec_driver_sql(begin)

    return engine


def _replace_rows(connection: Connection, other: Database) -> None:
    with other.read_transaction() as source:
        copy_tables(source, connection, metadata.sorted_tables)


def _decode_text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _postgresql_engine(location: Location, lock_timeout: LockTimeout) -> Engine:
    engine = sqlalchemy.create_engine(
        location.url,
        hide_parameters=True,
        pool_pre_ping=True,  # after a restart of the server, connect again
        connect_args={
            "connect_timeout": max(SHORT_CONNECT_TIMEOUT_S, round(lock_timeout.busy_s)),
            "client_encoding": "utf8",  # else texts of a database in SQL_ASCII, as in the locale C, are read as bytes
            "prepare_threshold": None,  # PgBouncer in transaction mode gives each transaction another connection
        },
        pool_size=5,
        max_overflow=27,
    )

    # connect with a short timeout too after a write timed out
    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: object, _record: object, _arguments: object, options: dict[str, Any]) -> None:
        if lock_timeout.is_shortened:
            options["connect_timeout"] = SHORT_CONNECT_TIMEOUT_S

    # a pooler answers for a server that is away: only a query shows that the server answers
    @event.listens_for(engine, "connect")
    def _ask(connection: Any, _record: object) -> None:
        connection.execute("SELECT 1")
        connection.rollback()

    # set up each transaction, not the connection, which a pooler may give to another client
    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        is_write = connection.get_execution_options().get(_BEGIN) == _BEGIN_WRITE
        lock_ms = _milliseconds(lock_timeout.timeout_s if is_write else lock_timeout.busy_s)
        connection.exec_driver_sql(
            f"SELECT set_config('search_path', '{location.schema}', true), "  # its tables have common names
            f"set_config('lock_timeout', '{lock_ms}', true), set_config('synchronous_commit', 'on', true)"
        )

    return engine
