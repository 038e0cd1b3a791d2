"""A journal that others keep locked: the first write waits, those after it hardly do, until one gets through."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest
from sqlalchemy import update

from hybridloop.errors import JournalError
from hybridloop.sessions.journal import Journal
from hybridloop.sessions.journal.location import Location
from hybridloop.sessions.journal.patience import IN_HASTE_S, Patience
from hybridloop.sessions.journal.schema import states
from hybridloop.sessions.journal.store import Store
from tests.sessions.journal.examples import new_run

BUSY_S = 0.5


class Watch:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_patience_is_used_up_by_a_wait_in_vain_and_restored_by_a_write_that_gets_through() -> None:
    patience = Patience(10.0, now=Watch())
    assert (patience.wait_s, patience.waited_s) == (10.0, 10.0)
    patience.in_vain()
    assert patience.wait_s == IN_HASTE_S
    patience.got_through()
    assert patience.wait_s == 10.0


def test_patience_comes_back_by_itself_once_nothing_has_failed_for_as_long_as_it_lasts() -> None:
    watch = Watch()
    patience = Patience(10.0, now=watch)
    for _ in range(5):  # a lease is renewed every five seconds
        patience.in_vain()
        watch.now += 5.0
        assert patience.wait_s == IN_HASTE_S
    watch.now += 5.0
    assert patience.wait_s == 10.0


def test_how_long_the_journal_was_locked_is_told_from_the_first_wait_on() -> None:
    watch = Watch()
    patience = Patience(10.0, now=watch)
    patience.in_vain()
    assert patience.waited_s == 10.0
    watch.now += 7.0
    patience.in_vain()
    assert patience.waited_s == 17.0
    watch.now += 100.0
    patience.in_vain()  # another lock
    assert patience.waited_s == 10.0


def test_an_impatient_journal_never_waits_longer_in_haste() -> None:
    patience = Patience(0.1, now=Watch())
    patience.in_vain()
    assert patience.wait_s == 0.1


Locking = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def locking(new_url: str) -> Locking:
    """Another program's lock, as a block."""
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


def test_of_writes_to_a_locked_journal_only_the_first_waits_and_then_the_first_of_the_next_lock(
    new_url: str, locking: Locking, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="hybridloop")
    with Journal(new_url) as journal:
        journal.add_run(new_run())
    with closing(Store(Location.parse(new_url), busy_s=BUSY_S, now=Watch())) as store:

        def write() -> None:
            with store.writing() as connection:
                connection.execute(update(states).values(updated_at=1.0))

        for _ in range(2):
            with locking():
                for _ in range(4):
                    with pytest.raises(JournalError, match=r"locked by another process for 0\.5 s"):
                        write()
            write()
    waits = [float(each) for each in re.findall(r"failed that waits ([0-9.]+) s for locks", caplog.text)]
    assert waits == 2 * [BUSY_S, IN_HASTE_S, IN_HASTE_S, IN_HASTE_S]


def test_the_database_itself_is_told_to_wait_so_long(new_url: str, locking: Locking) -> None:
    with closing(Store(Location.parse(new_url), busy_s=BUSY_S, now=Watch())) as store:
        asked = "PRAGMA busy_timeout" if store.location.is_file else "SHOW lock_timeout"

        def told() -> tuple[object, object]:
            with store.reading() as connection:
                of_a_read = connection.exec_driver_sql(asked).scalar()
            with store.writing() as connection:
                return of_a_read, connection.exec_driver_sql(asked).scalar()

        patient, hasty = (500, 200) if store.location.is_file else ("500ms", "200ms")
        assert told() == (patient, patient)
        with locking(), pytest.raises(JournalError), store.writing() as connection:
            connection.execute(update(states).values(updated_at=1.0))
        assert told() == (patient, hasty)
        assert told() == (patient, patient)
