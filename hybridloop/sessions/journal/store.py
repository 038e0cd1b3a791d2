"""The database behind a journal: one engine, transactions for reading and for writing, and its errors in words."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import SQLAlchemyError

from hybridloop.errors import JournalDamaged, JournalError
from hybridloop.sessions.journal.faults import in_words
from hybridloop.sessions.journal.location import Location

_BEGIN = "hybridloop_begin"  # the option that says how a connection of SQLite begins its transactions


class Store:
    """A database that is open; `busy_s` bounds how long a lock of others is waited for."""

    def __init__(self, location: Location, *, busy_s: float) -> None:
        self.location = location
        self._busy_s = busy_s
        self._writer = threading.Lock()  # SQLite's own wait for a lock is a poll, and unfair
        engine = (_sqlite_engine if location.is_file else _postgresql_engine)(location, busy_s)
        self._engine = engine
        self._writes = engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        self._reader = engine.execution_options(
            **{} if location.is_file else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        )

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the journal throughout."""
        with self._in_words(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is durable when the block has ended, and never was if it raises."""
        if not self._writer.acquire(timeout=self._busy_s):
            raise JournalError(
                f"the journal {self.location} was busy with another write of this process for {self._busy_s:g} s",
                "Nothing of this step was written, and what was written before is unharmed.",
                "Resume the run; if it happens again, see whether the journal's disk answers.",
            )
        try:
            with self._in_words(), self._writes.begin() as connection:
                yield connection
        finally:
            self._writer.release()

    @contextmanager
    def outside_transactions(self) -> Iterator[Connection]:
        """A connection without a transaction, for what SQLite takes only so."""
        with self._in_words(), self._engine.connect() as connection:
            yield connection.execution_options(**{_BEGIN: ""})

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
            said = in_words(error, self.location, self._busy_s)
            if self.location.has_secret_in(str(error)):
                raise said from None
            raise said from error


def _sqlite_engine(location: Location, busy_s: float) -> Engine:
    engine = sqlalchemy.create_engine(
        location.url,
        hide_parameters=True,
        connect_args={"timeout": busy_s, "check_same_thread": False},
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
        if begin := connection.get_execution_options().get(_BEGIN, "BEGIN"):
            connection.exec_driver_sql(begin)

    return engine


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")


def _postgresql_engine(location: Location, busy_s: float) -> Engine:
    engine = sqlalchemy.create_engine(
        location.url,
        hide_parameters=True,
        pool_pre_ping=True,  # a server that was restarted is met with a new connection
        connect_args={"connect_timeout": max(2, round(busy_s))},
        pool_size=5,
        max_overflow=27,
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET search_path TO {location.schema}")  # its tables' names are common ones
        cursor.execute(f"SET lock_timeout TO {round(busy_s * 1000)}")
        cursor.execute("SET synchronous_commit TO on")
        cursor.close()
        connection.commit()

    return engine
