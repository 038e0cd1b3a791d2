"""Lock timeouts: after a write timed out, later writes wait only a moment until one succeeds."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest
from sqlalchemy import update

from hybridloop.errors import JournalError
from hybridloop.journal import Journal
from hybridloop.journal.storage.database import Database
from hybridloop.journal.storage.database_errors import LockTimeout
from hybridloop.journal.storage.location import Location
from hybridloop.journal.storage.schema import states
from hybridloop.runtime.waits import SHORT_TIMEOUT_S
from tests.journal.journal_helpers import new_run

BUSY_S = 0.3


class ManualClock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_timeout_is_short_after_a_failed_write_and_long_after_a_successful_one() -> None:
    lock_timeout = LockTimeout(10.0, now=ManualClock())
    assert (lock_timeout.timeout_s, lock_timeout.locked_s) == (10.0, 10.0)
    lock_timeout.record_timeout()
    assert lock_timeout.timeout_s == SHORT_TIMEOUT_S
    lock_timeout.record_success()
    assert lock_timeout.timeout_s == 10.0


def test_the_timeout_is_long_again_when_no_write_failed_for_that_time() -> None:
    clock = ManualClock()
    lock_timeout = LockTimeout(10.0, now=clock)
    for _ in range(5):  # a lease is renewed every five seconds
        lock_timeout.record_timeout()
        clock.now += 5.0
        assert lock_timeout.timeout_s == SHORT_TIMEOUT_S
    clock.now += 5.0
    assert lock_timeout.timeout_s == 10.0


def test_the_time_of_the_lock_counts_from_the_first_wait() -> None:
    clock = ManualClock()
    lock_timeout = LockTimeout(10.0, now=clock)
    lock_timeout.record_timeout()
    assert lock_timeout.locked_s == 10.0
    clock.now += 7.0
    lock_timeout.record_timeout()
    assert lock_timeout.locked_s == 17.0
    clock.now += 100.0
    lock_timeout.record_timeout()  # another lock
    assert lock_timeout.locked_s == 10.0


def test_a_long_timeout_below_the_short_one_is_never_exceeded() -> None:
    lock_timeout = LockTimeout(0.1, now=ManualClock())
    lock_timeout.record_timeout()
    assert lock_timeout.timeout_s == 0.1


Locking = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def locking(new_url: str) -> Locking:
    """A context manager that holds another program's lock."""
    Journal(new_url).close()

    @contextmanager
    def in_sqlite() -> Iterator[None]:
        with closing(sqlite3.connect(new_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    @contextmanager
    def in_postgresql() -> Iterator[None]:
        import psycopg

        with psycopg.connect(new_url.replace("+psycopg", "")) as other:
            other.execute("LOCK TABLE hybridloop.states IN EXCLUSIVE MODE")
            yield

    return in_sqlite if new_url.startswith("sqlite") else in_postgresql


def test_of_writes_to_a_locked_journal_only_the_first_waits_and_again_for_the_next_lock(
    new_url: str, locking: Locking, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="hybridloop")
    with (
        Journal(new_url) as journal,
        closing(Database(Location.parse(new_url), busy_s=BUSY_S, now=ManualClock())) as database,
    ):
        journal.add_run(new_run())

        def write() -> None:
            with database.write_transaction() as connection:
                connection.execute(update(states).values(updated_at=states.c.updated_at))

        for _ in range(2):
            with locking():
                for _ in range(2):
                    with pytest.raises(JournalError, match=r"locked by another process for 0\.3 s"):
                        write()
                assert journal.run("h2-night").key == "h2-night"  # readers do not wait
            write()
    waits = [float(text) for text in re.findall(r"with a lock timeout of ([0-9.]+) s failed", caplog.text)]
    assert waits == 2 * [BUSY_S, SHORT_TIMEOUT_S]


def test_the_database_itself_gets_the_timeout(new_url: str, locking: Locking) -> None:
    with closing(Database(Location.parse(new_url), busy_s=BUSY_S, now=ManualClock())) as database:
        query = "PRAGMA busy_timeout" if database.location.is_file else "SHOW lock_timeout"

        def timeouts() -> tuple[object, object]:
            with database.read_transaction() as connection:
                read_timeout = connection.exec_driver_sql(query).scalar()
            with database.write_transaction() as connection:
                return read_timeout, connection.exec_driver_sql(query).scalar()

        long, short = (300, 200) if database.location.is_file else ("300ms", "200ms")
        assert timeouts() == (long, long)
        with locking(), pytest.raises(JournalError), database.write_transaction() as connection:
            connection.execute(update(states).values(updated_at=1.0))
        assert timeouts() == (long, short)
        assert timeouts() == (long, long)
