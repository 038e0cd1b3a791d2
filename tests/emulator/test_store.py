"""A transaction happens whole or not at all, whatever stops it, and the next one finds the books free."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest

from hybridloop.emulator.store import Store

DEFERRED = "CREATE TABLE orphans (parent TEXT REFERENCES notes (name) DEFERRABLE INITIALLY DEFERRED)"


@pytest.fixture
def store() -> Store:
    return Store(None)


def test_what_is_raised_inside_takes_all_changes_back(store: Store) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert_nothing_happens(store, interrupted, KeyboardInterrupt)


def test_a_commit_that_fails_takes_all_changes_back(store: Store) -> None:
    store.rows("PRAGMA foreign_keys = ON", ())
    store.rows(DEFERRED, ())
    checked_at_the_commit = "INSERT INTO orphans VALUES ('nobody')"
    assert_nothing_happens(store, lambda: store.rows(checked_at_the_commit, ()), sqlite3.IntegrityError)


def test_a_disk_that_is_full_is_said_to_be_full_though_sqlite_has_rolled_back_by_itself(store: Store) -> None:
    store.rows("PRAGMA max_page_count = 1", ())  # no more pages than there are
    error = assert_nothing_happens(store, lambda: store.put_note("b", "x" * 10**6), sqlite3.OperationalError)
    assert str(error) == "database or disk is full"


def assert_nothing_happens(store: Store, act: Callable[[], object], error: type[BaseException]) -> BaseException:
    """A transaction with that act in it leaves no trace but the error, and the next one is as any other."""

    def transaction() -> None:
        with store.transaction():
            store.put_note("a", "1")
            act()

    with pytest.raises(error) as refusal:
        transaction()
    assert store.note("a") is None
    with store.transaction():
        store.put_note("next", "2")
    assert store.note("next") == "2"
    return refusal.value
