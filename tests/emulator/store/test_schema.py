"""Migrations: a database of an earlier version is upgraded without loss."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from hybridloop.emulator.store.schema import FIRST_TABLES, MIGRATIONS, UnknownSchema
from hybridloop.emulator.store.store import Store

REQUEST = {
    "name": "old",
    "provider_id": "rigetti",
    "target": "rigetti.sim.qvm",
    "container": "job-1",
    "input_blob": "inputData",
    "input_format": "qir.v1",
    "output_format": "microsoft.quantum-results.v2",
    "params": {"shots": 7},
    "metadata": {"place": "uid/main/0/0/0/0", "attempt": "0"},
    "session_id": None,
    "priority": None,
    "tags": None,
}


def test_a_database_of_the_first_version_is_migrated_with_its_places_and_shots(tmp_path: Path) -> None:
    path = tmp_path / "service.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(f"BEGIN; {FIRST_TABLES} PRAGMA user_version = 1; COMMIT;")
        database.execute(
            "INSERT INTO jobs (workspace, id, provider_id, target, status, created, ended, output_blob, request)"
            " VALUES ('w', 'job', 'rigetti', 'rigetti.sim.qvm', 'Succeeded', 1.0, 2.0, 'outputData', ?)",
            (json.dumps(REQUEST),),
        )
        database.commit()
    store = Store(path)
    job = store.job("w", "job")
    assert job is not None
    assert job.request.params == {"shots": 7}
    (row,) = store.rows("SELECT place, attempt, shots, price, duplicate_of FROM jobs", ())
    assert tuple(row) == ("uid/main/0/0/0/0", "0", 7, None, None)
    store.close()
    Store(path).close()  # a second time there is nothing to migrate


def test_a_database_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "service.sqlite"
    Store(path).close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(UnknownSchema, match=f"version is {len(MIGRATIONS) + 1}"):
        Store(path)
