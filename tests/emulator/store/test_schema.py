"""A database of another version is refused."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from hybridloop.emulator.store.schema import VERSION, UnknownSchema
from hybridloop.emulator.store.store import Store


def test_a_database_is_opened_again_and_one_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "service.sqlite"
    for _ in range(2):
        Store(path).close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(UnknownSchema, match=f"version is {VERSION + 1}"):
        Store(path)
