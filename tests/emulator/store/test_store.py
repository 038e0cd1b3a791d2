"""Transactions: all changes or none, also after a failed commit, and no lock is left behind."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest

from hybridloop.emulator.store.store import Store

DEFERRED = "CREATE TABLE orphans (parent TEXT REFERENCES notes (name) DEFERRABLE INITIALLY DEFERRED)"


@pytest.fixture
def store() -> Store:
    return Store(None)


def test_an_exception_in_the_block_rolls_all_changes_back(store: Store) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert_rolled_back(store, interrupted, KeyboardInterrupt)


def test_a_failed_commit_rolls_all_changes_back(store: Store) -> None:
    store.rows("PRAGMA foreign_keys = ON", ())
    store.rows(DEFERRED, ())
    violation = "INSERT INTO orphans VALUES ('nobody')"
    assert_rolled_back(store, lambda: store.rows(violation, ()), sqlite3.IntegrityError)


def test_the_error_of_a_full_disk_is_kept_although_sqlite_has_rolled_back_by_itself(store: Store) -> None:
    store.rows("PRAGMA max_page_count = 1", ())  # the database can't grow
    error = assert_rolled_back(store, lambda: store.put_note("b", "x" * 10**6), sqlite3.OperationalError)
    assert str(error) == "database or disk is full"


def assert_rolled_back(store: Store, act: Callable[[], object], error: type[BaseException]) -> BaseException:
    """Assert that a transaction with `act` raises the error and changes nothing, and that the next one commits."""

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
