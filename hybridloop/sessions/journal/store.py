"""The database behind a journal: one engine, transactions for reading and for writing, and its errors in words."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from hybridloop.errors import JournalDamaged, JournalError
from hybridloop.sessions.journal.faults import in_words
from hybridloop.sessions.journal.location import Location
from hybridloop.sessions.journal.patience import RECONNECT_IN_HASTE_S, Patience

_BEGIN = "hybridloop_begin"  # the option that says how a connection begins its transactions
_TO_WRITE = "BEGIN IMMEDIATE"  # what SQLite takes its write lock at once with
_WAITS = "hybridloop_waits_ms"  # in a connection's own notes: how long it was told to wait
AWAY_S = 30.0  # what a server that has answered before is waited for: it may be restarted
_ASK_EVERY_S = 0.5
_WORTH_IT = 0.2  # of a file: less free room than that is left in it
_WORTH_IT_BYTES = 1 << 20

_log = logging.getLogger(__name__)


class Store:
    """A database that is open; `busy_s` bounds how long a lock of others is waited for.

    Writes that follow one that waited in vain hardly wait, until one gets through: see `patience`.
    """

    def __init__(self, location: Location, *, busy_s: float, now: Callable[[], float] = time.monotonic) -> None:
        self.location = location
        self._now = now
        self._answered = False  # whether a server has, once
        self._away_since: float | None = None
        self._patience = patience = Patience(busy_s, now=now)
        self._writer = threading.Lock()  # SQLite's own wait for a lock is a poll, and unfair
        engine = (_sqlite_engine if location.is_file else _postgresql_engine)(location, patience)
        self._engine = engine
        self._writes = engine.execution_options(**{_BEGIN: _TO_WRITE})
        self._reader = engine.execution_options(
            **{} if location.is_file else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        )

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the journal throughout."""
        with self._in_words(), self._connected(self._reader) as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is durable when the block has ended, and never was if it raises."""
        with self._in_words(), self._alone() as connection, connection.begin():
            yield connection

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        if self.location.is_file:
            with self._turn(), self._counted(), self._connected(self._writes) as connection:
                yield connection
            return
        # the turn comes last: who waits for a server keeps nobody else waiting
        with self._counted(), self._connected(self._writes) as connection, self._turn():
            yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._writer.acquire(timeout=self._patience.wait_s):
            self._patience.in_vain()
            raise JournalError(
                f"the journal {self.location} took no writes for {self._patience.waited_s:g} s: another process has it "
                "locked, or its disk does not answer",
                "Nothing of this step was written, and what was written before is unharmed.",
                "Resume the run once that is over; hybridloop runs list shows who holds a run.",
            )
        try:
            yield
        finally:
            self._writer.release()

    @contextmanager
    def _connected(self, engine: Engine) -> Iterator[Connection]:
        """A connection; a server that is restarted is waited for, `AWAY_S` at most, by all who want one together.

        Nothing was asked of it yet, so that nothing is asked twice.
        """
        while True:
            try:
                connection = engine.connect()
                break
            except OperationalError as error:
                if not self._may_come_back():
                    raise
                _log.debug("the journal %s is away, and waited for: %s", self.location, self._words(error))
                threading.Event().wait(_ASK_EVERY_S)
        self._away_since = None
        self._answered = True
        with connection:
            yield connection

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Have the next writes know whether this one got through."""
        waits_s = self._patience.wait_s
        try:
            yield
        except OperationalError:  # locked, full, read-only, or away
            self._patience.in_vain()
            _log.debug("a write to %s failed that waits %g s for locks", self.location, waits_s)
            raise
        self._patience.got_through()

    @contextmanager
    def outside_transactions(self) -> Iterator[Connection]:
        """A connection without a transaction, for what SQLite takes only so."""
        with self._in_words(), self._engine.connect() as connection:
            yield connection.execution_options(**{_BEGIN: ""})

    def _may_come_back(self) -> bool:
        """Whether a server that could not be reached just now is waited for any longer."""
        if self.location.is_file or not self._answered:  # one that never answered: its address may be wrong
            return False
        now = self._now()
        if self._away_since is None:
            self._away_since = now
            _log.warning(
                "the journal %s does not answer; it is waited for, %g s at most. If it stays away, this ends with an "
                "error; what was written is kept, and a run that ends so is gone on with by hybridloop runs resume",
                self.location,
                AWAY_S,
            )
        return now < self._away_since + AWAY_S

    def compact(self) -> int:
        """Give free room in SQLite's file back to the disk, where there is enough of it; the number of bytes."""
        if not self.location.is_file:
            return 0
        with self._turn(), self.outside_transactions() as connection:
            pages, free, size = (
                int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
                for name in ("page_count", "freelist_count", "page_size")
            )
            if free < _WORTH_IT * pages or free * size < _WORTH_IT_BYTES:
                return 0
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        return free * size

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError as error:  # of a message of SQLite's that quotes what is damaged
            raise JournalDamaged("the database", str(self.location), "names in it are no text") from error
        except SQLAlchemyError as error:
            said = self._words(error)
            if self.location.has_secret_in(str(error)):
                raise said from None
            raise said from error

    def _words(self, error: SQLAlchemyError) -> JournalError:
        return in_words(error, self.location, self._patience.waited_s)


def _sqlite_engine(location: Location, patience: Patience) -> Engine:
    engine = sqlalchemy.create_engine(
        location.url,
        hide_parameters=True,
        connect_args={"timeout": patience.busy_s, "check_same_thread": False},
        pool_size=5,
        max_overflow=27,
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where we say so
        connection.text_factory = _text  # damaged text is for the checksum to notice
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        begin = connection.get_execution_options().get(_BEGIN, "BEGIN")
        waits_ms = _milliseconds(patience.wait_s if begin == _TO_WRITE else patience.busy_s)
        if connection.info.setdefault(_WAITS, _milliseconds(patience.busy_s)) != waits_ms:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={waits_ms}")
            connection.info[_WAITS] = waits_ms
        if begin:
            connection.exec_driver_sql(begin)

    return engine


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _postgresql_engine(location: Location, patience: Patience) -> Engine:
    engine = sqlalchemy.create_engine(
        location.url,
        hide_parameters=True,
        pool_pre_ping=True,  # a server that was restarted is met with a new connection
        connect_args={"connect_timeout": max(RECONNECT_IN_HASTE_S, round(patience.busy_s))},
        pool_size=5,
        max_overflow=27,
    )

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: object, _record: object, _arguments: object, options: dict[str, Any]) -> None:
        if patience.is_used_up:
            options["connect_timeout"] = RECONNECT_IN_HASTE_S

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET search_path TO {location.schema}")  # its tables' names are common ones
        cursor.execute(f"SET lock_timeout TO {_milliseconds(patience.busy_s)}")
        cursor.execute("SET synchronous_commit TO on")
        cursor.close()
        connection.commit()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if patience.is_used_up and connection.get_execution_options().get(_BEGIN) == _TO_WRITE:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout TO {_milliseconds(patience.wait_s)}")

    return engine
